/*
 * Packets as lists of pieces of memory, each at the address one wants: chains of mbufs over it, and
 * their bytes.
 *
 * Byte K of a packet is byte K of its pattern, but for the Ethernet header at its start. So its
 * first whole word behind the header says what packet it is.
 */
#ifndef DPDK_LIB_PACKET_H
#define DPDK_LIB_PACKET_H

#include "lib/pattern.h"
#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

#define PACKET_HEADER 14u
#define PACKET_NAME_AT 16u       /* the word that names the packet; longer packets have it */
#define PACKET_TYPE_DATA 0x88b5u /* EtherTypes for local experiments */
#define PACKET_TYPE_HELLO 0x88b6u

struct piece {
    uint8_t *at;
    uint64_t iova; /* where the device finds it */
    uint16_t len;
};

/* Write the bytes of P's pattern into COUNT pieces. */
void pieces_fill(struct pattern p, const struct piece *pieces, unsigned count);

/* Write the bytes of packet P into COUNT pieces: its header stands over the pattern's first. */
void packet_fill(struct pattern p, const struct piece *pieces, unsigned count);

/* A chain over the pieces, whose memory stays the caller's: until the device has read it, nobody
 * may change it. POOL gives the mbufs (of no data room); null if it is empty. */
struct rte_mbuf *packet_chain(struct rte_mempool *pool, const struct piece *pieces, unsigned count);

/* A pool for packet_chain. Ends the program if there is no memory. */
struct rte_mempool *packet_pool(const char *name, unsigned count);

/* A pool whose buffers hold ROOM bytes behind the headroom, each byte PACKET_POISON. */
#define PACKET_POISON 0xeeu
struct rte_mempool *packet_buffers(const char *name, unsigned count, uint16_t room);

/* Give a received chain back, poisoned again. */
void packet_free(struct rte_mbuf *chain);

/* The EtherType of a received chain; 0: it is too short for one of ours. */
uint16_t packet_type(const struct rte_mbuf *chain);

/* Which packet a received chain says it is; false: none of ours. */
bool packet_name(const struct rte_mbuf *chain, struct pattern *p);

/* Compare a received chain with packet P: its bytes, and that nothing was written behind its end.
 */
bool packet_check(const struct rte_mbuf *chain, struct pattern p, struct pattern_wrong *wrong);

#endif
