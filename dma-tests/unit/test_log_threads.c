/*
 * Harvests beside harts that write: whoever copies each page that a harvest calls dirty has, in the
 * end, what was written last. The harts have TLBs that keep D until they are fenced, and a store of
 * theirs that has begun ends before a fence does.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, kinds of locks */

#include "plain_bench.h"
#include "thread_bench.h"
#include "tlb_lock.h"

#define RAM_LEN (UINT64_C(24) << 20)
#define GPA UINT64_C(0x40000000)
#define ASIDE UINT64_C(0x50000000) /* logged and large in turn */
#define PAGES 1024u
#define HARTS 2u
#define STORES 2000u /* of a hart, at least */
#define ROUNDS 20u   /* harvests beside them, at least */
#define PTE_D UINT64_C(0x80)

static cordon_ctx *ctx;
static cordon_domain *domain;
static uint64_t *leaf[PAGES];
static atomic_ulong page[PAGES]; /* what a page holds */
static unsigned long copy[PAGES];
static atomic_uint running, rounds;

struct hart {
    unsigned long kept[PAGES]; /* the generation in which the TLB took it, with D */
    uint64_t seed;
};

static struct hart hart[HARTS];

/* One store. False: it faulted. */
static bool hart_store(struct hart *h, unsigned i)
{
    unsigned long now;

    pthread_rwlock_rdlock(&tlb);
    now = atomic_load(&tlb_generation);
    if (h->kept[i] != now && (__atomic_load_n(leaf[i], __ATOMIC_ACQUIRE) & PTE_D) != 0) {
        h->kept[i] = now;
    }
    bool stored = h->kept[i] == now;

    if (stored) {
        atomic_fetch_add(&page[i], 1);
    }
    pthread_rwlock_unlock(&tlb);
    return stored;
}

static void *hart_run(void *arg)
{
    struct hart *h = &hart[(uintptr_t)arg];
    struct cordon_touched done;

    h->seed = 7 + (uintptr_t)arg;
    for (unsigned n = 0; n < STORES || atomic_load(&rounds) < ROUNDS; n++) {
        unsigned i = (unsigned)pick(&h->seed, PAGES);

        while (!hart_store(h, i)) {
            int err = cordon_touch(domain, cordon_gpa_make(GPA + i * PAGE), CORDON_WRITE, &done);

            if (!MUST(err == 0)) {
                break;
            }
        }
    }
    atomic_fetch_sub(&running, 1);
    return NULL;
}

static uint64_t copy_dirty(void)
{
    uint64_t map[PAGES / 64];
    const struct cordon_harvest what = {
        .size = sizeof(what), .gpa = {GPA}, .len = PAGES * PAGE, .dirty = map};
    struct cordon_harvested out;

    assert_int_equal(cordon_log_harvest(domain, &what, &out), 0);
    for (unsigned i = 0; i < PAGES; i++) {
        if ((map[i / 64] >> i % 64 & 1) != 0) {
            copy[i] = atomic_load(&page[i]);
        }
    }
    return out.dirty;
}

static void mark(uint64_t gpa, uint32_t flags)
{
    struct cordon_op op = {
        .kind = CORDON_OP_MARK, .flags = flags, .gpa = {gpa}, .len = PAGES * PAGE};

    MUST(cordon_change(domain, &op, 1) == 0);
}

/* The same map is cut up and put together elsewhere, all the while. */
static void *aside_run(void *arg)
{
    const struct cordon_coalesce what = {
        .size = sizeof(what), .gpa = {ASIDE}, .len = PAGES * PAGE, .budget = 1};
    struct cordon_coalesced out;

    (void)arg;
    while (atomic_load(&running) > 0) {
        mark(ASIDE, CORDON_REGION_LOG);
        mark(ASIDE, 0);
        MUST(cordon_coalesce(domain, &what, &out) == 0);
    }
    return NULL;
}

static void find_leaves(const uint8_t *ram)
{
    for (unsigned i = 0; i < PAGES; i++) {
        struct cordon_walk walk = {.size = sizeof(walk)};

        assert_int_equal(cordon_walk(domain, 0, cordon_gpa_make(GPA + i * PAGE), 0, &walk), 0);
        assert_int_equal(walk.hit.level, 0);
        leaf[i] = (uint64_t *)(uintptr_t)(ram + (walk.step[walk.step_count - 1].word.v - RAM));
    }
}

static void test_harvests_beside_harts_that_write_lose_no_dirty_page(void **state)
{
    const struct cordon_run_want want = {.len = PAGES * PAGE, .align = UINT64_C(2) << 20};
    struct cordon_port_ops ops = {.size = sizeof(ops), .hart_fence = tlb_fence};
    uint8_t *ram = plain_ram(RAM_LEN);
    pthread_t writer[HARTS], aside;
    uint64_t dirty = 0;

    (void)state;
    tlb_open();
    ctx = plain_ctx(ram, RAM_LEN, 14, &ops);
    domain = plain_domain(ctx);
    plain_enter(domain, 0); /* for all of them */
    (void)plain_grant(ctx, domain, GPA, want);
    (void)plain_grant(ctx, domain, ASIDE, want);
    mark(GPA, CORDON_REGION_LOG);
    find_leaves(ram);
    atomic_store(&running, HARTS);
    threads_start(hart_run, HARTS, writer);
    threads_start(aside_run, 1, &aside);
    while (atomic_load(&running) > 0) {
        dirty += copy_dirty();
        atomic_fetch_add(&rounds, 1);
    }
    threads_join(HARTS, writer);
    threads_join(1, &aside);
    threads_judge();
    dirty += copy_dirty();
    assert_true(dirty >= PAGES / 2);
    for (unsigned i = 0; i < PAGES; i++) {
        assert_int_equal(copy[i], atomic_load(&page[i]));
    }
    plain_sound(ctx);
    assert_int_equal(cordon_domain_leave(domain, 0), 0);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_ctx_destroy(ctx), 0);
    munmap(ram, RAM_LEN);
    tlb_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harvests_beside_harts_that_write_lose_no_dirty_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
