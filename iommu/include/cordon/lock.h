/*
 * A ticket lock, the same on a host and on a hart.
 *
 * Order: domain, then frames, then IOMMU queue. The lock word lies in ordinary memory; nothing that
 * waits for hardware on another hart is done under a lock that a trap handler takes.
 */
#ifndef CORDON_LOCK_H
#define CORDON_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cordon_lock {
    atomic_uint_fast32_t next;
    atomic_uint_fast32_t now;
};

static inline void cordon_lock_init(struct cordon_lock *l)
{
    atomic_init(&l->next, 0);
    atomic_init(&l->now, 0);
}

static inline void cordon_lock_take(struct cordon_lock *l)
{
    uint_fast32_t mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

    while (atomic_load_explicit(&l->now, memory_order_acquire) != mine) {
    }
}

/* Take it only if nobody holds it or waits for it. */
static inline bool cordon_lock_try(struct cordon_lock *l)
{
    uint_fast32_t now = atomic_load_explicit(&l->now, memory_order_relaxed);

    return atomic_compare_exchange_strong_explicit(&l->next, &now, now + 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static inline void cordon_lock_give(struct cordon_lock *l)
{
    uint_fast32_t mine = atomic_load_explicit(&l->now, memory_order_relaxed);

    atomic_store_explicit(&l->now, mine + 1, memory_order_release);
}

#endif
