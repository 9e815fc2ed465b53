/* What a word of a guest's table means to its hart: no memory, no map, only the bits. */
#ifndef CORDON_GVA_WORD_H
#define CORDON_GVA_WORD_H

#include "pt/word.h"
#include <cordon/gva.h>

#define PTE_PBMT GENMASK64(62, 61)
#define GVA_NAPOT_SHIFT 16u /* the one run that Svnapot defines: 64 KiB [Priv 12.7] */

/* The first stage's format of a satp.MODE; null for Bare and for modes that there are not. */
const struct pt_fmt *gva_format(uint32_t mode);

/* Why the walk may not go on from WORD of LEVEL to what it leads to, or use it as a leaf; 0: it
 * may. An enum cordon_gva_end. [Priv 12.3.2, steps 3 to 9] */
uint32_t gva_word_refused(const struct cordon_gva_ask *ask, unsigned level, uint64_t word);

/* What the hart sets in a leaf before it uses it so: CORDON_GVA_MARK_*. */
uint32_t gva_word_marks(const struct cordon_gva_ask *ask, uint64_t word);

/* log2 of the bytes that a leaf of LEVEL leads to. */
static inline unsigned gva_leaf_shift(unsigned level, uint64_t word)
{
    return (word & PTE_N) != 0 ? GVA_NAPOT_SHIFT : pt_shift(level);
}

#endif
