/*
 * Many threads on one context: maps that change, devices that come and go, DMA all the while, and
 * others that look on. What counts is memory: a write that began after its page was taken away is
 * nowhere, and no frame ever holds what another domain wrote.
 *
 * Also built for ThreadSanitizer, which sees the locks: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, sched_yield */

#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "model/cordon_sg.h"
#include "plain_bench.h"
#include "thread_bench.h"

#define RAM_LEN (UINT64_C(24) << 20)
#define DOMAINS 3u
#define TURNS 40u
#define MOST_PAGES 6u
#define SCATTERED 24u
#define WINDOW UINT64_C(0x40000000) /* where the engines write, in each domain */
#define ASIDE UINT64_C(0x50000000)  /* where they do not */
#define LENT UINT64_C(0x60000000)   /* the first domain's, lent to the others */
#define BORROWED UINT64_C(0x70000000)
#define LENT_PATTERN UINT64_C(0x1e17)
#define SENTINEL UINT64_C(0x5e471e1)
#define PATIENCE_S 60

struct engine {
    cordon_sg *sg;
    atomic_uint attempts; /* writes and what came of them, finished */
    atomic_uint landed;
};

struct machine {
    uint8_t *ram;
    cordon_model *model;
    struct cordon_port_ops ops;
    cordon_ctx *ctx;
    cordon_iommu *iommu;
    cordon_domain *domain[DOMAINS];
    cordon_device *device[DOMAINS];
    struct engine engine[DOMAINS];
    cordon_hpa lent;
    atomic_uint seen; /* patterns found in pages that were taken away */
};

static struct machine m;

/* ---- the machine -------------------------------------------------------------------------- */

static uint64_t *words_at(cordon_hpa hpa)
{
    return (uint64_t *)(void *)(m.ram + (hpa.v - RAM));
}

static int change(cordon_domain *d, struct cordon_op op)
{
    return cordon_change(d, &op, 1);
}

static int grant(cordon_domain *d, uint64_t gpa, const struct cordon_extent *e, uint32_t flags)
{
    return change(d, (struct cordon_op){.kind = CORDON_OP_GRANT,
                                        .flags = flags,
                                        .gpa = {gpa},
                                        .len = e->len,
                                        .perms = CORDON_RW,
                                        .extents = e,
                                        .extent_count = 1});
}

static int revoke(cordon_domain *d, uint64_t gpa, uint64_t len)
{
    return change(d, (struct cordon_op){.kind = CORDON_OP_REVOKE, .gpa = {gpa}, .len = len});
}

static int protect(cordon_domain *d, uint64_t gpa, uint64_t len, uint32_t perms)
{
    return change(
        d, (struct cordon_op){.kind = CORDON_OP_PROTECT, .gpa = {gpa}, .len = len, .perms = perms});
}

static void open_devices(void)
{
    m.iommu = plain_iommu(m.ctx, 63);
    for (uint32_t i = 0; i < DOMAINS; i++) {
        const struct cordon_sg_config scfg = {
            .size = sizeof(scfg), .device_id = i + 1, .buffer_len = PAGE};

        m.domain[i] = plain_domain(m.ctx);
        m.device[i] = plain_device(m.iommu, i + 1);
        assert_int_equal(cordon_device_attach(m.domain[i], m.device[i], 0), 0);
        assert_int_equal(cordon_sg_create(m.model, &scfg, &m.engine[i].sg), 0);
        /* The last one's writes stay in flight until a fence. */
        assert_int_equal(
            cordon_sg_mode_set(m.engine[i].sg, i == 2 ? CORDON_SG_HELD : CORDON_SG_AT_ONCE), 0);
    }
}

static int machine_setup(void **state)
{
    (void)state;
    m.ram = plain_ram(RAM_LEN);
    m.model = plain_model(m.ram, RAM_LEN, 0);
    m.ops = model_port(m.model);
    m.ctx = plain_ctx(m.ram, RAM_LEN, 7, &m.ops);
    open_devices();
    m.lent = plain_grant(m.ctx, m.domain[0], LENT, (struct cordon_run_want){.len = PAGE});
    *words_at(m.lent) = LENT_PATTERN;
    return 0;
}

