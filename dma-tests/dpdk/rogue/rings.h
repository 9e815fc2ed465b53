/* The rings of Intel's network cards, behind the back of their driver: by the registers of BAR 0.
 */
#ifndef DPDK_ROGUE_RINGS_H
#define DPDK_ROGUE_RINGS_H

#include "lib/port.h"
#include <stdbool.h>
#include <stdint.h>

struct rings {
    volatile uint8_t *bar;
    uint64_t len;
    uint32_t at[2];   /* registers of the ring that receives, and of the one that sends */
    uint64_t base[2]; /* where the driver's rings stand */
    uint32_t head[2]; /* where the card was */
    uint32_t tail[2]; /* where the driver was */
};

/* Map the card's registers. Ends the program for a card of another kind. */
struct rings rings_open(const struct port *p);
void rings_close(struct rings *r);

/* Say that the ring stands at IOVA, and is empty (send) or free as a whole (receive). */
void rings_move(struct rings *r, bool send, uint64_t iova);

/* Have the card fetch one descriptor, and do what it says. */
void rings_send_one(struct rings *r);

/* The driver's ring again, as it was. */
void rings_restore(struct rings *r, bool send);

#endif
