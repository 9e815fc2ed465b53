/*
 * A port of a guest: the scatter-gather engine behind the IOMMU, driven as a NIC's driver would.
 *
 * Its ring of descriptors lies in the guest's memory. What it sends it reads into its own buffer,
 * the wire; what it receives it writes from there.
 */
#ifndef PORT_H
#define PORT_H

#include "guest.h"
#include "model/cordon_sg.h"

struct rte_mbuf;

#define RING_SIZE 8192u        /* descriptors */
#define WIRE_BYTES (16u << 20) /* of the buffer */

struct port {
    struct guest *g;
    uint32_t id; /* of the device */
    cordon_device *dev;
    cordon_sg *sg;
    uint8_t *wire;
    struct cordon_sg_descriptor *ring;
    uint64_t ring_iova;
    uint32_t used; /* of the ring */
};

/* DRAIN: enum cordon_drain. Each port has a view of its own. */
void port_open(struct port *p, struct guest *g, uint32_t id, const char *name, uint32_t drain);
/* Out of the guest, with what it holds dropped. */
void port_close(struct port *p);
/* Its reset has ended all that it had in flight. */
void port_reset(struct port *p);

/* Ask for LEN bytes at IOVA from (WRITE) or to the wire at OFFSET: a descriptor a page. Returns the
 * index of the first. */
uint32_t port_put(struct port *p, uint64_t iova, uint32_t len, bool write, uint64_t offset);
/* The same for each segment of a chain, one behind the other on the wire; returns the wire's offset
 * behind them. */
uint64_t port_put_chain(struct port *p, const struct rte_mbuf *m, bool write, uint64_t offset);
/* Do all that was asked for. 0, or the IOMMU's cause; DONE (may be NULL): descriptors done. */
int port_kick(struct port *p, uint32_t *done);

#endif
