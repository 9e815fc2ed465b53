/*
 * TLBs of harts that are threads. An access that has begun ends before a fence does: it holds the
 * lock for reading. Each fence begins a new generation of what may be remembered. Harts that go on
 * and on must not keep it from the lock for ever: who includes this defines _DEFAULT_SOURCE, for
 * kinds of locks.
 */
#ifndef TLB_LOCK_H
#define TLB_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

static pthread_rwlock_t tlb;
static atomic_ulong tlb_generation;

static inline void tlb_open(void)
{
    pthread_rwlockattr_t fair;

    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&tlb, &fair);
    atomic_store(&tlb_generation, 1);
}

static inline void tlb_close(void)
{
    pthread_rwlock_destroy(&tlb);
}

/* As struct cordon_port_ops has it. */
static inline void tlb_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    pthread_rwlock_wrlock(&tlb);
    atomic_fetch_add(&tlb_generation, 1);
    pthread_rwlock_unlock(&tlb);
}

#endif
