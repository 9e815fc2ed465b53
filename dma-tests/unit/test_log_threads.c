/*
 * Harvests beside harts that write: whoever copies each page that a harvest calls dirty has, in the
 * end, what was written last. The harts have TLBs that keep D until they are fenced, and a store of
 * theirs that has begun ends before a fence does.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS; locks that a writer is not kept from for ever */

#include <cordon/cordon.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define RAM UINT64_C(0x80000000)
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
static pthread_rwlock_t tlb; /* held for reading: a store is under way */
static atomic_ulong generation;
static atomic_uint running, rounds;

static void hart_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    pthread_rwlock_wrlock(&tlb);
    atomic_fetch_add(&generation, 1);
    pthread_rwlock_unlock(&tlb);
}

struct hart {
    pthread_t thread;
    unsigned long kept[PAGES]; /* the generation in which the TLB took it, with D */
    uint64_t seed;
};

/* One store. False: it faulted. */
static bool hart_store(struct hart *h, unsigned i)
{
    unsigned long now;

    pthread_rwlock_rdlock(&tlb);
    now = atomic_load(&generation);
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
    struct hart *h = arg;
    struct cordon_touched done;

    for (unsigned n = 0; n < STORES || atomic_load(&rounds) < ROUNDS; n++) {
        h->seed = h->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        unsigned i = (unsigned)(h->seed >> 33) % PAGES;

        while (!hart_store(h, i)) {
            int err = cordon_touch(domain, cordon_gpa_make(GPA + i * PAGE), CORDON_WRITE, &done);

            assert_int_equal(err, 0);
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

    assert_int_equal(cordon_change(domain, &op, 1), 0);
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
        assert_int_equal(cordon_coalesce(domain, &what, &out), 0);
    }
    return NULL;
}

static void grant(uint64_t gpa)
{
    struct cordon_run_want want = {
        .size = sizeof(want), .len = PAGES * PAGE, .align = UINT64_C(2) << 20};
    struct cordon_extent e = {.len = want.len};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .gpa = {gpa},
                           .len = want.len,
                           .perms = CORDON_RWX,
                           .extents = &e,
                           .extent_count = 1};

    assert_int_equal(cordon_run_alloc(ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_change(domain, &op, 1), 0);
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
    const struct cordon_extent bank = {{RAM}, RAM_LEN};
    struct cordon_port_ops ops = {.size = sizeof(ops), .hart_fence = hart_fence};
    struct cordon_entry entry = {.size = sizeof(entry)};
    struct cordon_domain_config dc = {.size = sizeof(dc), .gpa_limit = UINT64_C(1) << 31};
    uint8_t *ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = &ops,
                                      .ram_offset = (uint64_t)(uintptr_t)ram - RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 14};
    static struct hart hart[HARTS];
    pthread_rwlockattr_t fair;
    pthread_t aside;
    struct cordon_finding found;
    uint64_t dirty = 0;

    (void)state;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&tlb, &fair);
    atomic_store(&generation, 1);
    assert_ptr_not_equal(ram, MAP_FAILED);
    assert_int_equal(cordon_ctx_create(&cfg, &ctx), 0);
    assert_int_equal(cordon_domain_create(ctx, &dc, &domain), 0);
    assert_int_equal(cordon_domain_enter(domain, 0, &entry), 0); /* for all of them */
    grant(GPA);
    grant(ASIDE);
    mark(GPA, CORDON_REGION_LOG);
    find_leaves(ram);
    atomic_store(&running, HARTS);
    for (unsigned i = 0; i < HARTS; i++) {
        hart[i].seed = 7 + i;
        assert_int_equal(pthread_create(&hart[i].thread, NULL, hart_run, &hart[i]), 0);
    }
    assert_int_equal(pthread_create(&aside, NULL, aside_run, NULL), 0);
    while (atomic_load(&running) > 0) {
        dirty += copy_dirty();
        atomic_fetch_add(&rounds, 1);
    }
    for (unsigned i = 0; i < HARTS; i++) {
        assert_int_equal(pthread_join(hart[i].thread, NULL), 0);
    }
    assert_int_equal(pthread_join(aside, NULL), 0);
    dirty += copy_dirty();
    assert_true(dirty >= PAGES / 2);
    for (unsigned i = 0; i < PAGES; i++) {
        assert_int_equal(copy[i], atomic_load(&page[i]));
    }
    assert_int_equal(cordon_audit(ctx, &found), 0);
    assert_int_equal(cordon_domain_leave(domain, 0), 0);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_ctx_destroy(ctx), 0);
    munmap(ram, RAM_LEN);
    pthread_rwlock_destroy(&tlb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harvests_beside_harts_that_write_lose_no_dirty_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
