/* Calls to the firmware: the SBI as its user sees it [SBI 2.0]. */
#ifndef HYP_CORE_SBI_CALL_H
#define HYP_CORE_SBI_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "sbi/sbi_numbers.h"

struct sbi_ret {
    long error;
    long value;
};

static inline struct sbi_ret sbi_call(uint64_t eid, uint64_t fid, uint64_t arg0, uint64_t arg1,
                                      uint64_t arg2, uint64_t arg3, uint64_t arg4)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a3 __asm__("a3") = arg3;
    register uint64_t a4 __asm__("a4") = arg4;
    register uint64_t a6 __asm__("a6") = fid;
    register uint64_t a7 __asm__("a7") = eid;

    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return (struct sbi_ret){(long)a0, (long)a1};
}

/* True if the firmware offers extension EID. */
bool sbi_firmware_has(uint64_t eid);

/* Start a hart at physical address ENTRY with OPAQUE in a1. Returns the SBI error, 0 is success. */
long sbi_hart_start(uint64_t hart, uint64_t entry, uint64_t opaque);

#endif
