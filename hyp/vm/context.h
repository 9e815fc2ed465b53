/* The isolation layer's context over this machine. */
#ifndef HYP_VM_CONTEXT_H
#define HYP_VM_CONTEXT_H

#include <cordon/cordon.h>

/* Lay the context over all RAM that is not reserved; it uses VMID_BITS of a VMID, or fewer if a
 * hart has fewer. No context, no guests: panics with a reason. */
void context_open(uint32_t vmid_bits);

cordon_ctx *guests_ctx(void);

/* Hold the invariants against memory; one that does not hold ends the machine. */
void context_audit(const char *when);

#endif
