/* Words of second-stage tables, as the order checker tells them apart: see order.c. */
#ifndef CORDON_PORT_RECORD_ORDER_WORDS_H
#define CORDON_PORT_RECORD_ORDER_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#define PTE_LOW 0x3ffu
#define PTE_RIGHTS 0xeu
#define PTE_EXECUTE 0x8u
#define PTE_USER 0x10u
#define PTE_LEAF 1u     /* V */
#define PTE_MARKS 0xc0u /* A, D: what hardware sets where software has not */
#define PTE_N (UINT64_C(1) << 63)
#define PTE_PBMT (UINT64_C(3) << 61)
#define NAPOT_PAGES 16u
#define PPN_SHIFT 10u
#define PPN_MASK ((UINT64_C(1) << 44) - 1)

static inline uint64_t target(uint64_t word)
{
    return word >> PPN_SHIFT & PPN_MASK;
}

static inline bool is_napot(uint64_t word)
{
    return (word & PTE_N) != 0;
}

/* Where the word with INDEX in its table leads its own page. */
static inline uint64_t page_target(uint64_t word, unsigned index)
{
    return is_napot(word) ? (target(word) & ~(uint64_t)(NAPOT_PAGES - 1)) | index % NAPOT_PAGES
                          : target(word);
}

static inline bool is_leaf(uint64_t word)
{
    return (word & ~(PTE_N | PTE_PBMT)) >> 54 == 0 && (word & PTE_PBMT) != PTE_PBMT &&
           (word & PTE_RIGHTS) != 0 &&
           (word & PTE_LOW & ~(PTE_RIGHTS | PTE_USER | PTE_MARKS)) == PTE_LEAF;
}

static inline uint64_t level_pages(unsigned level)
{
    return UINT64_C(1) << (9 * level);
}

/* A word of a 64 KiB leaf may lead hardware to any of its pages: it counts for all of them, so that
 * none is gone before the last of the 16 words is. [Priv Svnapot] */
static inline uint64_t leaf_pages(uint64_t word, unsigned level)
{
    return is_napot(word) ? NAPOT_PAGES : level_pages(level);
}

#endif
