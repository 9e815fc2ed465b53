/*
 * What the first touch of a page costs: a store to each of many pages that nobody has touched, and
 * again, timed by rdtime. Under -icount shift=0 an instruction takes a nanosecond, so that ticks
 * tell instructions. Prints instructions a page; the loop's own four are in both.
 */
#include "bare.h"

#define FIRST 0x1000000u /* behind the image */
#define PAGE 0x1000u
#define BLOCK 0x200000u
#define PAGES 2048u /* with the tables above them: four leaf tables */
#define BLOCKS 8u
#define NS_A_TICK 100

static uint64_t now(void)
{
    uint64_t time;

    __asm__ volatile("rdtime %0" : "=r"(time));
    return time;
}

/* A store every STEP bytes; instructions each. */
static long stores(uint64_t at, uint64_t step, uint64_t count)
{
    uint64_t start = now();

    for (uint64_t i = count; i != 0; i--) {
        *(volatile uint64_t *)at = at;
        at += step;
    }
    return (long)((now() - start) * NS_A_TICK / count);
}

static int hold(uint64_t at, uint64_t step, uint64_t count)
{
    int ok = 1;

    for (; count != 0; count--, at += step) {
        const volatile uint64_t *page = (volatile uint64_t *)at;

        ok &= page[0] == at;
        for (uint64_t i = 1; i < PAGE / 8; i++) {
            ok &= page[i] == 0;
        }
    }
    return ok;
}

/* OPAQUE: the device tree, at the top of RAM, and so whether 2 MiB come at once is not told: the
 * figures tell. */
void main(uint64_t hart, uint64_t opaque)
{
    uint64_t at = (uint64_t)(uintptr_t)image + FIRST;

    (void)hart;
    (void)opaque;
    say_number("bench touch-4k", stores(at, PAGE, PAGES));
    say_number("bench touched-4k", stores(at, PAGE, PAGES));
    check(hold(at, PAGE, PAGES), "every page has what was stored, and zeroes");
    at += BLOCK * BLOCKS;
    say_number("bench touch-2m", stores(at, BLOCK, BLOCKS));
    say_number("bench touched-2m", stores(at, BLOCK, BLOCKS));
    check(hold(at, BLOCK, BLOCKS), "every block has what was stored, and zeroes");
    finish();
}
