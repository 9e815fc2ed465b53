/* From the bundle to running guests, and to the end of the last one. */
#ifndef HYP_VM_GUESTS_H
#define HYP_VM_GUESTS_H

#include <cordon/cordon.h>

struct bundle;

/* The isolation layer over this machine's RAM. */
cordon_ctx *guests_ctx(void);

/* Everything after boot, on the first hart; it then waits like the others. */
_Noreturn void guests_run(void);

/* What the guests came from. */
const struct bundle *guests_bundle(void);

/* One more will run. False: there is none left, and the machine goes off. */
CORDON_MUST_CHECK bool guests_add(void);

/* A VM has come to its end: if it was the last, say what was, and power off. */
void guests_ended(void);

#endif
