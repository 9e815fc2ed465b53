/* Loads and stores of integer registers, decoded [Unprivileged 2.6, 4.2, 27 (C), 28.2 (Zcb)]. */
#ifndef HYP_VCPU_DECODE_H
#define HYP_VCPU_DECODE_H

#include <stdbool.h>
#include <stdint.h>

struct access {
    bool store;
    bool sign;      /* load: extend the sign */
    uint8_t width;  /* 1, 2, 4, 8 bytes */
    uint8_t reg;    /* the register that is loaded or stored */
    uint8_t length; /* of the instruction: 2 or 4 bytes */
};

/* Decode INSTRUCTION, 16 or 32 bits. False for anything but a plain load or store of x
 * registers. */
bool decode_access(uint32_t instruction, struct access *out);

#define HTINST_OFFSET 0xf8000u /* of a transformed instruction: Address Offset */

/* The same for the transformed instruction that hardware left in htinst [Priv 18.6.3]. */
bool decode_transformed(uint64_t htinst, struct access *out);

#endif
