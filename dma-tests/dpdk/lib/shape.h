/* The shapes of packets, and of blocks that are copied: number NUMBER has the same shape on both
 * ends, by these limits alone. */
#ifndef DPDK_LIB_SHAPE_H
#define DPDK_LIB_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#define SHAPE_SEGMENTS_MAX 40u
#define SHAPE_SIZE_MAX 16384u
#define SHAPE_EVERY_2M 32u /* one of so many packets lies across a 2 MiB border */

/* A border that the segment of interest lies across. */
enum shape_border { SHAPE_NO_BORDER, SHAPE_4K, SHAPE_2M };

struct shape_limits {
    uint32_t frame_max;    /* bytes of a packet */
    uint32_t segments_max; /* of a packet */
    bool every_size;       /* 1, 2, 3 ... instead of those beside powers of two */
    uint32_t size;         /* of every packet, whose segments are as long as each other; or 0 */
    uint32_t frame_min;    /* but for every packet of one size */
};

struct shape {
    unsigned count;
    uint16_t len[SHAPE_SEGMENTS_MAX];
    uint8_t align[SHAPE_SEGMENTS_MAX]; /* address modulo 64 */
    uint32_t total;
    unsigned of_interest;     /* the segment whose size NUMBER is about */
    enum shape_border border; /* across which that one is to lie */
    uint32_t cut;             /* so many bytes of it stand before the border */
};

/* How many packets it takes to go through all sizes (and, but for every_size, with each count of
 * segments); with one size, 64 with each count. */
uint32_t shape_round(const struct shape_limits *l);

/* The sizes that a packet of these limits cannot have: how many, and the smallest. */
uint32_t shape_sizes_skipped(const struct shape_limits *l, uint32_t *first);

void shape_of(const struct shape_limits *l, uint32_t number, struct shape *out);

#endif
