/*
 * Guests that run while their frames move: threads that stand for harts read and write through what
 * they have cached of the map, others move the frames, make runs and free them. No write is lost,
 * no wrong byte is seen, and no domain sees another's.
 *
 * A hart here has one cached translation; it is asked to forget at a fence, and answers between two
 * accesses, or at once while it is not in its guest: then it asks the map anew. That is all a real
 * one promises.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <sched.h>

#include "plain_bench.h"
#include "thread_bench.h"

#define RAM_LEN (UINT64_C(16) << 20)
#define G_RAM UINT64_C(0x40000000)
#define HARTS 4u /* two a domain */
#define DOMAINS 2u
#define PAGES 1300u
#define MOVES 300u
#define RUNS 12u

struct hart {
    atomic_bool inside; /* it may use what it has cached */
    atomic_uint seen;   /* the last fence that it has answered */
    uint64_t last[PAGES];
    uint64_t done;
};

static struct {
    uint8_t *ram;
    cordon_ctx *ctx;
    struct cordon_port_ops ops;
    cordon_domain *domain[DOMAINS];
    struct hart hart[HARTS];
    atomic_uint fences;
} t;

/* All harts forget; the layer waits for each. */
static void on_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    unsigned number = atomic_fetch_add(&t.fences, 1) + 1;

    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    for (unsigned i = 0; i < HARTS; i++) {
        while (atomic_load(&t.hart[i].inside) && (int)(atomic_load(&t.hart[i].seen) - number) < 0) {
            (void)sched_yield();
        }
    }
}

/* ---- harts -------------------------------------------------------------------------------- */

/* Go in with a translation of a page; null: it was told to forget on the way. */
static uint64_t *enter(struct hart *h, cordon_domain *d, uint64_t page)
{
    unsigned before = atomic_load(&t.fences);
    struct cordon_touched at;

    if (!MUST(cordon_touch(d, cordon_gpa_make(G_RAM + page * PAGE), CORDON_WRITE, &at) == 0)) {
        return NULL;
    }
    atomic_store(&h->seen, before);
    atomic_store(&h->inside, true);
    if (atomic_load(&t.fences) != before) {
        atomic_store(&h->inside, false);
        return NULL;
    }
    return (uint64_t *)(void *)(t.ram + (at.hpa.v - RAM));
}

/* A word of its own in each page: what it wrote last is what it reads. */
static void access_page(struct hart *h, unsigned number, uint64_t page)
{
    uint64_t *words = enter(h, t.domain[number % DOMAINS], page);
    uint64_t tag = (uint64_t)(number + 1) << 56;

    for (unsigned i = 0; words != NULL && i < 16; i++) {
        MUST(words[number] == h->last[page]);
        words[number] = tag | ++h->done;
        h->last[page] = tag | h->done;
        if (atomic_load(&t.fences) != atomic_load(&h->seen)) {
            break;
        }
    }
    atomic_store(&h->inside, false);
}

static void *run(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    struct hart *h = &t.hart[number];
    uint64_t seed = number + 1;

    while (!atomic_load(&threads.stop)) {
        access_page(h, number, pick(&seed, PAGES));
    }
    return NULL;
}

/* ---- who moves ---------------------------------------------------------------------------- */

static void *make_runs(void *arg)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .len = UINT64_C(2) << 20, .align = UINT64_C(2) << 20};
    uint64_t moved = 0;

    (void)arg;
    for (unsigned i = 0; i < RUNS && !atomic_load(&threads.stop); i++) {
        struct cordon_run_made made;
        int err = cordon_run_make(t.ctx, &want, 0, &made);

        MUST(err == 0 || err == -CORDON_ENOMEM);
        if (err == 0) {
            MUST(t.ram[made.hpa.v - RAM + i * PAGE] == 0);
            memset(t.ram + (made.hpa.v - RAM), 0xa5, want.len);
            MUST(cordon_run_free(t.ctx, made.hpa, want.len) == 0);
        }
        moved += made.moves.pages;
    }
    MUST(moved > 0);
    return NULL;
}

