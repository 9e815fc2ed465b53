/* Offsets of struct hart, for assembler; hart.c checks them. */
#ifndef HYP_CORE_HART_OFFSETS_H
#define HYP_CORE_HART_OFFSETS_H

#define HART_VCPU 16
#define HART_EMERGENCY 24

#endif
