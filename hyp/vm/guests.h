/* From the bundle to running guests, and to the end of the last one. */
#ifndef HYP_VM_GUESTS_H
#define HYP_VM_GUESTS_H

#include <cordon/cordon.h>

/* The isolation layer over this machine's RAM. */
cordon_ctx *guests_ctx(void);

/* Everything after boot, on the first hart; it then waits like the others. */
_Noreturn void guests_run(void);

/* A VM has come to its end: if it was the last, say what was, and power off. */
void guests_ended(void);

#endif
