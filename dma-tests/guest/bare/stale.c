/*
 * A stale translation, seen by the guest that has it: a page's entry in the guest's own Sv39 tables
 * is turned to another page, and until sfence.vma a hart may still go by what it has cached.
 * [Priv 12.2.1]
 */
#include "bare.h"

#define ENTRIES 512u
#define LEAF 0xcfu /* V R W X A D */
#define TABLE 0x1u
#define SV39 (UINT64_C(8) << 60)
#define WINDOW (UINT64_C(4) << 30) /* where the page is seen */
#define OLD 0x11111111u
#define NEW 0x22222222u

static _Alignas(4096) uint64_t root[ENTRIES], middle[ENTRIES], last[ENTRIES];
static _Alignas(4096) uint64_t page[2][ENTRIES];

static uint64_t entry(const void *at, uint64_t bits)
{
    return (uint64_t)(uintptr_t)at >> 12 << 10 | bits;
}

static long look(void)
{
    return (long)*(volatile uint64_t *)(uintptr_t)WINDOW;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t giga = (uint64_t)(uintptr_t)root >> 30;
    volatile uint64_t *leaf = &last[0];
    long before;

    (void)hart;
    (void)opaque;
    page[0][0] = OLD;
    page[1][0] = NEW;
    root[giga] = giga << 28 | LEAF; /* this program, where it is */
    root[WINDOW >> 30] = entry(middle, TABLE);
    middle[0] = entry(last, TABLE);
    *leaf = entry(page[0], LEAF);
    __asm__ volatile(
        "sfence.vma; csrw satp, %0; sfence.vma" ::"r"(SV39 | (uint64_t)(uintptr_t)root >> 12)
        : "memory");
    before = look();
    *leaf = entry(page[1], LEAF);
    say_number("entry changed, not told: reads", look());
    __asm__ volatile("sfence.vma" ::: "memory");
    say_number("after sfence.vma: reads", look());
    check(before == OLD, "the first page was read first");
    check(look() == NEW, "after sfence.vma the hart goes by the entry");
    __asm__ volatile("csrw satp, zero; sfence.vma" ::: "memory");
    finish();
}
