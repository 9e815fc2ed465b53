/* Network cards of Intel's, behind the back of their driver: by the registers of BAR 0. */
#ifndef DPDK_ROGUE_CARD_H
#define DPDK_ROGUE_CARD_H

#include "lib/pci.h"
#include "lib/port.h"
#include <stdbool.h>
#include <stdint.h>

struct card {
    struct pci pci;
    volatile uint8_t *bar;
    size_t len;
    const struct card_kind *kind;
    uint64_t
        base[2]; /* where the driver's rings stand: the one that receives, the one that sends */
    uint32_t head[2]; /* where the card was */
    uint32_t tail[2]; /* where the driver was */
};

/* Map the registers of a port's card. Ends the program for a card of another kind. */
struct card card_open(const struct port *p);
void card_close(struct card *c);

/* Say that the ring stands at IOVA, and is empty (send) or free as a whole (receive). */
void card_ring_move(struct card *c, bool send, uint64_t iova);

/* Have the card fetch one descriptor, and do what it says. */
void card_ring_send_one(struct card *c);

/* The driver's ring again, as it was. */
void card_ring_restore(struct card *c, bool send);

/* Have the card, an igb, write to IOVA how far it has sent, and nothing into its descriptors. Ends
 * the program for a card that cannot. */
void card_report_to(struct card *c, uint64_t iova);

/* As its driver has it again, which finds in the descriptors what was sent meanwhile. How far that
 * is. */
uint32_t card_report_end(struct card *c);

/* Have the card send TIMES messages (MSI), DATA to IOVA. Its driver, which polls, has all of its
 * interrupts masked, and they are so again. */
void card_message(struct card *c, uint64_t iova, uint16_t data, uint32_t times);

#endif
