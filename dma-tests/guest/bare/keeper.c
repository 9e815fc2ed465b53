/*
 * Keeps memory that comes at first touch: writes its own mark into page after page, looks whether
 * each is still its own, and gives some back, which read as zeroes then; until a line is typed at
 * its UART. NAME is different in each guest (dma-tests/boot/test_vmids.py), the addresses are not.
 */
#include "bare.h"

#define EID_HSM 0x48534Du
#define UART 0x10000u
#define ECAM 0x10000000u
#define BARS 0x20000000u
#define FIRST 0x200000u /* behind the image */
#define PAGES 256u
#define PAGE UINT64_C(4096)
#define DISCARD 6u

static const volatile uint64_t name = UINT64_C(0x4d414e2052554f59); /* the bytes "YOUR NAM" */

static volatile uint32_t over, ended;
static volatile uint64_t wrong, seen, wrong_elsewhere;

static volatile uint64_t *word(uint64_t i)
{
    return (volatile uint64_t *)((uint64_t)(uintptr_t)image + FIRST + i * PAGE + i % 512 * 8);
}

static uint64_t mark(uint64_t i)
{
    return name + i * UINT64_C(0x9e3779b97f4a7c15);
}

static void expect(uint64_t i, uint64_t want)
{
    uint64_t found = *word(i);

    if (found != want) {
        wrong++;
        seen = found;
    }
}

static int typed(void)
{
    volatile uint8_t *uart = (volatile uint8_t *)UART;

    return (uart[5] & 1) != 0 && uart[0] == '\n';
}

static volatile uint32_t *own(uint32_t offset)
{
    return (volatile uint32_t *)(uintptr_t)(BARS + offset);
}

static void own_open(void)
{
    volatile uint32_t *config = (volatile uint32_t *)ECAM;

    config[4] = BARS;
    config[1] = 2; /* decode memory */
}

static int discard(uint64_t i)
{
    *(volatile uint64_t *)own(0x10) = (uint64_t)(uintptr_t)word(i) & -PAGE;
    *(volatile uint64_t *)own(0x18) = PAGE;
    *own(0x40) = DISCARD;
    return *own(0x48) == 0;
}

/* The odd pages are never given back: they can be looked at from anywhere. */
void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    while (over == 0) {
        for (uint64_t i = 1; i < PAGES; i += 2) {
            if (*word(i) != mark(i)) {
                wrong_elsewhere = 1;
            }
        }
    }
    (void)__atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t rounds = 0, refused = 0;
    uint32_t others = 0;

    (void)hart;
    (void)opaque;
    own_open();
    for (uint64_t i = 0; i < PAGES; i++) {
        expect(i, 0);
        *word(i) = mark(i);
    }
    while (ecall(EID_HSM, 0, others + 1, (uint64_t)(uintptr_t)image, 0, 0, 0).error == 0) {
        others++;
    }
    say("keeps");
    for (; !typed(); rounds++) {
        uint64_t gone = rounds * 2 % PAGES;

        for (uint64_t i = 0; i < PAGES; i++) {
            expect(i, mark(i));
        }
        refused += !discard(gone);
        expect(gone, 0);
        *word(gone) = mark(gone);
    }
    over = 1;
    while (ended != others) {
    }
    say_number("rounds", (long)rounds);
    say_number("the last wrong word", (long)seen);
    check(refused == 0, "every page that it gave back was taken");
    check(wrong == 0 && wrong_elsewhere == 0, "every word that it has read was its own, or zero");
    finish();
}
