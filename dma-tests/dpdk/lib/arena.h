/* Memory of packets and blocks: each lies where its shape says, and stays until its DMA is over. */
#ifndef DPDK_LIB_ARENA_H
#define DPDK_LIB_ARENA_H

#include "lib/packet.h"
#include "lib/shape.h"

/* Packets whose memory is in use at once. Of these one lies across a 2 MiB border. */
#define ARENA_SLOTS SHAPE_EVERY_2M

/* What segments there were. */
struct arena_seen {
    uint64_t segments;
    uint64_t across_4k;
    uint64_t across_2m;
    uint64_t alignments; /* bit n: an address n modulo 64 */
    uint32_t size_least;
    uint32_t size_most;
    uint32_t count_most; /* segments of a packet */
};

struct arena {
    uint8_t *at; /* 4 MiB, contiguous for the device, on a 2 MiB border */
    uint64_t iova;
    struct arena_seen seen;
};

/* Ends the program if the guest has no 4 MiB in a row. */
void arena_make(struct arena *a, const char *name);

/* Lay out packet NUMBER and note what it is made of; packet NUMBER - ARENA_SLOTS is gone. */
void arena_place(struct arena *a, uint32_t number, const struct shape *s, struct piece *pieces);

/* Sizes, alignments and borders, as members of the JSON object that is open. */
void arena_say(const struct arena_seen *seen);

#endif
