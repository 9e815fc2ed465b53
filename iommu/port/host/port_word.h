/* Words that hardware walks, host build: atomic stores and a C11 fence. */
#ifndef CORDON_PORT_WORD_H
#define CORDON_PORT_WORD_H

#include <sched.h>
#include <stdatomic.h>

#include <cordon/port.h>

#include "port/unseen.h"

/* Make one word of a table, directory or queue visible; a single 64-bit store. HPA is its address.
 */
static inline void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value)
{
    (void)cookie;
    (void)hpa;
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* what walks it may be a thread */
}

/* One read of a word that others may change at any time: a single 64-bit load. */
static inline uint64_t port_load_foreign(void *cookie, const uint64_t *word)
{
    (void)cookie;
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Order all earlier memory accesses before all later stores to memory and devices. */
static inline void port_fence(void *cookie)
{
    (void)cookie;
    atomic_thread_fence(memory_order_seq_cst);
}

/* One turn of a wait for a lock that another holds: on a host, whoever holds it may need the
 * processor. */
static inline void port_wait(void)
{
    (void)sched_yield();
}

#endif
