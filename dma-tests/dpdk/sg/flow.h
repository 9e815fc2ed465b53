/* One end of a two-way flow: sends its packets, and checks those of the other end. */
#ifndef DPDK_SG_FLOW_H
#define DPDK_SG_FLOW_H

#include "lib/arena.h"
#include "lib/port.h"

#define FLOW_BURST 8u

struct flow {
    struct port *port;
    uint32_t number; /* of this end, in its patterns */
    uint32_t other;  /* of the other end, once it is known */
    uint32_t count;  /* packets each way */
    uint32_t ahead;  /* sent at most so far ahead of what was received: see flow_ahead() */
    struct shape_limits limits;
    struct rte_mempool *chains;
    struct rte_mempool *copies; /* set: a flood, sent without regard to what has come */
    struct arena arena;
    bool met;                           /* the other end has been heard */
    bool known;                         /* and it has heard this one */
    bool served;                        /* and it has all that this one sent */
    struct rte_mbuf *ready[FLOW_BURST]; /* made, and refused: the next to be sent */
    uint16_t ready_count;
    uint32_t sent;
    uint32_t received; /* all up to here have come, or will never: they come in order */
    uint32_t came;     /* packets that were checked */
    uint8_t *seen;     /* flood: which came; emulated wires mix their order when they overflow */
    uint64_t bytes;    /* received */
    uint64_t buffers;  /* that they came in */
    uint64_t refused;  /* sends for which there were no descriptors left */
    uint64_t strange;  /* frames that are none of the other end's */
    uint64_t wrong;    /* packets with wrong bytes or of a wrong length */
};

/* How many packets an end may send ahead of those it has received, whose longest takes BUFFERS of
 * the other end's ring of RING. The other end's packets tell it that its own have come: twice as
 * many are under way at most. They fit into half of the ring, for an emulated wire mixes the order
 * of what it has to keep; and their memory is used again after ARENA_SLOTS. */
uint32_t flow_ahead(uint32_t ring, uint32_t buffers);

/* Hear and be heard by the other ends; ends the program if one stays silent for MS. */
void flow_meet(struct flow *flows, unsigned count, uint32_t ms);

/* Stay for at most MS until the other ends have all: some wires are memory of one end's, and go
 * with it. */
void flow_part(struct flow *flows, unsigned count, uint32_t ms);

/* Send what may be sent now. Returns how many packets went. */
uint32_t flow_send(struct flow *f);

/* Take and check what has come, at most FLOW_BURST. Returns how many frames came. */
uint32_t flow_receive(struct flow *f);

bool flow_is_over(const struct flow *f);

#endif
