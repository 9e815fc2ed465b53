/* Short names of the public lock, for use inside the layer; and a wait that lets the holder run. */
#ifndef CORDON_CORE_LOCK_H
#define CORDON_CORE_LOCK_H

#include <cordon/lock.h>

#include "port_word.h"

#define lock cordon_lock
#define lock_init cordon_lock_init
#define lock_give cordon_lock_give

static inline void lock_take(struct lock *l)
{
    uint_fast32_t mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

    while (atomic_load_explicit(&l->now, memory_order_acquire) != mine) {
        port_wait();
    }
}

#endif
