/* Ports: found, set up with what their device can, started; and what they have counted. */
#ifndef DPDK_LIB_PORT_H
#define DPDK_LIB_PORT_H

#include <stdbool.h>
#include <stdint.h>

struct rte_mempool;

#define PORT_FRAME_MIN 60u /* shorter ones are padded by somebody */

struct port_settings {
    uint16_t tx_ring; /* descriptors; rounded to what the device can */
    uint16_t rx_ring;
    uint32_t frame_max; /* the longest packet wanted, without CRC */
    uint32_t link_ms;   /* wait so long for the link */
};

struct port {
    uint16_t id;
    char name[64];    /* as EAL calls it: "0000:00:01.0" */
    char driver[32];  /* "net_e1000_em" */
    uint16_t tx_ring; /* what it has */
    uint16_t rx_ring;
    uint32_t frame_max;    /* the longest packet that it sends and takes, without CRC */
    uint32_t frame_most;   /* the longest that the device could */
    uint16_t segments_max; /* of one packet */
};

/* How many ports there are; ends the program if there are fewer than LEAST. */
uint16_t port_count(uint16_t least);

/* Set a port up with one queue each way, with multi-segment packets both ways, promiscuous, start
 * it and wait for its link. What it receives comes from POOL. Ends the program if that cannot be.
 */
void port_open(struct port *p, uint16_t id, const struct port_settings *s,
               struct rte_mempool *pool);

/* Stop it. Its descriptors hold no packet of ours any more. */
void port_close(struct port *p);

/* What the device says that it could not take: no descriptor, no buffer, broken. */
uint64_t port_missed(const struct port *p);

/* As an object of a list of JSON. */
void port_say(const struct port *p);

#endif
