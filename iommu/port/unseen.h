/* What is alike in the builds that record nothing: see port/free and port/host. */
#ifndef CORDON_PORT_UNSEEN_H
#define CORDON_PORT_UNSEEN_H

#include <cordon/port.h>

#include "port/note.h"

/* One atomic step on a word that hardware may change meanwhile: clear bits or set them, and return
 * the word before; or replace the word, if it is still OLD. */
static inline uint64_t port_clear64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits)
{
    (void)cookie;
    (void)hpa;
    return __atomic_fetch_and(word, ~bits, __ATOMIC_ACQ_REL);
}

static inline uint64_t port_set64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits)
{
    (void)cookie;
    (void)hpa;
    return __atomic_fetch_or(word, bits, __ATOMIC_ACQ_REL);
}

static inline bool port_swap64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t old,
                               uint64_t value)
{
    (void)cookie;
    (void)hpa;
    return __atomic_compare_exchange_n(word, &old, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED);
}

/* Tell the recorder, if there is one, of a step that is no store: see port/record. */
static inline void port_note(void *cookie, enum port_note note, uint64_t a, uint64_t b)
{
    (void)cookie;
    (void)note;
    (void)a;
    (void)b;
}

/* False when a test wants this allocation to fail. */
static inline bool port_may_alloc(void *cookie)
{
    (void)cookie;
    return true;
}

#endif
