/* A DMA engine by DPDK's rte_dmadev: one channel of it, from memory to memory, in order. */
#ifndef DPDK_COPY_ENGINE_H
#define DPDK_COPY_ENGINE_H

#include "lib/packet.h"
#include <stdbool.h>
#include <stdint.h>

#define ENGINE_BURST 32u /* the most that engine_done() tells at once */

struct engine {
    int16_t id;
    const char *name;
    uint16_t ring;   /* descriptors, as many as the device takes of those that were asked for */
    uint16_t pieces; /* of a copy, on either side; 1: it neither gathers nor scatters */
    bool fills;
    bool takes_pointers; /* the program's own addresses (SVA), not bus addresses */
    uint64_t refused;    /* copies and fills that found the ring full */
};

/* Open and start the engine NAME, or the first one if null, with a ring of about RING. Ends the
 * program if there is none, or if it does not copy memory. */
void engine_open(struct engine *e, const char *name, uint16_t ring);

/* An engine that has failed may not stop: that is said, and is no end of the program. */
void engine_close(const struct engine *e);

/* Have it copy: FROM's bytes in order to TO, which has as many. False: its ring is full. */
bool engine_copy(struct engine *e, const struct piece *from, unsigned from_count,
                 const struct piece *to, unsigned to_count);

/* Have it write PATTERN's 8 bytes to TO, again and again. False: its ring is full. */
bool engine_fill(struct engine *e, uint64_t pattern, const struct piece *to);

/* Have it begin with what it was given. */
void engine_go(const struct engine *e);

/* How many more it has done, in the order that they were given; right[i]: the
 * engine says that the i-th went well. */
unsigned engine_done(const struct engine *e, bool right[ENGINE_BURST]);

#endif
