/*
 * Our own faults: those of code that may fault (a table says where to go on), and those that may
 * not.
 */
#ifndef HYP_CORE_TRAP_H
#define HYP_CORE_TRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/csr.h"

/* Registers at the time of a fault of our own, by number; x[0] is unused. */
struct own_frame {
    uint64_t x[32];
};

/* From the trap vector; returns only if the fault was foreseen. */
void own_trap(struct own_frame *frame);

/*
 * An instruction that may fault: FIXUP is where to go on. Each use runs with interrupts off and
 * outside of a guest's exit, or saves sepc, sstatus and hstatus first (see guest_fetch.c).
 */
#define EXTABLE(at, fixup) ".pushsection .extable, \"a\"\n.dword " at ", " fixup "\n.popsection\n"

/* The value of a CSR, and whether this hart has it. */
#define csr_try_read(number, value)                                                   \
    ({                                                                                \
        uint64_t try_value = 0;                                                       \
        uint64_t try_ok = 0;                                                          \
        __asm__ volatile("1: csrr %0, " CSR_STRING(number) "\n"                       \
                                                           "   li %1, 1\n"            \
                                                           "2:\n" EXTABLE("1b", "2b") \
                         : "+r"(try_value), "+r"(try_ok)::"memory");                  \
        *(value) = try_value;                                                         \
        try_ok != 0;                                                                  \
    })

/* Write a CSR that may not exist. */
#define csr_try_write(number, value)                                              \
    ({                                                                            \
        uint64_t try_ok = 0;                                                      \
        __asm__ volatile("1: csrw " CSR_STRING(number) ", %1\n"                   \
                                                       "   li %0, 1\n"            \
                                                       "2:\n" EXTABLE("1b", "2b") \
                         : "+r"(try_ok)                                           \
                         : "r"((uint64_t)(value))                                 \
                         : "memory");                                             \
        try_ok != 0;                                                              \
    })

/* True if a load, a store at ADDRESS goes through (the store writes back what was read). */
bool probe_load(const void *address);
bool probe_store(void *address);

#endif
