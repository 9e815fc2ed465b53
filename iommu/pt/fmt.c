/*
 * The page-table formats, as data. [Priv 12.4 to 12.6: Sv39, Sv48, Sv57; 18.5.1: the x4 formats,
 * whose root has two index bits more; IOMMU iohgatp: the same]
 */
#include <assert.h>

#include "pt/walk.h"

#define ROOT_SHIFT(levels) (CORDON_PAGE_SHIFT + PT_INDEX_BITS * ((levels)-1u))
#define WIDTH(levels, root_bits) (ROOT_SHIFT(levels) + (root_bits))
#define LAST_INDEX(width, level) \
    ((BIT64(width) - 1) >> (CORDON_PAGE_SHIFT + PT_INDEX_BITS * (level)))

#define LEAF_FIRST_STAGE (PTE_V | PTE_A | PTE_D)
#define LEAF_SECOND_STAGE (PTE_V | PTE_U | PTE_A | PTE_D)

static_assert(WIDTH(3, 11) == 41 && WIDTH(4, 11) == 50 && WIDTH(5, 11) == 59, "x4 widths");
static_assert(WIDTH(3, 9) == 39 && WIDTH(4, 9) == 48 && WIDTH(5, 9) == 57, "first-stage widths");
static_assert(LAST_INDEX(41, 2) == 2047 && LAST_INDEX(50, 3) == 2047 && LAST_INDEX(59, 4) == 2047,
              "last index of an x4 root");
static_assert(LAST_INDEX(39, 2) == 511 && LAST_INDEX(48, 3) == 511 && LAST_INDEX(57, 4) == 511,
              "last index of a first-stage root");
static_assert(PTE_PPN == UINT64_C(0x003ffffffffffc00), "PPN is bits 53:10");
static_assert(LEAF_SECOND_STAGE == 0xd1 && LEAF_FIRST_STAGE == 0xc1, "leaf bits");
static_assert((CORDON_READ << 1) == PTE_R && (CORDON_WRITE << 1) == PTE_W &&
                  (CORDON_EXEC << 1) == PTE_X,
              "rights are the R, W and X bits, one place down");

#define FORMAT(levels_, root_bits_, mode_, mode_bit_, leaf_bits_, sign_extended_)         \
    .levels = (levels_), .root_bits = (root_bits_), .root_shift = ROOT_SHIFT(levels_),    \
    .address_bits = WIDTH(levels_, root_bits_), .mode = (mode_), .mode_bit = (mode_bit_), \
    .leaf_bits = (leaf_bits_), .sign_extended = (sign_extended_),                         \
    .page_bits = GENMASK64(WIDTH(levels_, root_bits_) - 1 - (sign_extended_), CORDON_PAGE_SHIFT)

#define SECOND_STAGE(levels, mode, mode_bit) \
    FORMAT(levels, 11, mode, mode_bit, LEAF_SECOND_STAGE, false)
#define FIRST_STAGE(levels, mode) FORMAT(levels, 9, mode, 0, LEAF_FIRST_STAGE, true)

const struct pt_fmt pt_sv39x4 = {.name = "Sv39x4", SECOND_STAGE(3, 8, CORDON_MODE_SV39X4)};
const struct pt_fmt pt_sv48x4 = {.name = "Sv48x4", SECOND_STAGE(4, 9, CORDON_MODE_SV48X4)};
const struct pt_fmt pt_sv57x4 = {.name = "Sv57x4", SECOND_STAGE(5, 10, CORDON_MODE_SV57X4)};
const struct pt_fmt pt_sv39 = {.name = "Sv39", FIRST_STAGE(3, 8)};
const struct pt_fmt pt_sv48 = {.name = "Sv48", FIRST_STAGE(4, 9)};
const struct pt_fmt pt_sv57 = {.name = "Sv57", FIRST_STAGE(5, 10)};

const struct pt_fmt *pt_fmt_choose(uint32_t modes, uint64_t limit)
{
    static const struct pt_fmt *const ascending[] = {&pt_sv39x4, &pt_sv48x4, &pt_sv57x4};

    for (size_t i = 0; i < sizeof(ascending) / sizeof(ascending[0]); i++) {
        const struct pt_fmt *fmt = ascending[i];

        if ((modes & fmt->mode_bit) != 0 && limit <= BIT64(fmt->address_bits)) {
            return fmt;
        }
    }
    return NULL;
}
