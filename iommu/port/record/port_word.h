/* Words that hardware walks, recording build: each step is logged, in order, and checked. */
#ifndef CORDON_PORT_WORD_H
#define CORDON_PORT_WORD_H

#include <cordon/port.h>

#include <sched.h>

enum port_note {
    PORT_NOTE_CLAIM,
    PORT_NOTE_FREE,
    PORT_NOTE_DRAIN,
    PORT_NOTE_COMMAND,
    PORT_NOTE_LEND,   /* frames, and the borrower's word for them: another domain shares them */
    PORT_NOTE_RECALL, /* the same: its leaves are about to go */
    PORT_NOTE_RETURN, /* the same: nothing of its can reach them any more */
    PORT_NOTE_COPY,   /* frames, and the address of those that get their contents */
    PORT_NOTE_ENTER,  /* domain | hart << 16 | VMID << 32, and the G-stage's root: runs there now */
    PORT_NOTE_LEAVE   /* domain | hart << 16: no more */
};

/* Make one word of a table, directory or queue visible; a single 64-bit store. HPA is its address.
 */
void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value);

/* One atomic step on a word that hardware may change meanwhile: clear bits or set them, and return
 * the word before; or replace the word, if it is still OLD. */
uint64_t port_clear64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits);
uint64_t port_set64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits);
bool port_swap64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t old, uint64_t value);

/* One read of a word that others may change at any time: a single 64-bit load. A test may have it
 * changed right behind the load: see struct port_record. */
uint64_t port_load_foreign(void *cookie, const uint64_t *word);

/* Order all earlier memory accesses before all later stores to memory and devices. */
void port_fence(void *cookie);

/*
 * Tell the recorder of a step that is no store:
 *   CLAIM    frames got a state that is not FREE: a = HPA | pages - 1 (at most 512), b = first word
 *   FREE     frames become FREE or HELD again:    a = HPA | pages - 1, b = state or word before
 *   COMMAND  an IOMMU was given a command:        a, b = its two words
 *   DRAIN    an IOMMU has confirmed all commands before, or a reset has ended a device's DMA:
 *            a = domain number, b = 0
 *   COPY     frames are about to be copied:       a = HPA | pages - 1, b = HPA of the copy
 *   ENTER    a hart runs a domain from here on:   a = domain | hart << 16 | VMID << 32, b = HPA of
 *            the G-stage's root
 *   LEAVE    and no more:                         a = domain | hart << 16
 */
void port_note(void *cookie, enum port_note note, uint64_t a, uint64_t b);

/* False when a test wants this allocation to fail. */
bool port_may_alloc(void *cookie);

/* One turn of a wait for a lock that another holds: on a host, whoever holds it may need the
 * processor. */
static inline void port_wait(void)
{
    (void)sched_yield();
}

#endif
