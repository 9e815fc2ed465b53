/* A guest that has ended, started again: as the bundle says, from nothing. */
#ifndef HYP_VM_AGAIN_H
#define HYP_VM_AGAIN_H

#include "vm/vm.h"

/*
 * Build VM anew, which has ended, and set it going. On one hart at a time. Errors: EINVAL (WHY says
 * why not; it stays as it was, and may be tried again).
 */
CORDON_MUST_CHECK int vm_again(struct vm *vm, struct config_error *why);

#endif
