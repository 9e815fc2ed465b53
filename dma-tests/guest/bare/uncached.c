/* A page of the guest's own memory, mapped twice: as it is, and as not cacheable [Priv 14,
 * Svpbmt; Zicbom]. */
#include "bare.h"

#define SATP_SV39 (UINT64_C(8) << 60)
#define LEAF UINT64_C(0xcf) /* V, R, W, X, A, D */
#define NOT_CACHED (UINT64_C(1) << 61)
#define ALIAS UINT64_C(0x1000000000) /* entry 64 of the root: the same GiB again */
#define LOAD_PAGE_FAULT 13u
#define GIB UINT64_C(0x40000000)

static uint64_t root[512] __attribute__((aligned(4096)));
static volatile uint64_t word = 5;

static uint64_t load(uint64_t address)
{
    return *(volatile uint64_t *)address;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t here = (uint64_t)(uintptr_t)&word;
    uint64_t gib = here & ~(GIB - 1);
    uint64_t alias = ALIAS + (here - gib);

    (void)hart;
    (void)opaque;
    root[gib / GIB] = gib >> 2 | LEAF;
    root[ALIAS / GIB] = gib >> 2 | LEAF;
    __asm__ volatile("csrw satp, %0\nsfence.vma" ::"r"(SATP_SV39 | (uint64_t)(uintptr_t)root >> 12)
                     : "memory");
    check(load(alias) == 5 && last_trap.count == 0, "the alias leads to the word");
    root[ALIAS / GIB] |= NOT_CACHED;
    __asm__ volatile("sfence.vma" ::: "memory");
    uint64_t past = load(alias);

    if (last_trap.count == 0) {
        say("memory is read past the caches");
        (void)past; /* what the image was before, where it stands in a cache */
        word = 7;
        __asm__ volatile("fence\n.insn i 0x0f, 2, x0, %0, 0\nfence" ::"r"(&word) : "memory");
        check(load(alias) == 7 && last_trap.count == 0, "cbo.inval writes back what it drops");
    } else {
        check(last_trap.count == 1 && last_trap.cause == LOAD_PAGE_FAULT,
              "memory types are refused");
    }
    finish();
}
