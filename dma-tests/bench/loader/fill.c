/*
 * What a TLB fill costs: a walk of five levels (Sv57, 4 KiB leaves, as Linux has them here) for
 * each of 1024 pages, after each sfence.vma. Runs with and without a hypervisor below; one stage or
 * two is what differs. Says hundredths of a tick of the time CSR a fill.
 */
#include "bare.h"

#define PAGES 1024u
#define ROUNDS 400u
#define TABLES_AT 0x400000u /* behind the image, in the guest's RAM */
#define PAGES_AT 0x800000u
#define WINDOW (UINT64_C(16) << 30) /* where the pages are seen */
#define LEAF 0xcfu                  /* V R W X A D */
#define SV57 (UINT64_C(10) << 60)

static uint64_t *page_at(uint64_t n)
{
    return (uint64_t *)(void *)(image + TABLES_AT + n * 4096);
}

static uint64_t entry(const void *page, uint64_t bits)
{
    return (uint64_t)(uintptr_t)page >> 12 << 10 | bits;
}

/* Tables 0 to 5: root, two levels below, one of pages' tables, two of pages. */
static void build(void)
{
    uint64_t here = (uint64_t)(uintptr_t)image >> 30;

    for (uint64_t i = 0; i < 6 * 512; i++) {
        page_at(0)[i] = 0;
    }
    page_at(0)[0] = entry(page_at(1), 1);
    page_at(1)[0] = entry(page_at(2), 1);
    page_at(2)[here] = here << 28 | LEAF;
    page_at(2)[WINDOW >> 30] = entry(page_at(3), 1);
    page_at(3)[0] = entry(page_at(4), 1);
    page_at(3)[1] = entry(page_at(5), 1);
    for (uint64_t i = 0; i < PAGES; i++) {
        page_at(4)[i] = entry(image + PAGES_AT + i * 4096, LEAF);
    }
}

static void touch_all(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
    for (uint64_t i = 0; i < PAGES; i++) {
        (void)*(volatile uint64_t *)(uintptr_t)(WINDOW + i * 4096 + i % 64 * 64);
    }
}

static uint64_t ticks(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now)::"memory");
    return now;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t satp;
    uint64_t since;

    (void)hart;
    (void)opaque;
    build();
    satp = SV57 | (uint64_t)(uintptr_t)page_at(0) >> 12;
    __asm__ volatile("csrw satp, %0; sfence.vma" ::"r"(satp) : "memory");
    touch_all();
    since = ticks();
    for (unsigned i = 0; i < ROUNDS; i++) {
        touch_all();
    }
    since = ticks() - since;
    __asm__ volatile("csrw satp, zero; sfence.vma" ::: "memory");
    say_number("bench fill", (long)(since * 100 / (PAGES * ROUNDS)));
    finish();
}
