/* Kernel, initial ramdisk and device tree, into a guest's memory. */
#ifndef HYP_VM_LOAD_H
#define HYP_VM_LOAD_H

#include "vm/vm.h"

/* Copy what the bundle has for VM; sets its entry and device tree. On an error WHY says what. */
CORDON_MUST_CHECK int load_images(struct vm *vm, const struct bundle *bundle,
                                  struct config_error *why);

#endif
