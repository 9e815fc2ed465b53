/* A guest's memory: its map, filled; and bytes copied into it. */
#ifndef HYP_VM_MEMORY_VM_H
#define HYP_VM_MEMORY_VM_H

#include "vm/vm.h"

/* The domain; then RAM, pool and interrupt files, as the settings say. On an error WHY says what,
 * and vm_memory_release takes back what there is. */
CORDON_MUST_CHECK int vm_memory_open(struct vm *vm, struct config_error *why);
CORDON_MUST_CHECK int vm_memory_build(struct vm *vm, struct config_error *why);

/* Give back all of it: the frames are retired and become free, the interrupt files get no
 * interrupt any more. What hardware does not let go of is reported and stays taken. */
void vm_memory_release(struct vm *vm);

/* Copy LEN bytes to GPA, which is RAM of the guest. Errors: EFAULT (some of it is not: nothing
 * says how much was copied), ENOMEM (as vm_memory_at). */
CORDON_MUST_CHECK int vm_memory_write(struct vm *vm, cordon_gpa gpa, const void *bytes,
                                      uint64_t len);

/*
 * The RAM that holds GPA, as far as it is contiguous, checked for ACCESS (CORDON_READ..); a page
 * that has not been touched comes. *LEN is cut to what is contiguous. The caller holds map_lock,
 * and the domain (cordon_hold), from before the call until after the last use of the pointer.
 * Errors: EFAULT (it is not RAM of the guest, or not with that right), ENOMEM (no frame is left for
 * it: vm_memory_out is what follows, once the lock is given).
 */
CORDON_MUST_CHECK int vm_memory_at(struct vm *vm, cordon_gpa gpa, uint32_t access, uint8_t **at,
                                   uint64_t *len);

/* End VM, for which there was no frame when it reached for GPA. Any hart; no lock is held. */
void vm_memory_out(struct vm *vm, cordon_gpa gpa);

/* True if the frames of its RAM come at first touch. Where devices reach RAM they cannot. */
static inline bool vm_is_lazy(const struct vm *vm)
{
    return vm->config->fill != VM_FILL_START && vm->config->device_count == 0;
}

/* Bytes of its RAM that have frames. Any hart. */
uint64_t vm_memory_resident(const struct vm *vm);

/* CORDON_REGION_* of such RAM, as the settings say. */
uint32_t vm_memory_lazy_flags(const struct vm *vm);

#endif
