/*
 * Two ports on one line, for packets of three pieces, one of which may stand anywhere on the bus:
 * the mbuf says one address to the card and another one to the program.
 */
#ifndef DPDK_LIB_LINE_H
#define DPDK_LIB_LINE_H

#include "lib/port.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINE_PIECE 1024u /* bytes of a piece: what one receive buffer takes */
#define LINE_PACKET (3 * LINE_PIECE)
/* What honest pieces hold again and again behind the Ethernet header; the digit is the piece's. */
#define LINE_MARK "0-CORDON-BY-DPDK"

struct rte_mbuf;
struct rte_mempool;
struct rte_pktmbuf_extmem;

struct line {
    struct port from, to;
    struct rte_mempool *send, *receive;
    struct rte_mbuf *aimed; /* a buffer that is said to stand elsewhere */
    uint64_t aimed_iova;    /* where it stands */
};

enum line_where { LINE_FIRST, LINE_MIDDLE, LINE_LAST, LINE_NONE, LINE_WHERES };

/* What has come in; of none the length is 0. */
struct line_packet {
    uint32_t len;
    uint8_t bytes[LINE_PACKET];
};

/* The place that a word names; LINE_WHERES if it names none. */
enum line_where line_where(const char *word);

/* Port 0 and port 1, started; ends the program if they cannot be. Port 1's buffers stand in MEMORY,
 * or in memory of DPDK's if that is null. */
void line_open(struct line *l, const struct rte_pktmbuf_extmem *memory);
void line_close(struct line *l);

/* Send one packet from port 0; its piece WHERE is said to stand at IOVA. */
void line_send(struct line *l, enum line_where where, uint64_t iova);

/* Send a packet of the first piece alone. */
void line_send_one(struct line *l);

/* Have port 1 store piece WHERE of the next packet at IOVA. Honest packets are sent and taken
 * until the buffers that this says come to be used. */
void line_aim(struct line *l, enum line_where where, uint64_t iova);

/* Wait a moment for a packet, and take it. */
void line_take(struct line *l, struct line_packet *out);

/* The same without a look into its buffers, which may be gone; false: none came. What a driver,
 * which had to look, took for more than one packet is taken with it. */
bool line_drop(struct line *l);

/* The bytes of piece WHERE of a packet of line_send's. */
void line_fill(uint8_t *at, enum line_where where);

/* True if all pieces but WHERE hold what line_send gave them. */
bool line_rest_right(const struct line_packet *p, enum line_where where);

/* How many bytes of piece WHERE are not zero. */
uint32_t line_foreign(const struct line_packet *p, enum line_where where);

#endif
