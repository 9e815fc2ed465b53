/*
 * What the builder's files share: one descent over the tables of several views at once.
 *
 * A node is one table on the way, with the word that led to it. Views that came to the same table
 * make one node, so that what they share is written once; an entry that is empty in several nodes
 * gets one new table for all of them. Every table that a change enters belongs to the change's
 * views alone: pt_open puts a copy in the place of one that others share too.
 *
 * A new table (a copy, a split leaf, a part that was empty) is fresh: it is filled before pt_close
 * fences and stores the one word that makes it reachable. [INV 7]
 */
#ifndef CORDON_PT_EDIT_H
#define CORDON_PT_EDIT_H

#include "pt/walk.h"

struct pt_node {
    uint64_t *table;
    uint64_t old;     /* the word in its parents: 0, a leaf that is split, or a table */
    uint32_t members; /* bit i: node i of the level above leads here */
    bool fresh;       /* not reachable yet; in pt_reserve: would be */
};

/* A place in a list of extents, and in the address space that it backs. */
struct pt_cursor {
    const struct cordon_extent *extent, *end;
    uint64_t used; /* bytes of the extent that are behind us */
    uint64_t linear;
};

struct pt_edit {
    struct pt_forest *f;
    struct pt_pool *pool;
    struct pt_retire *retire;
    uint64_t offset;        /* mapping: HPA less linear address */
    uint64_t bits;          /* mapping: a leaf without PPN; changing: what KEPT leaves out */
    uint64_t kept;          /* changing: bits of a leaf that stay */
    unsigned max_leaf;      /* mapping: the highest level that may hold leaves */
    struct pt_cursor *list; /* mapping: whence 4 KiB leaves take their frames, if not null */
    bool map;
    bool all; /* every view of the forest takes part: no table is shared with others */
};

/* How many bits are set. */
static inline unsigned pt_members(uint32_t mask)
{
    unsigned count = 0;

    for (; mask != 0; mask &= mask - 1) {
        count++;
    }
    return count;
}

/* One node for each view's root; returns how many. */
unsigned pt_roots(const struct pt_forest *f, uint32_t views, struct pt_node *nodes);

/* Group what entry INDEX of the nodes holds, one child for each different word; members and old are
 * set. Returns how many. */
unsigned pt_gather(const struct pt_node *nodes, unsigned count, unsigned index,
                   struct pt_node *child);

/* Does a table of LEVEL hold a leaf in FIRST..LAST? */
bool pt_holds(const struct pt_forest *f, unsigned level, const uint64_t *table, uint64_t first,
              uint64_t last);

/* The tables under the entry that holds FIRST..LAST, made where needed: empty entries when mapping,
 * leaves that the range covers in part, tables shared with others. Returns how many. */
unsigned pt_open(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned count,
                 uint64_t first, uint64_t last, struct pt_node *child);

/* After the children were edited: publish the fresh ones, take out those that EMPTY names (bit i:
 * child i). Returns which nodes became empty by that. */
uint32_t pt_close(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned index,
                  const struct pt_node *child, unsigned count, uint32_t empty);

/* A table with the same words; what it leads to has one parent more. And one of LEVEL that says
 * what LEAF, one level up, said, in runs of 64 KiB where the forest has such. Both are from the
 * pool, and not reachable yet. */
uint64_t *pt_copy_table(struct pt_edit *e, unsigned level, const uint64_t *from);
uint64_t *pt_split_leaf(struct pt_edit *e, unsigned level, uint64_t leaf);

/* Store WORD in entry INDEX of each member of CHILD. Returns the nodes that this left empty. */
uint32_t pt_put(struct pt_edit *e, const struct pt_node *nodes, unsigned index,
                const struct pt_node *child, uint64_t word);

/* A grant is cut into pieces: a run that one offset describes, or a list of shorter runs inside one
 * leaf table. Reserve and commit cut alike. */
struct pt_piece {
    uint64_t first, last; /* linear; a list may end before LAST */
    uint64_t offset;
    bool list;
};
struct pt_cursor pt_grant_begin(const struct pt_fmt *fmt, const struct pt_grant *g);
/* The next piece. The cursor goes behind a run; a list is for the caller to go through. */
bool pt_grant_next(struct pt_cursor *at, struct pt_piece *out);
/* Go through a list up to LAST, without looking at it. */
void pt_grant_skip(struct pt_cursor *at, uint64_t last);
/* If some of a grant's views say its memory type and some do not: the same grant for either. */
bool pt_grant_split(const struct pt_forest *f, const struct pt_grant *g, struct pt_grant *typed,
                    struct pt_grant *plain);
/* Sum of the extents, in pages. EALIGN, ERANGE: one that no leaf can lead to. */
CORDON_MUST_CHECK int pt_grant_pages(const struct pt_grant *g, uint64_t *pages);

/* Write leaves for FIRST..LAST into every node, from LEVEL down. */
void pt_map_level(struct pt_edit *e, unsigned level, const struct pt_node *nodes, unsigned count,
                  uint64_t first, uint64_t last);

/* Frames of the reserve. pt_pool_take gives a table of zeroes. */
uint64_t *pt_pool_take(struct pt_forest *f, struct pt_pool *pool);
void pt_pool_give(struct pt_forest *f, struct pt_pool *pool, uint64_t *table);

/* TABLE has lost PARENTS words. Without any left it is retired, and so on below it. */
void pt_drop(struct pt_forest *f, struct pt_retire *retire, unsigned level, uint64_t *table,
             unsigned parents);

/* While one table holds the whole range, and nobody else has it, go down; nothing needs opening. */
static inline unsigned pt_sink(const struct pt_edit *e, unsigned level, struct pt_node *node,
                               uint64_t first, uint64_t last)
{
    while (level > 0 && (first ^ last) >> pt_shift(level) == 0) {
        uint64_t word = node->table[pt_index(e->f->fmt, level, first)];

        if (!pt_word_is_table(word)) {
            break;
        }
        node->table = pt_word_table(e->f, word);
        level--;
    }
    return level;
}

#endif
