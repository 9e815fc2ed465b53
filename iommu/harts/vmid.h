/*
 * VMIDs, and the harts that may hold translations under them: see cordon/harts.h.
 *
 * VMIDS.LOCK is the last but the frames' in the order: enter takes it alone, a change takes it
 * under its domain's. It is held while harts are waited for only when a generation begins, for
 * nobody may have a VMID of the new one before.
 */
#ifndef CORDON_HARTS_VMID_H
#define CORDON_HARTS_VMID_H

#include "core/bits.h"
#include "core/lock.h"
#include "riscv/retire.h"
#include <cordon/harts.h>

#define VMID_BITS_MAX 14u

struct vmids {
    struct lock lock;
    uint64_t generation; /* from 1 */
    uint64_t given;
    uint64_t harts;                             /* that may hold translations of anybody */
    uint32_t running;                           /* domains */
    uint32_t next;                              /* where to look for a free one first */
    struct cordon_domain *on[CORDON_MAX_HARTS]; /* who runs there */
    uint64_t taken[BIT64(VMID_BITS_MAX) / 64]; /* bit v: v belongs to somebody in this generation */
};

/* A domain's part; under VMIDS.LOCK. */
struct domain_vmid {
    uint64_t generation; /* that its VMID is of; another than the context's: it has none */
    uint64_t harts;      /* that may hold translations of it */
    uint64_t inside;     /* harts that run it */
    uint64_t entries;    /* so far */
    uint16_t vmid;
    struct cordon_fence_stats fences;
};

void vmids_init(struct vmids *v);

/* Harts that may hold translations of these ranges of D, or WHOLE of all of it, forget them; waits
 * for each. The tables say it already, and a fence came after. The caller holds D's lock. */
void vmid_fence(struct cordon_domain *d, const struct retire_range *ranges, uint32_t count,
                bool whole);

/* Harts that may go on with D where it was fetch instructions anew. The caller holds D's lock. */
void vmid_code_fence(struct cordon_domain *d);

/* Does a hart run D? */
bool vmid_running(struct cordon_domain *d);

/* D goes: nobody runs it, and vmid_fence has been for all of it. */
void vmid_forget(struct cordon_domain *d);

#endif
