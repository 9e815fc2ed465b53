/* Instructions of a guest, read with its own eyes, and decoded as far as emulated devices need
 * it. */
#ifndef HYP_VCPU_FETCH_H
#define HYP_VCPU_FETCH_H

#include <stdbool.h>
#include <stdint.h>

/* The instruction at guest virtual address PC, through both stages, where it may be executed
 * [Priv 18.3.1, HLVX]. False if it cannot be read. Only in the handler of an exit. */
bool fetch_guest_instruction(uint64_t pc, uint32_t *out);

#endif
