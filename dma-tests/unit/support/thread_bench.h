/* Threads of a test: how they begin and end, what fails in them, and each one's random numbers. */
#ifndef THREAD_BENCH_H
#define THREAD_BENCH_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct {
    atomic_bool stop;
    atomic_int failed; /* the line of the first failure */
} threads;

/* For threads, as cmocka's assertions are for the one that runs the test: all are to stop. */
#define MUST(cond) must((cond), __LINE__)

static inline bool must(bool cond, int line)
{
    int none = 0;

    if (!cond) {
        atomic_compare_exchange_strong(&threads.failed, &none, line);
        atomic_store(&threads.stop, true);
    }
    return cond;
}

/* COUNT threads, which get their numbers. */
static inline void threads_start(void *(*fn)(void *arg), uint64_t count, pthread_t *thread)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, fn, (void *)(uintptr_t)i), 0);
    }
}

static inline void threads_join(uint64_t count, const pthread_t *thread)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
}

/* Nothing failed in those that have ended. The next ones may run. */
static inline void threads_judge(void)
{
    int line = atomic_exchange(&threads.failed, 0);

    atomic_store(&threads.stop, false);
    if (line != 0) {
        fail_msg("line %d", line);
    }
}

/* A number below N. */
static inline uint64_t pick(uint64_t *seed, uint64_t n)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (*seed >> 33) % n;
}

#endif
