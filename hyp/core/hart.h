/*
 * What the hypervisor knows of one hart. tp points at it while our code runs on that hart.
 *
 * The first fields are read by assembler: see hart_offsets.h.
 */
#ifndef HYP_CORE_HART_H
#define HYP_CORE_HART_H

#include <cordon/types.h>
#include <stdatomic.h>

#include "core/hart_offsets.h"

#define HART_MAX 64u

struct vcpu;

struct hart {
    uint64_t thread_locals[2]; /* picolibc's, at tp (the linker script checks the size) */
    struct vcpu *vcpu;         /* the one that runs here, or null */
    uint64_t emergency;        /* top of the stack on which our own faults are handled */
    uint64_t stack_top;
    uint64_t id;           /* hart id of the device tree and of firmware */
    uint32_t index;        /* 0.. in the order of the device tree */
    uint32_t intc;         /* phandle of its interrupt controller */
    uint32_t trap_depth;   /* our own faults being handled */
    atomic_uint online;    /* HART_* below */
    uint32_t gstage_modes; /* CORDON_MODE_* that hgatp takes here */
    uint32_t vmid_bits;
    uint64_t henvcfg;     /* bits that can be set here */
    uint64_t counters;    /* bits of hcounteren */
    uint64_t hstateen0;   /* bits that can be set here; 0 without Smstateen */
    uint32_t zero_bytes;  /* that one cbo.zero clears here, 0: none may be used */
    uint32_t flush_bytes; /* the same of cbo.flush; 0 without Svpbmt too */
    uint32_t guest_files; /* interrupt files for guests: numbers 1..guest_files */
    uint64_t imsic;       /* HPA of our own interrupt file, 0: none; guest file n is n pages on */
    volatile uint32_t *imsic_page;
    struct vcpu *assigned; /* the vCPU that is pinned here, or null */
};

#define HART_OFFLINE 0u
#define HART_READY 1u
#define HART_UNFIT 2u /* lacks something that guests need */

/* What a hart is handed by whoever starts it, read with the MMU off. */
struct hart_start {
    uint64_t satp;
    uint64_t entry;
    uint64_t sp;
    uint64_t tp;
};

/* What all harts that can run guests have in common. */
struct hart_abilities {
    uint32_t gstage_modes; /* CORDON_MODE_* */
    uint32_t vmid_bits;
    uint64_t henvcfg;
    uint64_t counters;
    uint32_t needs; /* ISA_NEED_*: what a guest's extensions may ask of us */
    uint32_t harts; /* how many */
};

void hart_common(struct hart_abilities *out);

extern struct hart harts[HART_MAX];
extern uint32_t hart_count;

static inline struct hart *hart_this(void)
{
    struct hart *hart;

    __asm__("mv %0, tp" : "=r"(hart));
    return hart;
}

#endif
