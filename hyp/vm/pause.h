/* A guest made to stand still: its vCPUs wait in the hypervisor, and what its devices do goes
 * on. It needs no VMID meanwhile: when all are given out, its own goes to others. */
#ifndef HYP_VM_PAUSE_H
#define HYP_VM_PAUSE_H

#include "vm/vm.h"

/* Ask every vCPU of VM to stand still; the event "paused" tells when all do. Any hart. False:
 * it does not run, or no more; nothing is told. */
bool vm_pause(struct vm *vm);

/* Let it go on; the event "resumed" tells. Time has gone on meanwhile. If the last VMID is taken
 * after that, "paused" tells that it stands still again. Errors, nothing is told: ENOENT (it does
 * not run, or no more), ELIMIT (as many others run as there are VMIDs). */
CORDON_MUST_CHECK int vm_resume(struct vm *vm);

/* True if every vCPU that is in the guest stands still, and none is about to enter it. The VM's
 * lock is held. Whoever makes it so, in a VM that is to pause, tells. */
bool vm_is_still(const struct vm *vm);
void vm_tell_paused(const struct vm *vm);

/* From the vCPU's own hart: stand still while VM is paused. Returns as soon as it goes on, or
 * ends. */
void vm_park(struct vcpu *vcpu);

#endif
