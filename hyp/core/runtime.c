/* What the compiler and libraries built elsewhere expect to find. */
#include <stdint.h>

#include "core/panic.h"

/* libfdt of Debian is built with stack protection [GCC, -fstack-protector]. */
uintptr_t __stack_chk_guard = 0x00c0ffee0a0d00ff;

_Noreturn void __stack_chk_fail(void);

_Noreturn void __stack_chk_fail(void)
{
    panic("a library function has written beyond its frame");
}
