/*
 * Bytes that say where they belong: each 8 of them name a port, a packet and an offset in it.
 *
 * Byte K of a packet is byte K%8 of the word K/8, which is a bijection of (port, sequence, K/8):
 * all bytes differ from packet to packet, and any 8 that stand together can be asked whose they
 * are. So a check does not only find a wrong byte: it says what came in its place. Needs nothing of
 * DPDK.
 */
#ifndef DPDK_LIB_PATTERN_H
#define DPDK_LIB_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_WORD 8u              /* bytes that name their place */
#define PATTERN_PORT_MAX 63u         /* 6 bits */
#define PATTERN_SEQUENCE_BITS 26u    /* a sequence number is taken modulo 2^26 */
#define PATTERN_BYTES_MAX (1u << 23) /* of one packet or block */

/* Whose bytes: what sent them, and the how manieth packet (or block) of it they are. */
struct pattern {
    uint32_t port;
    uint32_t sequence;
};

/* What stood where other bytes were wanted. */
enum pattern_kind {
    PATTERN_ZEROS,   /* the first wrong byte is 0, and what is wrong behind it: nothing came */
    PATTERN_ELSE,    /* bytes of a pattern, at another place or of another packet */
    PATTERN_UNKNOWN, /* no pattern's bytes */
};

/* What a check has found; it adds up over the pieces of one packet. Starts as {0}. */
struct pattern_wrong {
    uint64_t count;  /* wrong bytes in all; what follows is told of the first */
    uint64_t offset; /* where in its packet it stands */
    uint8_t wanted;  /* what should stand there */
    uint8_t found;   /* what stands there */
    enum pattern_kind kind;
    struct pattern whose; /* PATTERN_ELSE: where the bytes belong */
    uint64_t place;       /* PATTERN_ELSE: the offset at which the wrong byte would be right */
};

/* Write bytes [OFFSET, OFFSET + LEN) of packet P to TO, of any alignment. */
void pattern_fill(struct pattern p, uint64_t offset, void *to, size_t len);

/* Compare bytes [OFFSET, OFFSET + LEN) of packet P with those at AT; true: all are right. Else
 * WRONG is added to. Only the LEN bytes are looked at. */
bool pattern_check(struct pattern p, uint64_t offset, const void *at, size_t len,
                   struct pattern_wrong *wrong);

/* Whose 8 bytes stand at AT, if a pattern's: P and the offset of the first of them. Of random bytes
 * one in 4,096 is taken for a pattern's. */
bool pattern_name(const void *at, struct pattern *p, uint64_t *offset);

/* One line: "120 wrong bytes; the first at 64: wanted 0x3f, found 0x91, of port 1, packet 7, byte
 * 0". Returns TEXT. */
const char *pattern_say(const struct pattern_wrong *wrong, char *text, size_t size);

#endif
