/*
 * Table words: made whole, and taken apart. [Priv 12.3.1, 12.4.1, 18.5.1]
 *
 * A leaf is V, A, D, U for the second stage, the rights, the PPN and a memory type. A and D are
 * clear where they are to tell what was used and written (pt/marks.h); hardware may set them there
 * at any time. A non-leaf is V and the PPN: all else is reserved there. Nothing here sets G or a
 * reserved bit, so that a word with one of them is not ours. The word of what is not mapped is 0.
 *
 * A 64 KiB leaf is 16 words of a leaf table, all the same: N, and a PPN that ends in 1000b. A and D
 * are always set in them, so that hardware never writes one. [Priv Svnapot]
 */
#ifndef CORDON_PT_WORD_H
#define CORDON_PT_WORD_H

#include "pt/pt.h"

#define PTE_RIGHTS (PTE_R | PTE_W | PTE_X)
#define PTE_MARKS (PTE_A | PTE_D)
#define PT_INDEX_BITS 9u
#define PT_LEAF_MAX 2u /* the highest level that may hold leaves: 1 GiB */
#define PT_HPA_BITS 56u
#define PT_HPA_PAGE GENMASK64(PT_HPA_BITS - 1, CORDON_PAGE_SHIFT)
#define PT_NAPOT_PAGES 16u /* words, and pages, of a 64 KiB leaf */
#define PT_NAPOT_LOW (PTE_PPN & (PT_NAPOT_PAGES * (PTE_PPN & -PTE_PPN) - 1))
#define PT_NAPOT_SIZE (PTE_N | BIT64(13)) /* the PPN's lowest 1 says that it is 64 KiB */
#define PT_RIGHTS_LEGAL \
    0xbau /* bit p: a leaf can say the rights p; write without read is reserved */

static inline unsigned pt_shift(unsigned level)
{
    return CORDON_PAGE_SHIFT + PT_INDEX_BITS * level;
}

/* Bytes under one entry of LEVEL. */
static inline uint64_t pt_span(unsigned level)
{
    return BIT64(pt_shift(level));
}

static inline bool pt_perms_legal(uint32_t perms)
{
    return perms <= CORDON_RWX && ((PT_RIGHTS_LEGAL >> perms) & 1u) != 0;
}

/* The PPN field of HPA, and back. */
static inline uint64_t pt_ppn_put(uint64_t hpa)
{
    return hpa >> (CORDON_PAGE_SHIFT - 10);
}

static inline cordon_hpa pt_word_hpa(uint64_t word)
{
    return cordon_hpa_make((word & PTE_PPN) << (CORDON_PAGE_SHIFT - 10));
}

static inline uint32_t pt_word_perms(uint64_t word)
{
    return (uint32_t)((word & PTE_RIGHTS) >> 1);
}

static inline uint64_t pt_leaf_make(const struct pt_fmt *fmt, unsigned level, uint64_t hpa,
                                    uint32_t perms)
{
    cordon_assert(level <= PT_LEAF_MAX && pt_perms_legal(perms));
    cordon_assert((hpa & (pt_span(level) - 1)) == 0 && hpa >> PT_HPA_BITS == 0);
    return fmt->leaf_bits | (uint64_t)perms << 1 | pt_ppn_put(hpa);
}

/* What is added to a leaf of LEVEL to make the leaf of the run's next page. */
static inline uint64_t pt_leaf_step(unsigned level)
{
    return pt_ppn_put(pt_span(level));
}

/* The bits of a leaf that say what it is besides whither it leads, and under which rights and type.
 */
static inline uint64_t pt_leaf_bits(uint64_t leaf)
{
    return leaf & ~(PTE_PPN | PTE_RIGHTS | PTE_PBMT);
}

static inline uint64_t pt_table_make(cordon_hpa table)
{
    return PTE_V | pt_ppn_put(table.v);
}

static inline bool pt_word_is_table(uint64_t word)
{
    return (word & (PTE_V | PTE_RIGHTS)) == PTE_V;
}

static inline bool pt_word_is_leaf(uint64_t word)
{
    return (word & PTE_V) != 0 && (word & PTE_RIGHTS) != 0;
}

/* ---- 64 KiB ------------------------------------------------------------------------------- */

static inline bool pt_word_is_napot(uint64_t word)
{
    return (word & PTE_N) != 0;
}

/* The word that stands 16 times for 64 KiB, of which LEAF is any 4 KiB. */
static inline uint64_t pt_napot_make(uint64_t leaf)
{
    return (leaf & ~PT_NAPOT_LOW) | PT_NAPOT_SIZE;
}

/* What the word with INDEX in a leaf table says of its own page, as a leaf of 4 KiB says it: as the
 * specification's implicit reads do. */
static inline uint64_t pt_word_page(uint64_t word, uint64_t index)
{
    return pt_word_is_napot(word)
               ? (word & ~(PTE_N | PT_NAPOT_LOW)) | pt_leaf_step(0) * (index % PT_NAPOT_PAGES)
               : word;
}

/* The same where it stands. */
static inline uint64_t pt_page_leaf(const uint64_t *word)
{
    return pt_word_page(*word, (uintptr_t)word / sizeof(*word));
}

/* ---- ours --------------------------------------------------------------------------------- */

/* True for words without N and memory type that the functions above make for this place, at level 0
 * with A and D or without, and for 0. */
static inline bool pt_word_plain(const struct pt_fmt *fmt, unsigned level, uint64_t word)
{
    uint64_t plain = word & ~PTE_PPN;

    if (plain == PTE_V) {
        return level > 0;
    }
    if (((plain & ~PTE_RIGHTS) | PTE_MARKS) == fmt->leaf_bits) {
        return pt_perms_legal(pt_word_perms(word)) && level <= PT_LEAF_MAX &&
               (level == 0 || (word & PTE_MARKS) == PTE_MARKS) &&
               (word & PTE_PPN & (pt_leaf_step(level) - 1)) == 0;
    }
    return word == 0;
}

static inline bool pt_word_ours(const struct pt_fmt *fmt, unsigned level, uint64_t word)
{
    uint64_t type = word & PTE_PBMT;

    if (type != 0 && (type == PTE_PBMT || !pt_word_is_leaf(word))) {
        return false;
    }
    word ^= type;
    if (!pt_word_is_napot(word)) {
        return pt_word_plain(fmt, level, word);
    }
    return level == 0 && (word & ~(PTE_PPN | PTE_RIGHTS)) == (fmt->leaf_bits | PTE_N) &&
           (word & PT_NAPOT_LOW) == (PT_NAPOT_SIZE & PTE_PPN) &&
           pt_perms_legal(pt_word_perms(word));
}

#endif
