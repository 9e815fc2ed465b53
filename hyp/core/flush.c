/* Whether guests may read past the caches, and what it takes: see flush.h. */
#include "core/flush.h"

#include "core/console.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/trap.h"

uint32_t flush_block;

static inline void flush_one(uint64_t at)
{
    __asm__ volatile(".insn i 0x0f, 2, x0, %0, 2" ::"r"(at) : "memory"); /* cbo.flush */
}

void flush_probe_here(struct hart *hart)
{
    uint64_t ok = 0;

    hart->flush_bytes = 0;
    if (!machine_isa_has("svpbmt") || !machine_isa_has("zicbom")) {
        return;
    }
    __asm__ volatile("1: .insn i 0x0f, 2, x0, %1, 2\n"
                     "   li %0, 1\n"
                     "2:\n" EXTABLE("1b", "2b")
                     : "+r"(ok)
                     : "r"(hart)
                     : "memory");
    hart->flush_bytes = ok != 0 ? machine.cpu.cbom_bytes : 0;
}

void flush_choose(void)
{
    flush_block = harts[0].flush_bytes;
    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) == HART_READY &&
            (harts[i].flush_bytes == 0 || (harts[i].henvcfg & HENVCFG_PBMTE) == 0)) {
            flush_block = 0;
        }
    }
    if (flush_block != 0) {
        log_line("guests have memory types (Svpbmt): what comes to them is flushed (cbo.flush)");
    }
}

void flush_memory(const void *at, uint64_t len)
{
    uint64_t from = (uint64_t)(uintptr_t)at;

    __asm__ volatile("fence" ::: "memory");
    for (uint64_t end = from + len; from < end; from += flush_block) {
        flush_one(from);
    }
    __asm__ volatile("fence" ::: "memory");
}
