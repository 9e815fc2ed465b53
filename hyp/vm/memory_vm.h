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
 * says how much was copied). */
CORDON_MUST_CHECK int vm_memory_write(struct vm *vm, cordon_gpa gpa, const void *bytes,
                                      uint64_t len);

/* The RAM that holds GPA, as far as it is contiguous, checked for ACCESS (CORDON_READ..), or
 * null. *LEN is cut to what is contiguous. The caller holds map_lock, and the domain
 * (cordon_hold), from before the call until after the last use of the pointer. */
uint8_t *vm_memory_at(const struct vm *vm, cordon_gpa gpa, uint32_t access, uint64_t *len);

#endif
