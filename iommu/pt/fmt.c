/*
 * The page-table formats, as data. [Priv 12.4 to 12.6: Sv39, Sv48, Sv57; 18.5.1: the x4 formats, whose
 * root has two index bits more; IOMMU iohgatp: the same]
 */
#include <assert.h>

#include "pt/walk.h"

#define WIDTH(levels, root_bits) (PT_INDEX_BITS * ((levels)-1u) + (root_bits) + CORDON_PAGE_SHIFT)
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

const struct pt_fmt pt_sv39x4 = {"Sv39x4",          3,    11, 41, 8, CORDON_MODE_SV39X4,
                                 LEAF_SECOND_STAGE, false};
const struct pt_fmt pt_sv48x4 = {"Sv48x4",          4,    11, 50, 9, CORDON_MODE_SV48X4,
                                 LEAF_SECOND_STAGE, false};
const struct pt_fmt pt_sv57x4 = {"Sv57x4",          5,    11, 59, 10, CORDON_MODE_SV57X4,
                                 LEAF_SECOND_STAGE, false};
const struct pt_fmt pt_sv39 = {"Sv39", 3, 9, 39, 8, 0, LEAF_FIRST_STAGE, true};
const struct pt_fmt pt_sv48 = {"Sv48", 4, 9, 48, 9, 0, LEAF_FIRST_STAGE, true};
const struct pt_fmt pt_sv57 = {"Sv57", 5, 9, 57, 10, 0, LEAF_FIRST_STAGE, true};

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
