/* Words that hardware walks, recording build: each step is logged, in order, and checked. */
#ifndef CORDON_PORT_WORD_H
#define CORDON_PORT_WORD_H

#include <cordon/port.h>

#include <sched.h>

#include "port/note.h"

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

/* Tell the recorder of a step that is no store: see port/note.h. */
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
