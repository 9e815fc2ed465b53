/* Offsets of struct vcpu, for assembler; vcpu.c checks them. */
#ifndef HYP_VCPU_VCPU_OFFSETS_H
#define HYP_VCPU_VCPU_OFFSETS_H

#define VCPU_X(n) (8 * (n))
#define VCPU_HYP_SP 256
#define VCPU_HART 264

#endif
