/*
 * A storm of first touches: every hart reaches for every page at the same time, each in an order of
 * its own, and leaves its mark in it. No mark may get lost, for then two frames came for one page.
 */
#include "bare.h"

#define EID_HSM 0x48534Du
#define FIRST 0x200000u /* behind the image */
#define PAGE 0x1000u
#define HARTS_MAX 8u
#define LIMIT 4000000000u

static volatile uint32_t here, go, done;
static uint64_t first, pages;

static volatile uint64_t *slot(uint64_t i, uint64_t hart)
{
    return (volatile uint64_t *)(first + i * PAGE + hart * 8);
}

static void count(volatile uint32_t *word)
{
    (void)__atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST);
}

/* Neighbours meet at one page; a stride that has no part in common with the count visits all. */
static void touch_all(uint64_t hart)
{
    static const uint32_t stride[HARTS_MAX] = {1, 3, 1, 7, 5, 3, 11, 13};
    uint64_t at = hart / 2 * (pages / 4);

    for (uint64_t n = 0; n < pages; n++) {
        *slot(at, hart) = at + hart;
        at = (at + stride[hart]) % pages;
    }
}

void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)opaque;
    count(&here);
    while (go == 0) {
    }
    touch_all(hart);
    count(&done);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

static int soon(volatile uint32_t *word, uint32_t value)
{
    for (uint64_t i = 0; i < LIMIT && *word != value; i++) {
    }
    return *word == value;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t lost = 0, stray = 0;
    uint32_t others = 0;

    first = (uint64_t)(uintptr_t)image + FIRST;
    pages = (opaque - first) / PAGE;
    while (pages % 3 == 0 || pages % 5 == 0 || pages % 7 == 0 || pages % 11 == 0 ||
           pages % 13 == 0) {
        pages--;
    }
    while (ecall(EID_HSM, 0, others + 1, (uint64_t)(uintptr_t)image, 0, 0, 0).error == 0) {
        others++;
    }
    check(soon(&here, others), "every hart is there");
    go = 1;
    touch_all(hart);
    check(soon(&done, others), "every hart has been everywhere");
    for (uint64_t i = 0; i < pages; i++) {
        for (uint64_t h = 0; h < PAGE / 8; h++) {
            lost += h <= others && *slot(i, h) != i + h;
            stray += h > others && *slot(i, h) != 0;
        }
    }
    say_number("pages", (long)pages);
    check(lost == 0, "no mark is lost");
    check(stray == 0, "and nothing else is there");
    finish();
}