static int machine_teardown(void **state)
{
    struct cordon_memory_stats memory;

    (void)state;
    plain_sound(m.ctx);
    for (uint32_t i = 0; i < DOMAINS; i++) {
        cordon_sg_destroy(m.engine[i].sg);
        assert_int_equal(cordon_device_detach(m.device[i]), 0);
        assert_int_equal(cordon_device_remove(m.device[i]), 0);
    }
    for (uint32_t i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_domain_destroy(m.domain[i]), 0);
    }
    assert_int_equal(cordon_iommu_remove(m.iommu), 0);
    cordon_memory_stats(m.ctx, &memory);
    assert_int_equal(memory.held + memory.owned + memory.revoking + memory.table, 0);
    plain_sound(m.ctx);
    assert_int_equal(cordon_ctx_destroy(m.ctx), 0);
    plain_model_close(m.model);
    return munmap(m.ram, RAM_LEN);
}

/* ---- what the threads do ------------------------------------------------------------------ */

static uint64_t tag(uint64_t number)
{
    return (number + 1) << 48;
}

/* Write a new number, then read it back or a lent page: by DMA, whether it may or not. */
static void *dma_thread(void *arg)
{
    uint64_t k = (uint64_t)(uintptr_t)arg;
    struct engine *e = &m.engine[k];
    uint64_t *buffer = cordon_sg_buffer(e->sg);

    for (uint64_t n = 1; !atomic_load(&threads.stop); n++) {
        const struct cordon_sg_descriptor out = {
            .iova = WINDOW + n % MOST_PAGES * PAGE + n % 64 * 8, .len = 8, .write = 1};
        const struct cordon_sg_descriptor in = {
            .iova = n % 2 != 0 ? out.iova : BORROWED, .len = 8, .offset = 8};

        buffer[0] = tag(k) | n;
        buffer[1] = 0;
        if (cordon_sg_spurious(e->sg, &out) == 0) {
            atomic_fetch_add(&e->landed, 1);
        }
        if (k != 2 && cordon_sg_spurious(e->sg, &in) == 0) { /* a held one has read nothing yet */
            MUST(n % 2 != 0 ? buffer[1] == 0 || buffer[1] >> 48 == k + 1
                            : buffer[1] == LENT_PATTERN);
        }
        if (k == 2 && n % 16 == 0) {
            (void)cordon_sg_step(e->sg, 64, NULL);
        }
        atomic_fetch_add(&e->attempts, 1);
    }
    return NULL;
}

/* Until an attempt has come and gone that began after this was called. */
static void await_attempt(uint64_t k)
{
    unsigned before = atomic_load(&m.engine[k].attempts);
    time_t start = time(NULL);

    while (atomic_load(&m.engine[k].attempts) - before < 2 && !atomic_load(&threads.stop)) {
        if (!MUST(time(NULL) - start < PATIENCE_S)) {
            return;
        }
        (void)sched_yield();
    }
}

/* Frames that no device may write to: they hold what domain K wrote, and no write comes. */
static void check_quiet(uint64_t k, const struct cordon_extent *e, bool unread)
{
    uint64_t *word = words_at(e->hpa), copy[64];

    for (uint64_t i = 0; i < e->len / 8; i++) {
        MUST(word[i] == 0 || word[i] >> 48 == k + 1);
        atomic_fetch_add(&m.seen, word[i] != 0);
    }
    for (uint64_t i = 0; unread && i < e->len / 8; i++) {
        word[i] = SENTINEL;
    }
    memcpy(copy, word, sizeof(copy));
    await_attempt(k);
    MUST(memcmp(copy, word, sizeof(copy)) == 0);
    for (uint64_t i = 0; unread && i < e->len / 8; i++) {
        MUST(word[i] == SENTINEL);
        word[i] = 0;
    }
}

