/*
 * Which VM has which tables, told in memory to whoever looks at it from outside and asks nobody: a
 * debugger, an emulator's monitor (bindings/python/cordon/dump/machine.py). The image's header says
 * where, in its reserved word at 40, as an offset from the image.
 */
#ifndef HYP_VM_TOLD_H
#define HYP_VM_TOLD_H

#include "vm/vm.h"

/* VM has a domain now; it has none any more. */
void told_add(const struct vm *vm);
void told_remove(const struct vm *vm);

#endif
