/* Loads and stores of integer registers, decoded. Pure functions of their arguments. */
#include "vcpu/decode.h"

#define OPCODE_LOAD 0x03u
#define OPCODE_STORE 0x23u

static uint8_t bits(uint32_t word, unsigned high, unsigned low)
{
    return (uint8_t)(word >> low & ((1u << (high - low + 1)) - 1));
}

/* A 32-bit load or store; LENGTH is that of the instruction in memory. */
static bool decode_wide(uint32_t word, uint8_t length, struct access *out)
{
    uint8_t funct3 = bits(word, 14, 12);
    uint8_t opcode = bits(word, 6, 0);

    if (opcode == OPCODE_LOAD && funct3 != 7) {
        *out = (struct access){.store = false,
                               .sign = funct3 < 4,
                               .width = (uint8_t)(1u << (funct3 & 3)),
                               .reg = bits(word, 11, 7),
                               .length = length};
        return true;
    }
    if (opcode == OPCODE_STORE && funct3 < 4) {
        *out = (struct access){.store = true,
                               .width = (uint8_t)(1u << funct3),
                               .reg = bits(word, 24, 20),
                               .length = length};
        return true;
    }
    return false;
}

/* Quadrant 0: registers x8-x15 in bits 4:2. */
static bool decode_quadrant0(uint32_t word, struct access *out)
{
    uint8_t reg = (uint8_t)(8 + bits(word, 4, 2));

    switch (bits(word, 15, 13)) {
    case 2: /* c.lw */
        *out = (struct access){.sign = true, .width = 4, .reg = reg, .length = 2};
        return true;
    case 3: /* c.ld */
        *out = (struct access){.sign = true, .width = 8, .reg = reg, .length = 2};
        return true;
    case 6: /* c.sw */
        *out = (struct access){.store = true, .width = 4, .reg = reg, .length = 2};
        return true;
    case 7: /* c.sd */
        *out = (struct access){.store = true, .width = 8, .reg = reg, .length = 2};
        return true;
    case 4:
        break;
    default:
        return false;
    }
    switch (bits(word, 12, 10)) {
    case 0: /* c.lbu */
        *out = (struct access){.width = 1, .reg = reg, .length = 2};
        return true;
    case 1: /* c.lhu, or c.lh with bit 6 */
        *out = (struct access){.sign = bits(word, 6, 6), .width = 2, .reg = reg, .length = 2};
        return true;
    case 2: /* c.sb */
        *out = (struct access){.store = true, .width = 1, .reg = reg, .length = 2};
        return true;
    case 3: /* c.sh */
        *out = (struct access){.store = true, .width = 2, .reg = reg, .length = 2};
        return bits(word, 6, 6) == 0;
    default:
        return false;
    }
}

/* Quadrant 2: relative to the stack pointer, any register. */
static bool decode_quadrant2(uint32_t word, struct access *out)
{
    uint8_t load = bits(word, 11, 7);
    uint8_t store = bits(word, 6, 2);

    switch (bits(word, 15, 13)) {
    case 2: /* c.lwsp */
        *out = (struct access){.sign = true, .width = 4, .reg = load, .length = 2};
        return load != 0;
    case 3: /* c.ldsp */
        *out = (struct access){.sign = true, .width = 8, .reg = load, .length = 2};
        return load != 0;
    case 6: /* c.swsp */
        *out = (struct access){.store = true, .width = 4, .reg = store, .length = 2};
        return true;
    case 7: /* c.sdsp */
        *out = (struct access){.store = true, .width = 8, .reg = store, .length = 2};
        return true;
    default:
        return false;
    }
}

bool decode_access(uint32_t instruction, struct access *out)
{
    switch (instruction & 3) {
    case 0:
        return decode_quadrant0(instruction, out);
    case 2:
        return decode_quadrant2(instruction, out);
    case 3:
        return decode_wide(instruction, 4, out);
    default:
        return false;
    }
}

bool decode_transformed(uint64_t htinst, struct access *out)
{
    /* Bit 0 says that it is no pseudoinstruction; bit 1 tells the length. An address offset: the
     * access began on the page before, and is no aligned one [Priv 18.6.3]. */
    if (!(htinst & 1) || (htinst & HTINST_OFFSET) != 0) {
        return false;
    }
    return decode_wide((uint32_t)htinst | 2u, (htinst & 2) ? 4 : 2, out);
}
