/*
 * Arithmetic over a format, and the ways from a table's HPA to its words and its ownership word.
 *
 * Inside the room an address is linear: the bits above the format's width are cut off, so that both
 * halves of a sign-extended space stand one behind the other, and last + 1 never wraps. Ranges are
 * first and last, both included.
 */
#ifndef CORDON_PT_WALK_H
#define CORDON_PT_WALK_H

#include "core/ctx.h"
#include "pt/word.h"
#include <port_word.h>

#define PT_MAX_LEVELS 5u

/* Kept out of line, so that the common case before it needs no frame of its own. */
#define PT_SLOW __attribute__((noinline)) static

static inline unsigned pt_top(const struct pt_fmt *fmt)
{
    return fmt->levels - 1u;
}

static inline unsigned pt_root_order(const struct pt_fmt *fmt)
{
    return fmt->root_bits - PT_INDEX_BITS;
}

/* Words in a table of LEVEL. */
static inline unsigned pt_entries(const struct pt_fmt *fmt, unsigned level)
{
    return 1u << (level == pt_top(fmt) ? fmt->root_bits : PT_INDEX_BITS);
}

static inline uint64_t pt_linear(const struct pt_fmt *fmt, uint64_t gpa)
{
    return gpa & (BIT64(fmt->address_bits) - 1);
}

/* The address that software says for a linear one. */
static inline uint64_t pt_unlinear(const struct pt_fmt *fmt, uint64_t linear)
{
    bool high = fmt->sign_extended && linear >> (fmt->address_bits - 1u) != 0;

    return high ? linear | ~(BIT64(fmt->address_bits) - 1) : linear;
}

static inline bool pt_in_width(const struct pt_fmt *fmt, uint64_t gpa)
{
    return pt_unlinear(fmt, pt_linear(fmt, gpa)) == gpa;
}

/* Index of a linear address. At the root nothing stands above the index. */
static inline unsigned pt_index(const struct pt_fmt *fmt, unsigned level, uint64_t linear)
{
    return (unsigned)(linear >> pt_shift(level)) & (pt_entries(fmt, level) - 1u);
}

/* Index in a table that is not the root. */
static inline unsigned pt_index_below(unsigned level, uint64_t linear)
{
    return (unsigned)(linear >> pt_shift(level)) & ((1u << PT_INDEX_BITS) - 1u);
}

/* Last address of the part of FIRST..LAST that the entry of FIRST holds. */
static inline uint64_t pt_entry_last(unsigned level, uint64_t first, uint64_t last)
{
    uint64_t end = first | (pt_span(level) - 1);

    return end < last ? end : last;
}

static inline bool pt_entry_whole(unsigned level, uint64_t first, uint64_t last)
{
    return ((first | ~last) & (pt_span(level) - 1)) == 0;
}

/* How many entries of LEVEL a range touches, and how many of these it covers in part: 0, 1 or 2. */
static inline uint64_t pt_touched(unsigned level, uint64_t first, uint64_t last)
{
    return (last >> pt_shift(level)) - (first >> pt_shift(level)) + 1;
}

static inline uint64_t pt_partial(unsigned level, uint64_t first, uint64_t last)
{
    uint64_t inside = pt_span(level) - 1;
    uint64_t head = (first & inside) != 0, tail = (~last & inside) != 0;

    return pt_touched(level, first, last) == 1 ? (head | tail) : head + tail;
}

/* Table frames that an empty entry of TOP needs to hold first..last in leaves of at most
 * MAX_LEAF; and with MAX_LEAF = TOP, what a leaf there needs to be split at both ends of the
 * range. */
static inline uint64_t pt_tables_for(unsigned top, unsigned max_leaf, uint64_t first, uint64_t last)
{
    uint64_t tables = 0;

    for (unsigned level = 1; level <= top; level++) {
        tables +=
            level > max_leaf ? pt_touched(level, first, last) : pt_partial(level, first, last);
    }
    return tables;
}

/* The highest level whose leaves can hold a run that is backed OFFSET away from where it stands. */
static inline unsigned pt_leaf_level(uint64_t offset)
{
    unsigned level = PT_LEAF_MAX;

    while (!is_aligned(offset, pt_span(level))) {
        level--;
    }
    return level;
}

static inline uint64_t *pt_table_ptr(const struct pt_forest *f, cordon_hpa table)
{
    return (uint64_t *)(uintptr_t)(table.v + f->ctx->frames.offset);
}

static inline cordon_hpa pt_word_at(const struct pt_forest *f, const uint64_t *word)
{
    return cordon_hpa_make((uint64_t)(uintptr_t)word - f->ctx->frames.offset);
}

static inline uint64_t *pt_word_table(const struct pt_forest *f, uint64_t word)
{
    return pt_table_ptr(f, pt_word_hpa(word));
}

/* One word that hardware may read; tables that are not reachable yet are written the same way. */
static inline void pt_store(const struct pt_forest *f, uint64_t *word, uint64_t value)
{
    port_store64(f->ctx->cookie, word, pt_word_at(f, word), value);
}

/* A table's ownership word: parents and valid entries. A root's parents are not counted. This is
 * frames_word_at, inline: each change of one page needs it. */
