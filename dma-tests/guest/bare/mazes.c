/*
 * Tables that no kernel would make, for whoever walks them from outside: in circles, misaligned,
 * out of memory, in registers, and changing all the time.
 *
 * Hart 0 runs under ROOT, which leads its own code to where it is, and sleeps until something is
 * typed; hart 1 changes a word of it for ever; hart 2 has tables in a circle and nothing else, and
 * takes one page fault after the other without ever leaving the guest; hart 3 is never started.
 */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define EID_HSM 0x48534Du
#define SV39 (UINT64_C(8) << 60)
#define PAGE 4096u
#define GIB (UINT64_C(1) << 30)
#define V 1u
#define LEAF 0xcfu /* V R W X A D */
#define UART UINT64_C(0x10000000)
#define NAP_TICKS 100000u /* 10 ms */

/* Pages behind the stacks of all harts. */
#define TABLES (image + 0x40000)
#define ROOT ((uint64_t *)(uintptr_t)TABLES)
#define MIDDLE ((uint64_t *)(uintptr_t)(TABLES + PAGE))
#define LAST ((uint64_t *)(uintptr_t)(TABLES + 2 * PAGE))
#define CIRCLE ((uint64_t *)(uintptr_t)(TABLES + 3 * PAGE))
#define DATA ((uint64_t *)(uintptr_t)(TABLES + 4 * PAGE))

static uint64_t to(const void *at)
{
    return (uint64_t)(uintptr_t)at >> 2;
}

static uint64_t satp(const uint64_t *root)
{
    return SV39 | (uint64_t)(uintptr_t)root >> 12;
}

static void set_satp(uint64_t value)
{
    __asm__ volatile("csrw satp, %0\nsfence.vma" ::"r"(value) : "memory");
}

/* The word that changes becomes each of these in turn; the test knows them by their order. */
static void change_for_ever(void)
{
    const uint64_t base = (uint64_t)(uintptr_t)image & ~(GIB - 1);
    const uint64_t faces[] = {LEAF | base >> 2,
                              V | to(LAST),
                              0,
                              LEAF | (base + PAGE) >> 2,
                              V | (base - PAGE) >> 2,
                              V | UART >> 2,
                              LEAF | UINT64_C(1) << 54 | base >> 2,
                              V | to(MIDDLE)};
    uint64_t *word = MIDDLE;

    for (uint64_t i = 0;; i++) {
        uint64_t face = faces[i % (sizeof(faces) / sizeof(faces[0]))];

        __asm__ volatile("sd %0, %1" : : "r"(face), "m"(*word) : "memory"); /* whole */
    }
}

void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)opaque;
    if (hart == 1) {
        change_for_ever();
    }
    set_satp(satp(CIRCLE));
    for (;;) {
    }
}

static void build(void)
{
    for (uint64_t i = 0; i < 512; i++) {
        CIRCLE[i] = V | to(CIRCLE);
        LAST[i] = LEAF | to(DATA);
    }
    ROOT[(uint64_t)(uintptr_t)image / GIB] = LEAF | ((uint64_t)(uintptr_t)image & ~(GIB - 1)) >> 2;
    ROOT[3] = V | to(ROOT);
    ROOT[4] = LEAF | to(DATA);
    ROOT[5] = V | UINT64_C(1) << 50;
    ROOT[6] = V | UART >> 2;
    ROOT[7] = V | (((uint64_t)(uintptr_t)image & ~(GIB - 1)) + GIB) >> 2;
    ROOT[8] = V | to(MIDDLE);
    ROOT[9] = V | to(CIRCLE);
    DATA[0] = UINT64_C(0x21212165726568); /* "here!!!" */
}

static void nap(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    __asm__ volatile("csrw 0x14d, %0\ncsrs sie, %1\nwfi" ::"r"(now + NAP_TICKS), "r"(32)
                     : "memory");
}

void main(uint64_t hart, uint64_t opaque)
{
    static char byte;
    struct ret typed = {0, 0};
    uint64_t entry = (uint64_t)(uintptr_t)image;

    (void)hart;
    (void)opaque;
    build();
    set_satp(satp(ROOT));
    check(ecall(EID_HSM, 0, 1, entry, 0, 0, 0).error == 0, "one hart changes a table");
    check(ecall(EID_HSM, 0, 2, entry, 0, 0, 0).error == 0, "one hart runs in a circle");
    say_number("tables at", (long)(uintptr_t)TABLES);
    while (typed.value != 1) {
        nap();
        typed = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0);
    }
    check(DATA[0] == UINT64_C(0x21212165726568), "what was walked is as it was");
    finish();
}