static bool fresh(struct cordon_extent *e)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = e->len};

    if (!MUST(cordon_run_alloc(m.ctx, &want, &e->hpa) == 0)) {
        return false;
    }
    for (uint64_t i = 0; i < e->len / 8; i++) {
        MUST(words_at(e->hpa)[i] == 0);
    }
    return true;
}

/* Take write rights away, or the page, or the device, for a while. */
static void disturb(uint64_t k, uint64_t turn, const struct cordon_extent *e)
{
    const struct cordon_remap away = {
        .size = sizeof(away), .gpa = {WINDOW}, .to = {ASIDE}, .len = e->len};
    const struct cordon_remap back = {
        .size = sizeof(back), .gpa = {ASIDE}, .to = {WINDOW}, .len = e->len};

    switch (turn % 4) {
    case 0:
        MUST(protect(m.domain[k], WINDOW, e->len, CORDON_READ) == 0);
        check_quiet(k, e, false);
        MUST(protect(m.domain[k], WINDOW, e->len, CORDON_RW) == 0);
        break;
    case 1:
        MUST(cordon_remap(m.domain[k], &away) == 0);
        check_quiet(k, e, true);
        MUST(cordon_remap(m.domain[k], &back) == 0);
        break;
    case 2:
        MUST(cordon_device_detach(m.device[k]) == 0);
        check_quiet(k, e, true);
        MUST(cordon_device_attach(m.domain[k], m.device[k], turn % 8 == 2) == 0);
        break;
    default:
        break;
    }
}

static void *map_thread(void *arg)
{
    uint64_t k = (uint64_t)(uintptr_t)arg;

    for (uint64_t turn = 0; turn < TURNS && !atomic_load(&threads.stop); turn++) {
        struct cordon_extent e = {.len = (1 + (turn + k) % MOST_PAGES) * PAGE};
        bool keep = turn % 2 == 0;

        if (!fresh(&e) ||
            !MUST(grant(m.domain[k], WINDOW, &e, keep ? CORDON_REGION_KEEP : 0) == 0)) {
            break;
        }
        await_attempt(k);
        disturb(k, turn / 2, &e);
        await_attempt(k);
        MUST(revoke(m.domain[k], WINDOW, e.len) == 0);
        if (keep) {
            check_quiet(k, &e, true);
            MUST(cordon_run_free(m.ctx, e.hpa, e.len) == 0);
        }
    }
    return NULL;
}

static void *share_thread(void *arg)
{
    const struct cordon_share share = {
        .size = sizeof(share), .gpa = {LENT}, .to = {BORROWED}, .len = PAGE, .perms = CORDON_READ};

    (void)arg;
    for (unsigned turn = 0; !atomic_load(&threads.stop); turn++) {
        cordon_domain *to = m.domain[1 + turn % 2];
        struct cordon_hit hit = {.level = 0};

        MUST(cordon_share(m.domain[0], to, &share) == 0);
        MUST(cordon_translate(to, 0, share.to, CORDON_READ, &hit) == 0 && hit.hpa.v == m.lent.v);
        MUST(revoke(m.domain[0], LENT, PAGE) == -CORDON_EBUSY);
        await_attempt(1 + turn % 2);
        MUST(revoke(to, BORROWED, PAGE) == 0);
        MUST(cordon_translate(to, 0, share.to, 0, &hit) == -CORDON_EFAULT);
    }
    return NULL;
}

