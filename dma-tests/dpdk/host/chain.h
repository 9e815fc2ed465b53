/*
 * Chains of mbufs in a guest's memory, of any shape: how many segments, how long each, where each
 * begins.
 */
#ifndef CHAIN_H
#define CHAIN_H

#include "guest.h"
#include "lib/pattern.h"

struct rte_mbuf;

#define CHAIN_SEGMENTS 40u
#define CHAIN_LARGEST 16384u /* bytes of a segment */
#define CHAIN_GUARD 64u      /* bytes on either side of a segment, which no device may touch */

/* One segment: its bytes, and where it begins in its page. */
struct shape {
    uint32_t len;
    uint32_t at; /* 0..4095: the offset in a page of 4 KiB */
};

/* What chains are made of. */
struct stock {
    struct guest *g;
    struct rte_mempool *far;  /* in large pages: segments of any size at any alignment */
    struct rte_mempool *near; /* in pages of 4 KiB, none beside its neighbour: up to CHAIN_NEAR */
    uint8_t *border;          /* a border of 2 MiB, 32 KiB of memory on either side */
    uint32_t next_at;         /* each alignment has its turn */
};

#define STOCK_SEGMENTS 400u /* that may be in use at a time */
#define CHAIN_NEAR 1024u    /* bytes */

void stock_open(struct stock *s, struct guest *g, const char *name);
void stock_close(struct stock *s);

/* COUNT segments. The one of index BORDER (COUNT or more: none) stands across a border of 2 MiB, if
 * it has two bytes; one chain of a stock may have such a one at a time. */
struct rte_mbuf *chain_make(struct stock *s, const struct shape *shapes, uint32_t count,
                            uint32_t border);
void chain_free(struct rte_mbuf *m);

/* A length up to LARGEST, small ones as likely as large ones. */
uint32_t chain_length(struct machine *m, uint32_t largest);
/* Cut BYTES at random into at most CHAIN_SEGMENTS segments; returns how many. */
uint32_t chain_cut(struct stock *s, uint32_t bytes, struct shape *out);
/* The next alignment. */
uint32_t chain_at(struct stock *s);

/* The packet's bytes into the segments, or the check of them there. */
void chain_fill(struct rte_mbuf *m, struct pattern p);
bool chain_check(const struct rte_mbuf *m, struct pattern p, struct pattern_wrong *wrong);

/* Draw the guards around each segment, and look whether they still stand. */
void chain_guard(struct rte_mbuf *m);
bool chain_is_guarded(const struct rte_mbuf *m);

#endif
