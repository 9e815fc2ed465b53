/*
 * Orders carried out by edu functions side by side, and what came of them.
 *
 * Orders of one kind go together: the devices' buffers are loaded once, each order has its own
 * place in one of them, and they are looked at once. So an order costs little more than its own
 * transfer.
 */
#ifndef GUEST_WAVES_H
#define GUEST_WAVES_H

#include "lib/edu.h"
#include "lib/memory.h"

#define NAME_BYTES 40u
#define PATTERN_BYTES 16u
/* What attacks write. Neither word of it is odd: in a page table it makes no valid entry. */
#define MARKER "ROGUE-IN HERE!!!"
#define LATE "ROGUE-LATE DMA!!" /* what is on its way while its page is given back */
#define IDLE "EDU-DID-NOTHING!" /* what a buffer holds before a read */

enum kind { KIND_READ, KIND_WRITE, KIND_MESSAGE, KIND_OWN, KIND_COUNT };

struct order {
    enum kind kind;
    char name[NAME_BYTES];
    uint64_t iova;
    uint32_t len; /* or the data of a message */
};

/* An edu function with the pages that it needs. */
struct worker {
    struct edu edu;
    struct page from; /* what its buffer is loaded with */
    struct page to;   /* where its buffer is looked at */
};

/* Fill a page with a pattern of PATTERN_BYTES. */
void pattern_fill(uint8_t *at, const char *pattern);

/* Start loading the worker's whole buffer with a pattern. */
void worker_load(struct worker *w, const char *pattern);

/* Carry out all, in order, and print a line each. */
void waves_run(struct worker *w, size_t workers, const struct order *o, size_t count);

#endif
