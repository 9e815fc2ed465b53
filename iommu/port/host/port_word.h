/* Words that hardware walks, host build: atomic stores and a C11 fence. */
#ifndef CORDON_PORT_WORD_H
#define CORDON_PORT_WORD_H

#include <sched.h>
#include <stdatomic.h>

#include <cordon/port.h>

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
static inline void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value)
{
    (void)cookie;
    (void)hpa;
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* what walks it may be a thread */
}

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

/* One turn of a wait for a lock that another holds: on a host, whoever holds it may need the
 * processor. */
static inline void port_wait(void)
{
    (void)sched_yield();
}

#endif
