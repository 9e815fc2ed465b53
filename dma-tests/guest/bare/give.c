/*
 * Memory that one hart gives back while another one uses it: gone for both at once, whatever their
 * caches hold; and fresh when it is taken again [docs/own-function.md].
 */
#include "bare.h"

#define EID_HSM 0x48534Du
#define LOAD_ACCESS 5u
#define ECAM 0x10000000u
#define BARS 0x20000000u
#define PAGE_OFFSET 0x800000u /* far from the image */
#define PAGE_BYTES 4096u
#define OURS 0x0001c04du
#define MAGIC 0x4e445243u
#define GIVE 1u
#define TAKE 2u
#define DONE 2u
#define LIMIT 1000000000u
#define MARK UINT64_C(0x600dc0de)

enum phase { NOTHING, LOOKED, LOOK_AGAIN, TRAPPED, READ };

static volatile uint32_t phase;

static uint64_t page(void)
{
    return (uint64_t)(uintptr_t)image + PAGE_OFFSET;
}

/* One load, and at most one trap. */
static uint64_t look(void)
{
    uint64_t value = 0;

    __asm__ volatile("ld %0, 0(%1)" : "+r"(value) : "r"(page()) : "memory");
    return value;
}

static void mark(void)
{
    __asm__ volatile("sd %0, 0(%1)" ::"r"(MARK), "r"(page()) : "memory");
}

static uint64_t window(void)
{
    return (uint64_t)(uintptr_t)image >= 0x80000000u ? 0 : 0xC0000000u;
}

static volatile uint32_t *own(uint32_t offset)
{
    return (volatile uint32_t *)(window() + BARS + offset);
}

static int soon(uint32_t want)
{
    for (uint32_t i = 0; i < LIMIT && phase != want; i++) {
    }
    return phase == want;
}

/* Looks, keeps the translation, makes no exit meanwhile, and looks again. */
void other_hart(uint64_t hart, uint64_t opaque)
{
    uint64_t traps;

    (void)hart;
    (void)opaque;
    (void)look();
    traps = last_trap.count;
    phase = LOOKED;
    while (phase != LOOK_AGAIN) {
    }
    (void)look();
    phase = last_trap.count == traps + 1 && last_trap.cause == LOAD_ACCESS ? TRAPPED : READ;
}

static void own_open(void)
{
    volatile uint32_t *config = (volatile uint32_t *)(window() + ECAM);

    check(config[0] == OURS, "the function is there");
    config[4] = (uint32_t)(window() + BARS);
    config[1] = 2; /* decode memory */
    check(*own(0) == MAGIC, "its registers are there");
}

static int command(uint32_t number)
{
    *(volatile uint64_t *)own(0x10) = page();
    *(volatile uint64_t *)own(0x18) = PAGE_BYTES;
    *own(0x40) = number;
    return *own(0x44) == DONE && *own(0x48) == 0;
}

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    own_open();
    mark();
    check(ecall(EID_HSM, 0, 1, (uint64_t)(uintptr_t)image, 0, 0, 0).error == 0, "hart 1 starts");
    check(soon(LOOKED), "hart 1 has looked at the page");
    check(command(GIVE), "the page is given back");
    phase = LOOK_AGAIN;
    check(soon(TRAPPED), "hart 1 finds it gone");
    (void)look();
    check(last_trap.count == 2 && last_trap.cause == LOAD_ACCESS, "hart 0 finds it gone");
    check(command(TAKE), "a page is taken again");
    check(look() == 0, "it reads as zero");
    mark();
    check(look() == MARK, "it can be used");
    finish();
}
