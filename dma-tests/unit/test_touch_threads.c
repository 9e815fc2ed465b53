/*
 * Storms of first touches: from many threads at once, on a machine that has not enough memory for
 * all of them, while others discard, populate and allocate. Each frame is accounted for at the end,
 * each page that comes holds zeroes, and who was promised memory finds it.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, sched_yield */

#include <sched.h>

#include "plain_bench.h"
#include "thread_bench.h"

#define RAM_LEN (UINT64_C(12) << 20) /* with what is promised, too little for one hart more */
#define AT UINT64_C(0x40000000)
#define DOMAINS 3u /* the last one's memory is promised */
#define HARTS 2u   /* a domain */
#define SHARE 900u /* pages of its own a hart: all together are more than there are frames */
#define TURNS 4000u
#define SAME_THREADS 4u
#define SAME_PAGES 1500u

static struct {
    uint8_t *ram;
    cordon_ctx *ctx;
    cordon_domain *domain[DOMAINS];
    uint64_t free;
    atomic_uint filled, spurious, refused;
} m;

static int setup(void **state)
{
    (void)state;
    memset(&m, 0, sizeof(m));
    m.ram = plain_ram(RAM_LEN);
    m.ctx = plain_ctx(m.ram, RAM_LEN, 7, NULL);
    m.free = plain_free(m.ctx);
    for (unsigned i = 0; i < DOMAINS; i++) {
        m.domain[i] = plain_domain(m.ctx);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    threads_judge();
    plain_sound(m.ctx);
    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_domain_destroy(m.domain[i]), 0);
    }
    assert_int_equal(plain_free(m.ctx), m.free);
    assert_int_equal(cordon_ctx_destroy(m.ctx), 0);
    return munmap(m.ram, RAM_LEN);
}

static int change(cordon_domain *d, uint32_t kind, uint32_t flags, uint64_t gpa, uint64_t pages)
{
    const struct cordon_op op = {.kind = kind,
                                 .flags = flags,
                                 .gpa = {gpa},
                                 .len = pages * PAGE,
                                 .perms = kind == CORDON_OP_GRANT ? CORDON_RW : 0};

    return cordon_change(d, &op, 1);
}

/* ---- the same pages, from everywhere ------------------------------------------------------- */

static void *same_thread(void *arg)
{
    struct cordon_touched out;

    (void)arg;
    for (uint64_t i = 0; i < SAME_PAGES; i++) {
        if (!MUST(cordon_touch(m.domain[0], (cordon_gpa){AT + i * PAGE}, CORDON_WRITE, &out) ==
                  0)) {
            break;
        }
        atomic_fetch_add(out.what == CORDON_TOUCH_FILLED ? &m.filled : &m.spurious, 1);
    }
    return NULL;
}

static void test_one_touch_fills_a_page_and_the_others_find_it(void **state)
{
    pthread_t thread[SAME_THREADS];
    struct cordon_memory_stats s;

    (void)state;
    assert_int_equal(change(m.domain[0], CORDON_OP_GRANT, CORDON_REGION_DEMAND, AT, SAME_PAGES), 0);
    threads_start(same_thread, SAME_THREADS, thread);
    threads_join(SAME_THREADS, thread);
    assert_int_equal(atomic_load(&m.filled), SAME_PAGES);
    assert_int_equal(atomic_load(&m.spurious), (SAME_THREADS - 1) * SAME_PAGES);
    cordon_memory_stats(m.ctx, &s);
    assert_int_equal(s.owned, SAME_PAGES * PAGE);
}

/* ---- a storm on a full machine ------------------------------------------------------------- */

/* A page that just came holds zeroes; then it is its guest's. */
static void use_page(cordon_hpa hpa, uint64_t mark)
{
    uint64_t *word = (uint64_t *)(void *)(m.ram + (hpa.v - RAM));
    uint64_t sum = 0;

    for (uint64_t i = 0; i < PAGE / sizeof(*word); i++) {
        sum |= word[i];
        word[i] = mark;
    }
    MUST(sum == 0);
}

/* A hart of a guest: touches its own part, and gives some of it back. */
static void *hart_thread(void *arg)
{
    uint64_t k = (uintptr_t)arg, seed = k + 1, first = k % HARTS * SHARE;
    bool promised = k / HARTS == DOMAINS - 1;
    cordon_domain *d = m.domain[k / HARTS];

    for (unsigned turn = 0; turn < TURNS && !atomic_load(&threads.stop); turn++) {
        uint64_t page = first + pick(&seed, SHARE), left = first + SHARE - page;
        struct cordon_touched out;
        int err = cordon_touch(d, (cordon_gpa){AT + page * PAGE}, CORDON_WRITE, &out);

        MUST(err == 0 || (err == -CORDON_ENOMEM && !promised));
        if (err == 0 && out.what == CORDON_TOUCH_FILLED) {
            use_page(out.hpa, k + 1);
        }
        atomic_fetch_add(err == 0 ? &m.filled : &m.refused, 1);
        if (pick(&seed, 64) == 0) {
            uint64_t pages = 1 + pick(&seed, left < 200 ? left : 200);

            MUST(change(d, CORDON_OP_DISCARD, 0, AT + page * PAGE, pages) == 0);
        }
    }
    return NULL;
}

/* Somebody who wants memory too, and gives it back. */
static void *run_thread(void *arg)
{
    uint64_t seed = (uintptr_t)arg + 100;

    while (!atomic_load(&threads.stop)) {
        const struct cordon_run_want want = {.size = sizeof(want),
                                             .len = (1 + pick(&seed, 64)) * PAGE};
        struct cordon_frame_info info;
        cordon_hpa run;
        int err = cordon_run_alloc(m.ctx, &want, &run);

        MUST(err == 0 || err == -CORDON_ENOMEM);
        if (err == 0) {
            MUST(cordon_frame_query(m.ctx, run, &info) == 0 && info.state == CORDON_FRAME_HELD);
            err = cordon_run_free(m.ctx, run, want.len);
            MUST(err == 0 || err == -CORDON_ENOMEM);
            while (err != 0 && !atomic_load(&threads.stop)) {
                err = cordon_run_free(m.ctx, run, want.len);
            }
        }
        (void)sched_yield();
    }
    return NULL;
}

static void test_a_storm_on_a_full_machine_loses_no_frame(void **state)
{
    pthread_t hart[DOMAINS * HARTS], other;

    (void)state;
    for (unsigned i = 0; i < DOMAINS; i++) {
        uint32_t flags = i == DOMAINS - 1 ? CORDON_REGION_PROMISED : 0;

        assert_int_equal(
            change(m.domain[i], CORDON_OP_GRANT, CORDON_REGION_DEMAND | flags, AT, HARTS * SHARE),
            0);
    }
    threads_start(run_thread, 1, &other);
    threads_start(hart_thread, DOMAINS * HARTS, hart);
    threads_join(DOMAINS * HARTS, hart);
    atomic_store(&threads.stop, true);
    threads_join(1, &other);
    assert_true(atomic_load(&m.filled) > TURNS);
    assert_true(atomic_load(&m.refused) > 0); /* it was full at times */
    /* Memory that was promised is there still. */
    assert_int_equal(cordon_populate(m.domain[DOMAINS - 1], (cordon_gpa){AT}, HARTS * SHARE * PAGE),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_touch_fills_a_page_and_the_others_find_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_storm_on_a_full_machine_loses_no_frame, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