/* A domain that comes and goes: whoever moves its frames lets go of it before its end. */
static void *come_and_go(void *arg)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};

    (void)arg;
    while (!atomic_load(&threads.stop)) {
        struct cordon_extent list[64];
        size_t count = 64;
        cordon_domain *d = NULL;

        if (cordon_domain_create(t.ctx, &cfg, &d) != 0) {
            continue; /* all that is free is a run at this moment */
        }
        if (cordon_scatter_alloc(t.ctx, 64 * PAGE, 1, 7, list, &count) == 0) {
            const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                         .gpa = {G_RAM},
                                         .len = 64 * PAGE,
                                         .perms = CORDON_RWX,
                                         .extents = list,
                                         .extent_count = count};

            for (int err = cordon_change(d, &op, 1); err != 0 && count > 0; count--) {
                MUST(cordon_run_free(t.ctx, list[count - 1].hpa, list[count - 1].len) == 0);
            }
        }
        MUST(cordon_domain_destroy(d) == 0);
    }
    return NULL;
}

static void move_about(void)
{
    uint64_t seed = 99;

    for (unsigned i = 0; i < MOVES && !atomic_load(&threads.stop); i++) {
        uint64_t page = pick(&seed, PAGES - 20), count = 1 + pick(&seed, 16);
        int err = cordon_relocate(t.domain[i % DOMAINS], cordon_gpa_make(G_RAM + page * PAGE),
                                  count * PAGE, NULL);

        MUST(err == 0 ||
             err == -CORDON_ENOMEM); /* a run may be in the making of all that is free */
    }
}

/* ---- the test ----------------------------------------------------------------------------- */

static void open_domains(void)
{
    static struct cordon_extent list[PAGES];

    for (unsigned i = 0; i < DOMAINS; i++) {
        size_t count = PAGES;

        t.domain[i] = plain_domain(t.ctx);
        assert_int_equal(cordon_scatter_alloc(t.ctx, PAGES * PAGE, 1, i + 1, list, &count), 0);
        const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                     .gpa = {G_RAM},
                                     .len = PAGES * PAGE,
                                     .perms = CORDON_RWX,
                                     .extents = list,
                                     .extent_count = count};

        assert_int_equal(cordon_change(t.domain[i], &op, 1), 0);
    }
}

static void open_all(void)
{
    t.ram = plain_ram(RAM_LEN);
    t.ops = (struct cordon_port_ops){.size = sizeof(t.ops), .hart_fence = on_fence};
    t.ctx = plain_ctx(t.ram, RAM_LEN, 7, &t.ops);
    open_domains();
    for (unsigned i = 0; i < DOMAINS; i++) {
        plain_enter(t.domain[i], i); /* a number of a hart for all that run it */
    }
}

static void test_guests_that_run_see_no_wrong_byte_while_their_frames_move(void **state)
{
    pthread_t hart[HARTS], maker, other;

    (void)state;
    open_all();
    threads_start(run, HARTS, hart);
    threads_start(make_runs, 1, &maker);
    threads_start(come_and_go, 1, &other);
    move_about();
    threads_join(1, &maker);
    atomic_store(&threads.stop, true);
    threads_join(1, &other);
    threads_join(HARTS, hart);
    threads_judge();
    for (unsigned i = 0; i < HARTS; i++) {
        assert_int_not_equal(t.hart[i].done, 0);
    }
    plain_sound(t.ctx);
    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_domain_leave(t.domain[i], i), 0);
        assert_int_equal(cordon_domain_destroy(t.domain[i]), 0);
    }
    assert_int_equal(cordon_ctx_destroy(t.ctx), 0);
    (void)munmap(t.ram, RAM_LEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_guests_that_run_see_no_wrong_byte_while_their_frames_move)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
