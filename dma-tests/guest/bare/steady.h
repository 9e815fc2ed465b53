/*
 * Works on memory that comes as it is touched: writes page after page, and again and again adds up
 * all that it has written, until a line is typed. The sum is known beforehand; a page that another
 * guest had, and that is not scrubbed, or one that goes away, makes it wrong.
 */
#ifndef DMA_TESTS_GUEST_BARE_STEADY_H
#define DMA_TESTS_GUEST_BARE_STEADY_H

#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define FIRST 0x200000u /* behind the image */
#define PAGE 0x1000u
#define WORDS (PAGE / 8)
#define ROUND_PAGES 64u

static uint64_t pages, wrong, fresh;

static volatile uint64_t *page(uint64_t i)
{
    return (volatile uint64_t *)((uint64_t)(uintptr_t)image + FIRST + i * PAGE);
}

static uint64_t word(uint64_t i, uint64_t k)
{
    return (i * WORDS + k) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

static void write_some(uint64_t limit)
{
    for (uint32_t n = 0; n < ROUND_PAGES && pages < limit; n++, pages++) {
        for (uint64_t k = 0; k < WORDS; k++) {
            fresh += page(pages)[k] != 0;
            page(pages)[k] = word(pages, k);
        }
    }
}

static void add_up(void)
{
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t sum = 0, want = 0;

        for (uint64_t k = 0; k < WORDS; k++) {
            sum += page(i)[k];
            want += word(i, k);
        }
        wrong += sum != want;
    }
}

static int typed(void)
{
    static volatile uint8_t byte;

    return ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0).value == 1 && byte == '\n';
}

/* The device tree at TREE is the end of RAM. BEFORE: pages that it writes before a line is typed.
 */
static void work(uint64_t tree, uint64_t before)
{
    uint64_t limit = (tree - ((uint64_t)(uintptr_t)image + FIRST)) / PAGE;
    uint64_t rounds = 0;

    while (pages < before && pages < 4 * ROUND_PAGES) {
        write_some(limit);
    }
    say("works");
    while (!typed()) {
        if (rounds++ % 4 == 0) {
            write_some(before < limit ? before : limit);
        }
        add_up();
    }
    while (pages < limit) { /* all the rest of what it was promised */
        write_some(limit);
    }
    add_up();
    say_number("pages", (long)pages);
    check(pages == limit, "it got every page that it has");
    check(fresh == 0, "every page came as zeroes");
    check(wrong == 0, "every sum is right");
    finish();
}

#endif