static inline uint64_t *pt_own(const struct pt_forest *f, const uint64_t *table)
{
    uint64_t hfn = pt_word_at(f, table).v >> CORDON_PAGE_SHIFT;
    const struct frame_block *block = pool_block(&f->ctx->frames, hfn);

    cordon_assert(block != NULL && block->words != NULL);
    return &block->words[hfn & (BLOCK_FRAMES - 1)];
}

static inline uint64_t pt_refs(const struct pt_forest *f, const uint64_t *table)
{
    return field_get(FW_TABLE_REFS, *pt_own(f, table));
}

#define PT_REFS_ONE (FW_TABLE_REFS & -FW_TABLE_REFS)
#define PT_VALID_ONE (FW_TABLE_VALID & -FW_TABLE_VALID)

static inline uint64_t pt_valid(uint64_t own)
{
    return field_get(FW_TABLE_VALID, own);
}

/* Change an ownership word. Others write none of ours, but may scan the words of the block for
 * their states, which stay. */
static inline void pt_own_set(uint64_t *own, uint64_t value)
{
    __atomic_store_n(own, value, __ATOMIC_RELAXED);
}

/* Add to the count of valid entries; returns the new one. */
static inline uint64_t pt_valid_add(const struct pt_forest *f, const uint64_t *table, int delta)
{
    uint64_t *own = pt_own(f, table);

    pt_own_set(own, *own + (uint64_t)(int64_t)delta * PT_VALID_ONE);
    return pt_valid(*own);
}

static inline uint64_t pt_refs_add(const struct pt_forest *f, const uint64_t *table, int delta)
{
    uint64_t *own = pt_own(f, table);

    pt_own_set(own, *own + (uint64_t)(int64_t)delta * PT_REFS_ONE);
    return field_get(FW_TABLE_REFS, *own);
}

/* The common case of every change: the range lies in one leaf table that all views of the forest
 * lead to, and all of them take part; and that table is f->ready. An address that is not linear
 * never is. */
static inline bool pt_is_ready(const struct pt_forest *f, uint32_t views, uint64_t first,
                               uint64_t last)
{
    return ((first ^ f->ready_at) | (first ^ last)) >> pt_shift(1) == 0 && views == f->views;
}

/* The same, but look for the table if it is another one. The addresses are linear. */
bool pt_find_ready(struct pt_forest *f, uint32_t views, uint64_t first, uint64_t last);

static inline bool pt_ready(struct pt_forest *f, uint32_t views, uint64_t first, uint64_t last)
{
    return pt_is_ready(f, views, first, last) || pt_find_ready(f, views, first, last);
}

/* Write the leaf of one page, which was empty, into the table that pt_ready has found. */
static inline void pt_fill_ready(struct pt_forest *f, uint64_t gpa, uint64_t hpa, uint32_t perms)
{
    uint64_t *word = &f->ready[pt_index_below(0, gpa)];

    cordon_assert(*word == 0);
    port_fence(f->ctx->cookie); /* what the frame holds comes first [INV 7] */
    pt_store(f, word, pt_leaf_make(f->fmt, 0, hpa, perms));
    pt_own_set(f->ready_own, *f->ready_own + PT_VALID_ONE);
    port_fence(f->ctx->cookie);
}

/* The table of LEVEL, which is not the root's, over a linear address, if all views of the forest
 * lead to one. Or null. */
uint64_t *pt_find_table(const struct pt_forest *f, unsigned level, uint64_t linear);

/* The highest level up to MOST of which a range covers whole entries only. */
static inline unsigned pt_whole_level(unsigned most, uint64_t first, uint64_t last)
{
    unsigned level = 0;

    while (level < most && pt_entry_whole(level + 1, first, last)) {
        level++;
    }
    return level;
}

/* The one table of LEVEL that holds the whole range, if all views of the forest lead to it and all
 * take part. Or null. */
static inline uint64_t *pt_common(struct pt_forest *f, uint32_t views, unsigned level,
                                  uint64_t first, uint64_t last)
{
    if (level == 0) {
        return pt_ready(f, views, first, last) ? f->ready : NULL;
    }
    return views == f->views && (first ^ last) >> pt_shift(level + 1) == 0
               ? pt_find_table(f, level, first)
               : NULL;
}

/* Is a change of PAGES pages from GPA plainly in range, and inside one leaf table's part? Says
 * no to a few that are in range too: those of the high half of a first stage. */
static inline bool pt_plain(const struct pt_fmt *fmt, uint64_t gpa, uint64_t pages)
{
    uint64_t last = gpa + (pages << CORDON_PAGE_SHIFT) - 1;

    return (gpa & ~fmt->page_bits) == 0 && pages - 1 < 1u << PT_INDEX_BITS &&
           (gpa ^ last) >> pt_shift(1) == 0;
}

/* May the frame at HPA be read as a table? Frames of none of the context's banks may not. */
bool pt_is_table(const struct pt_forest *f, cordon_hpa hpa);

/* 0, EALIGN or ERANGE: can PAGES pages from GPA stand in a table of this format? */
CORDON_MUST_CHECK int pt_range_check(const struct pt_fmt *fmt, cordon_gpa gpa, uint64_t pages);

#endif
