/* Words that hardware walks, freestanding build: plain stores and the fence instruction. */
#ifndef CORDON_PORT_WORD_H
#define CORDON_PORT_WORD_H

#include <cordon/port.h>

#include "port/unseen.h"

/* Make one word of a table, directory or queue visible; a single 64-bit store. HPA is its address.
 */
static inline void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value)
{
    (void)cookie;
    (void)hpa;
    *(volatile uint64_t *)word = value;
}

/* One read of a word that others may change at any time: a single 64-bit load. */
static inline uint64_t port_load_foreign(void *cookie, const uint64_t *word)
{
    (void)cookie;
    return *(const volatile uint64_t *)word;
}

/* Order all earlier memory accesses before all later stores to memory and devices. */
static inline void port_fence(void *cookie)
{
    (void)cookie;
    __asm__ volatile("fence rw, ow" ::: "memory");
}

/* One turn of a wait for a lock that another holds: on a host, whoever holds it may need the
 * processor. */
static inline void port_wait(void)
{
}

#endif
