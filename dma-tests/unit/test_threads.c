/*
 * Many threads on one context: maps that change, devices that come and go, DMA all the while, and
 * others that look on. What counts is memory: a write that began after its page was taken away is
 * nowhere, and no frame ever holds what another domain wrote.
 *
 * Also built for ThreadSanitizer, which sees the locks: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, sched_yield */

#include <cordon/cordon.h>

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <cmocka.h>

#include "model/cordon_model.h"
#include "model/cordon_sg.h"

#define PAGE UINT64_C(4096)
#define RAM UINT64_C(0x80000000)
#define RAM_LEN (UINT64_C(24) << 20)
#define REGISTERS UINT64_C(0x3010000)
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
    pthread_t thread;
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
    atomic_bool stop;
    atomic_int failed; /* the line of the first failure */
};

static struct machine m;

#define MUST(cond) must((cond), __LINE__)

static bool must(bool cond, int line)
{
    int none = 0;

    if (!cond) {
        atomic_compare_exchange_strong(&m.failed, &none, line);
        atomic_store(&m.stop, true);
    }
    return cond;
}

/* ---- the machine -------------------------------------------------------------------------- */

static uint64_t on_read(void *user, uint64_t hpa, uint32_t width)
{
    return cordon_model_read(((struct machine *)user)->model, (uint32_t)(hpa - REGISTERS), width);
}

static void on_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    cordon_model_write(((struct machine *)user)->model, (uint32_t)(hpa - REGISTERS), width, value);
}

static cordon_ctx *context_over(uint8_t *ram, uint64_t len, void *cookie)
{
    const struct cordon_extent bank = {{RAM}, len};
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = cookie,
                                      .ram_offset = (uint64_t)(uintptr_t)ram - RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 7};
    cordon_ctx *ctx = NULL;

    return cordon_ctx_create(&cfg, &ctx) == 0 ? ctx : NULL;
}

static uint64_t *words_at(cordon_hpa hpa)
{
    return (uint64_t *)(void *)(m.ram + (hpa.v - RAM));
}

static cordon_domain *domain_of(cordon_ctx *ctx)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    cordon_domain *d = NULL;

    return cordon_domain_create(ctx, &cfg, &d) == 0 ? d : NULL;
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
    const struct cordon_iommu_config icfg = {
        .size = sizeof(icfg), .base = {REGISTERS}, .timeout_us = 30000000, .max_device_id = 63};

    assert_int_equal(cordon_iommu_add(m.ctx, &icfg, &m.iommu), 0);
    for (uint32_t i = 0; i < DOMAINS; i++) {
        const struct cordon_device_config dcfg = {.size = sizeof(dcfg),
                                                  .device_id = i + 1,
                                                  .drain = CORDON_DRAIN_IOMMU,
                                                  .name = "engine"};
        const struct cordon_sg_config scfg = {
            .size = sizeof(scfg), .device_id = i + 1, .buffer_len = PAGE};

        m.domain[i] = domain_of(m.ctx);
        assert_non_null(m.domain[i]);
        assert_int_equal(cordon_device_add(m.iommu, &dcfg, &m.device[i]), 0);
        assert_int_equal(cordon_device_attach(m.domain[i], m.device[i], 0), 0);
        assert_int_equal(cordon_sg_create(m.model, &scfg, &m.engine[i].sg), 0);
        /* The last one's writes stay in flight until a fence. */
        assert_int_equal(
            cordon_sg_mode_set(m.engine[i].sg, i == 2 ? CORDON_SG_HELD : CORDON_SG_AT_ONCE), 0);
    }
}

static int machine_setup(void **state)
{
    struct cordon_model_config cfg = {.size = sizeof(cfg), .ram_hpa = RAM, .ram_len = RAM_LEN};
    struct cordon_extent e = {.len = PAGE};
    const struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};

    (void)state;
    memset(&m, 0, sizeof(m));
    m.ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(m.ram != MAP_FAILED);
    cfg.ram = m.ram;
    assert_int_equal(cordon_model_create(&cfg, &m.model), 0);
    m.ops = (struct cordon_port_ops){
        .size = sizeof(m.ops), .user = &m, .mmio_read = on_read, .mmio_write = on_write};
    m.ctx = context_over(m.ram, RAM_LEN, &m.ops);
    assert_non_null(m.ctx);
    open_devices();
    assert_int_equal(cordon_run_alloc(m.ctx, &want, &e.hpa), 0);
    m.lent = e.hpa;
    *words_at(m.lent) = LENT_PATTERN;
    assert_int_equal(grant(m.domain[0], LENT, &e, 0), 0);
    return 0;
}

static int machine_teardown(void **state)
{
    struct cordon_model_stats stats = {.size = sizeof(stats)};
    struct cordon_memory_stats memory;
    struct cordon_finding found;

    (void)state;
    assert_int_equal(cordon_audit(m.ctx, &found), 0);
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
    assert_int_equal(cordon_audit(m.ctx, &found), 0);
    assert_int_equal(cordon_ctx_destroy(m.ctx), 0);
    assert_int_equal(cordon_model_stats_get(m.model, &stats), 0);
    assert_int_equal(stats.violations, 0);
    cordon_model_destroy(m.model);
    (void)munmap(m.ram, RAM_LEN);
    return 0;
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

    for (uint64_t n = 1; !atomic_load(&m.stop); n++) {
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

    while (atomic_load(&m.engine[k].attempts) - before < 2 && !atomic_load(&m.stop)) {
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

    for (uint64_t turn = 0; turn < TURNS && !atomic_load(&m.stop); turn++) {
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
    for (unsigned turn = 0; !atomic_load(&m.stop); turn++) {
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
    for (uint64_t turn = 0; !atomic_load(&m.stop); turn++) {
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
    uint8_t *ram = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)arg;
    MUST(ram != MAP_FAILED);
    for (unsigned turn = 0; !atomic_load(&m.stop); turn++) {
        bool own = turn % 2 == 0;
        cordon_ctx *ctx = own ? context_over(ram, len, NULL) : m.ctx;
        cordon_domain *d = domain_of(ctx);
        struct cordon_extent e[SCATTERED], theirs = {m.lent, PAGE};
        size_t count = SCATTERED;
        struct cordon_op op = {.kind = CORDON_OP_GRANT,
                               .gpa = {WINDOW},
                               .len = SCATTERED * PAGE,
                               .perms = CORDON_RW,
                               .extents = e};

        MUST(d != NULL && cordon_scatter_alloc(ctx, op.len, 1, turn, e, &count) == 0);
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
    void *(*const others[])(void *) = {share_thread, watch_thread, lone_thread};
    pthread_t mapper[DOMAINS], other[3];

    (void)state;
    for (uint64_t k = 0; k < DOMAINS; k++) {
        assert_int_equal(
            pthread_create(&m.engine[k].thread, NULL, dma_thread, (void *)(uintptr_t)k), 0);
        assert_int_equal(pthread_create(&mapper[k], NULL, map_thread, (void *)(uintptr_t)k), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&other[i], NULL, others[i], NULL), 0);
    }
    for (uint64_t k = 0; k < DOMAINS; k++) {
        assert_int_equal(pthread_join(mapper[k], NULL), 0);
    }
    atomic_store(&m.stop, true);
    for (uint64_t k = 0; k < DOMAINS; k++) {
        assert_int_equal(pthread_join(m.engine[k].thread, NULL), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(other[i], NULL), 0);
    }
    if (atomic_load(&m.failed) != 0) {
        fail_msg("line %d", atomic_load(&m.failed));
    }
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
