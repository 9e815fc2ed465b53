/*
 * Blocks that an engine moves: where each lies, and how it is moved, follows from its number. A lap
 * has every shape; from lap to lap a block of several pieces goes to one place, from one place to
 * pieces, and from pieces to other ones; in the last lap all are fills. What stands beside where a
 * block is written belongs to nobody, and must stay.
 */
#ifndef DPDK_COPY_BLOCK_H
#define DPDK_COPY_BLOCK_H

#include "copy/engine.h"
#include "lib/arena.h"

/* Blocks that may be under way at once. */
#define BLOCKS_AHEAD ARENA_SLOTS

enum block_kind { BLOCK_COPY, BLOCK_GATHER, BLOCK_SCATTER, BLOCK_REGROUP, BLOCK_FILL, BLOCK_KINDS };

/* The kind's name in results. */
const char *block_kind_name(enum block_kind kind);

struct block {
    uint32_t number;
    enum block_kind kind;
    unsigned from_count, to_count;
    struct piece from[SHAPE_SEGMENTS_MAX], to[SHAPE_SEGMENTS_MAX];
};

/* What checks have found. Starts as {0}. */
struct block_wrong {
    struct pattern_wrong bytes; /* in blocks */
    uint64_t beside;            /* bytes beside blocks that have changed */
};

/* How many blocks it takes until every shape has been moved in every way. */
uint32_t block_round(const struct shape_limits *limits, bool fills);

/* Lay out block NUMBER with memory of both arenas, and write what is to be moved; block NUMBER -
 * BLOCKS_AHEAD is done. LIMITS has as many segments as the engine takes. */
void block_make(struct block *b, uint32_t number, const struct shape_limits *limits, bool fills,
                struct arena *from, struct arena *to);

/* Give it to the engine. False: its ring is full. */
bool block_start(const struct block *b, struct engine *e);

/* Compare what stands where it was to be written, and beside; true: all is right. */
bool block_check(const struct block *b, struct block_wrong *wrong);

#endif
