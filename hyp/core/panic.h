/* The end: something that cannot be is so. Says what, and stops the machine. */
#ifndef HYP_CORE_PANIC_H
#define HYP_CORE_PANIC_H

#include "core/trap.h"

_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* With registers, and where the stack says that we came from. */
_Noreturn void panic_trap(const struct own_frame *frame, uint64_t cause, uint64_t pc,
                          uint64_t tval);

#endif
