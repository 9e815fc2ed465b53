/*
 * Memory that comes at first touch, given back and wanted by our PCI function, and each way to ask
 * for that wrongly [docs/own-function.md].
 */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define EID_HSM 0x48534Du
#define ALREADY_AVAILABLE (-6)
#define LOAD_ACCESS 5u
#define ECAM 0x10000000u
#define BARS 0x20000000u
#define IMSIC 0x01000000u
#define FIRST 0x800000u /* far from the image */
#define PAGE UINT64_C(4096)
#define OTHERS UINT64_C(0x180000000) /* where the other guest has its RAM, and this one nothing */
#define GIVE 1u
#define TAKE 2u
#define QUERY 5u
#define DISCARD 6u
#define FILL 7u
#define PIN 8u
#define UNPIN 9u
#define EALIGN 2u
#define ERANGE 3u
#define EEXIST 4u
#define EPERM 6u
#define EFAULT 15u
#define MARK UINT64_C(0x600dc0de)

static uint64_t page(uint64_t n)
{
    return (uint64_t)(uintptr_t)image + FIRST + n * PAGE;
}

static void mark(uint64_t n)
{
    *(volatile uint64_t *)page(n) = MARK + n;
}

/* One load, and at most one trap. */
static uint64_t look(uint64_t n)
{
    uint64_t value = 0;

    __asm__ volatile("ld %0, 0(%1)" : "+r"(value) : "r"(page(n)) : "memory");
    return value;
}

/* True if a load traps as one of memory that is not there. */
static int is_gone(uint64_t n)
{
    uint64_t traps = last_trap.count;

    (void)look(n);
    return last_trap.count == traps + 1 && last_trap.cause == LOAD_ACCESS;
}

/* The error of a command. */
static uint32_t ask(uint32_t command, uint64_t gpa, uint64_t len)
{
    *(volatile uint64_t *)(BARS + 0x10) = gpa;
    *(volatile uint64_t *)(BARS + 0x18) = len;
    *(volatile uint32_t *)(BARS + 0x40) = command;
    return *(volatile uint32_t *)(BARS + 0x48);
}

static uint64_t result(void)
{
    return *(volatile uint64_t *)(BARS + 0x50);
}

static void discarded(void)
{
    mark(0);
    mark(1);
    check(ask(DISCARD, page(0), 4 * PAGE) == 0 && result() == 2 * PAGE, "two pages are dropped");
    check(ask(DISCARD, page(0), 4 * PAGE) == 0 && result() == 0, "a second time nothing is");
    check(look(0) == 0 && look(1) == 0, "they come again as zeroes");
    mark(0);
    check(look(0) == MARK, "and can be used");
}

static void given(void)
{
    mark(8);
    check(ask(GIVE, page(8), 2 * PAGE) == 0,
          "a page that was touched and one that was not are given");
    check(is_gone(8) && is_gone(9), "both are gone");
    check(ask(GIVE, page(8), PAGE) == EPERM, "given twice: refused");
    check(ask(GIVE, page(7), 2 * PAGE) == EPERM && look(7) == 0, "in part: nothing is given");
    check(ask(DISCARD, page(8), PAGE) == EPERM, "what is not there cannot be dropped");
    check(ask(FILL, page(8), PAGE) == EPERM, "nor filled");
    check(ask(PIN, page(8), PAGE) == EPERM, "nor pinned");
    check(ask(TAKE, page(8), 2 * PAGE) == 0, "both are taken");
    check(ask(TAKE, page(8), PAGE) == EEXIST, "taken twice: refused");
    check(look(8) == 0 && look(9) == 0, "they come as zeroes");
}

static void pinned(void)
{
    mark(16);
    check(ask(PIN, page(16), 2 * PAGE) == 0, "a page is pinned, and one that was not there");
    check(ask(QUERY, page(17), PAGE) == 0 && result() == 1, "it is there now");
    check(ask(GIVE, page(16), PAGE) == EPERM, "a pinned page is not given");
    check(ask(DISCARD, page(15), 3 * PAGE) == EPERM, "nor dropped");
    check(look(16) == MARK + 16, "and keeps what it has");
    check(ask(UNPIN, page(16), 2 * PAGE) == 0, "it is let go of");
    check(ask(DISCARD, page(16), 2 * PAGE) == 0 && result() == 2 * PAGE, "and can be dropped");
    check(look(16) == 0, "it comes as zeroes");
}

static void filled(void)
{
    check(ask(QUERY, page(32), PAGE) == EFAULT, "nothing backs a page that was not touched");
    check(ask(FILL, page(32), 64 * PAGE) == 0, "64 pages are filled");
    check(ask(QUERY, page(32), 64 * PAGE) == 0 && result() >= 1, "and backed");
    check(ask(FILL, page(32), 64 * PAGE) == 0, "what is there may be filled again");
}

/* What the hypervisor reaches for in the guest's place. */
static void reached_for(void)
{
    check(ecall(EID_DBCN, 1, 8, page(101) - 4, 0, 0, 0).error == 0,
          "the debug console reads into pages that were not touched");
    check(ask(QUERY, page(100), PAGE) == 0, "which it brings");
    check(ecall(EID_HSM, 0, 0, page(110), 0, 0, 0).error == ALREADY_AVAILABLE,
          "a hart may start in a page that was not touched");
}

static void nowhere(uint64_t gpa, const char *claim)
{
    int ok = 1;

    for (uint32_t command = DISCARD; command <= UNPIN; command++) {
        ok &= ask(command, gpa, PAGE) == EPERM;
    }
    check(ok && ask(GIVE, gpa, PAGE) == EPERM, claim);
}

static void malformed(void)
{
    int ok = 1;

    for (uint32_t command = DISCARD; command <= UNPIN; command++) {
        ok &= ask(command, page(0) + 8, PAGE) == EALIGN;
        ok &= ask(command, page(0), 100) == EALIGN;
        ok &= ask(command, page(0), 0) == ERANGE;
        ok &= ask(command, -PAGE, 2 * PAGE) == ERANGE;
    }
    check(ok, "what is no range of pages is refused");
}

void main(uint64_t hart, uint64_t opaque)
{
    volatile uint32_t *config = (volatile uint32_t *)(uint64_t)ECAM;

    (void)hart;
    (void)opaque;
    config[4] = BARS;
    config[1] = 2; /* decode memory */
    discarded();
    given();
    pinned();
    filled();
    reached_for();
    nowhere(0x60000000, "where nothing stands");
    nowhere(IMSIC, "its interrupt file");
    nowhere(OTHERS, "another guest's memory");
    malformed();
    finish();
}