static void *watch_thread(void *arg)
{
    struct cordon_fault faults[16];
    struct cordon_fault_stats counted;
    struct cordon_memory_stats stats;

    (void)arg;
    for (uint64_t turn = 0; !atomic_load(&threads.stop); turn++) {
        const cordon_domain *d = m.domain[turn % DOMAINS];
        struct cordon_region_info region;
        struct cordon_finding found;
        struct cordon_walk walk = {.size = sizeof(walk)};
        struct cordon_hit hit = {.level = 0};
        struct cordon_frame_info frame;

        if (turn % 8 == 0 && !MUST(cordon_audit(m.ctx, &found) == 0)) {
            fprintf(stderr, "audit: %s\n", found.text);
        }
        (void)cordon_faults_poll(m.iommu, 64);
        size_t count = cordon_faults_take(m.iommu, faults, 16);

        for (size_t i = 0; i < count; i++) {
            MUST(faults[i].device_id >= 1 && faults[i].device_id <= DOMAINS);
        }
        cordon_faults_stats(m.iommu, &counted);
        cordon_memory_stats(m.ctx, &stats);
        MUST(stats.total == RAM_LEN);
        if (cordon_translate(d, 0, cordon_gpa_make(WINDOW), 0, &hit) == 0) {
            MUST(cordon_frame_query(m.ctx, hit.hpa, &frame) == 0);
        }
        MUST(cordon_walk(d, 0, cordon_gpa_make(WINDOW), 0, &walk) == 0 &&
             walk.end != CORDON_WALK_CORRUPT);
        (void)!cordon_region_find(d, cordon_gpa_make(0), true, &region);
        (void)sched_yield();
    }
    return NULL;
}

/* A context of its own, again and again, and domains in the one that all share: frames that touch
 * nowhere. */
static void *lone_thread(void *arg)
{
    const uint64_t len = UINT64_C(8) << 20;
    uint8_t *ram = plain_ram(len);

    (void)arg;
    for (unsigned turn = 0; !atomic_load(&threads.stop); turn++) {
        bool own = turn % 2 == 0;
        cordon_ctx *ctx = own ? plain_ctx(ram, len, 7, NULL) : m.ctx;
        cordon_domain *d = plain_domain(ctx);
        struct cordon_extent e[SCATTERED], theirs = {m.lent, PAGE};
        size_t count = SCATTERED;
        struct cordon_op op = {.kind = CORDON_OP_GRANT,
                               .gpa = {WINDOW},
                               .len = SCATTERED * PAGE,
                               .perms = CORDON_RW,
                               .extents = e};

        MUST(cordon_scatter_alloc(ctx, op.len, 1, turn, e, &count) == 0);
        op.extent_count = count;
        MUST(change(d, op) == 0);
        MUST(own || grant(d, ASIDE, &theirs, 0) == -CORDON_EPERM);
        MUST(revoke(d, WINDOW + PAGE, op.len - 2 * PAGE) == 0); /* more runs than fit in a line */
        MUST(cordon_domain_destroy(d) == 0);
        MUST(!own || cordon_ctx_destroy(ctx) == 0);
        (void)sched_yield();
    }
    (void)munmap(ram, len);
    return NULL;
}

static void test_memory_tells_who_may_reach_it_whatever_runs_at_once(void **state)
{
    pthread_t mapper[DOMAINS], engine[DOMAINS], other[3];

    (void)state;
    threads_start(dma_thread, DOMAINS, engine);
    threads_start(map_thread, DOMAINS, mapper);
    threads_start(share_thread, 1, &other[0]);
    threads_start(watch_thread, 1, &other[1]);
    threads_start(lone_thread, 1, &other[2]);
    threads_join(DOMAINS, mapper);
    atomic_store(&threads.stop, true);
    threads_join(DOMAINS, engine);
    threads_join(3, other);
    threads_judge();
    for (uint64_t k = 0; k < DOMAINS; k++) {
        assert_true(atomic_load(&m.engine[k].landed) > TURNS); /* there was DMA to keep apart */
    }
    assert_true(atomic_load(&m.seen) > TURNS);
    /* What the sharer may have left when it was stopped is nobody's. */
    for (unsigned i = 1; i < DOMAINS; i++) {
        (void)!revoke(m.domain[i], BORROWED, PAGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_memory_tells_who_may_reach_it_whatever_runs_at_once,
                                        machine_setup, machine_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
