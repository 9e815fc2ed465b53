/*
 * Large leaves again, in the background: whenever a VM's map has changed, or pages of it were
 * touched first, its RAM is gone through once, a slice at a time, by the hart that ticks, which is
 * one without a guest if there is one. What is logged stays small. [cordon/log.h]
 */
#ifndef HYP_VM_COALESCE_H
#define HYP_VM_COALESCE_H

#include <cordon/cordon.h>

struct vm;

struct vm_coalescing {
    bool off;
    bool passing;                 /* a pass is on its way */
    unsigned long long seen;      /* changes of the map when the latest pass began */
    uint64_t touched;             /* pages that were touched first by then */
    struct cordon_coalesced made; /* in this pass, and where it goes on */
};

/* Under one hold of VM's lock: go on at SUM->next and add what was made. Errors: ENOENT (it does
 * not run), EPENDING. */
CORDON_MUST_CHECK int vm_coalesce_slice(struct vm *vm, struct cordon_coalesced *sum);

/* VM is about to run: what was changed up to now needs no pass. */
void vm_coalesce_begin(struct vm *vm);

/* From tick(): some of what is due. */
void vm_coalesce_tick(void);

#endif
