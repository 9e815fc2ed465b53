/*
 * The storm of test_storm from several threads at once, each of which asks anything of any domain.
 * Nothing is known of what a page should hold then; but the audit is clean at any moment, promised
 * memory comes, a new page is zeroes, and in the end each frame is accounted for.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

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
#define DOMAINS 3u
#define THREADS 4u
#define TURNS 1500u /* a thread */
#define BUSY 2000u  /* pages of each domain where it happens */
#define LOANS (UINT64_C(4096) * PAGE)
#define SPACE UINT64_C(0x40000000)

static struct {
    uint8_t *ram;
    cordon_ctx *ctx;
    struct cordon_port_ops ops;
    cordon_domain *d[DOMAINS];
    cordon_space *s[DOMAINS];
    atomic_int failed; /* the line of the first failure */
    atomic_uint done, refused;
} t;

#define MUST(cond) must((cond), __LINE__)

static bool must(bool cond, int line)
{
    int none = 0;

    if (!cond) {
        atomic_compare_exchange_strong(&t.failed, &none, line);
    }
    return cond;
}

/* One thread's. */
struct turn {
    uint64_t random;
    uint32_t hart;
    cordon_domain *d, *other;
    uint32_t space;
    uint64_t gpa, len;
};

static uint64_t pick(struct turn *w, uint64_t n)
{
    w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (w->random >> 33) % n;
}

static uint32_t flag(struct turn *w, uint32_t one)
{
    return pick(w, 2) == 0 ? one : 0;
}

/* ---- what is done ------------------------------------------------------------------------- */

static int change(cordon_domain *d, uint32_t kind, uint32_t flags, uint32_t perms, uint64_t gpa,
                  uint64_t len)
{
    const struct cordon_op op = {
        .kind = kind, .flags = flags, .gpa = {gpa}, .len = len, .perms = perms};

    return cordon_change(d, &op, 1);
}

static int do_change(struct turn *w)
{
    uint32_t flags =
        CORDON_REGION_DEMAND | flag(w, CORDON_REGION_PROMISED) | flag(w, CORDON_REGION_HUGE);

    switch (pick(w, 5)) {
    case 0:
        return change(w->d, CORDON_OP_GRANT, flags, CORDON_RWX, w->gpa, w->len);
    case 1:
        return change(w->d, CORDON_OP_REVOKE, 0, 0, w->gpa, (1 + pick(w, 40)) * PAGE);
    case 2:
        return change(w->d, CORDON_OP_DISCARD, 0, 0, w->gpa, w->len);
    case 3:
        return change(w->d, CORDON_OP_MARK, flag(w, CORDON_REGION_LOG) | flag(w, CORDON_REGION_PIN),
                      0, w->gpa, w->len);
    default:
        return change(w->d, CORDON_OP_PROTECT, 0, 1 + 2 * (uint32_t)pick(w, 4), w->gpa, w->len);
    }
}

static int do_touch(struct turn *w)
{
    struct cordon_touched out;
    int err = 0;

    for (unsigned i = 0; i < 20; i++) {
        err = cordon_touch(w->d, (cordon_gpa){(1 + pick(w, BUSY)) * PAGE}, 0, &out);
        MUST(err != -CORDON_ECORRUPT);
    }
    return err;
}

static int do_populate(struct turn *w)
{
    return cordon_populate(w->d, (cordon_gpa){w->gpa}, w->len);
}

static int do_relocate(struct turn *w)
{
    return cordon_relocate(w->d, (cordon_gpa){w->gpa}, w->len, NULL);
}

static int do_run(struct turn *w)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = (1 + pick(w, 600)) * PAGE};
    struct cordon_run_made made;
    int err = cordon_run_make(t.ctx, &want, 0, &made), freed = -CORDON_ENOMEM;

    if (err == 0) {
        memset(t.ram + (made.hpa.v - RAM), 0x5a, want.len);
        while (freed == -CORDON_ENOMEM) { /* others have all of it for a moment */
            freed = cordon_run_free(t.ctx, made.hpa, want.len);
        }
        MUST(freed == 0);
    }
    return err;
}

static int do_harvest(struct turn *w)
{
    uint64_t dirty[16];
    const struct cordon_harvest what = {.size = sizeof(what),
                                        .gpa = {w->gpa},
                                        .len = (1 + pick(w, 64 * 16)) * PAGE,
                                        .dirty = dirty};
    struct cordon_harvested out;

    return cordon_log_harvest(w->d, &what, &out);
}

static int do_coalesce(struct turn *w)
{
    const struct cordon_coalesce all = {.size = sizeof(all), .len = LOANS};
    struct cordon_coalesced out;

    return cordon_coalesce(w->d, &all, &out);
}

static int do_remap(struct turn *w)
{
    const struct cordon_remap remap = {
        .size = sizeof(remap), .gpa = {w->gpa}, .to = {(1 + pick(w, BUSY)) * PAGE}, .len = w->len};

    return cordon_remap(w->d, &remap);
}

static int do_share(struct turn *w)
{
    const struct cordon_share share = {.size = sizeof(share),
                                       .gpa = {w->gpa},
                                       .to = {LOANS + pick(w, BUSY) * PAGE},
                                       .len = (1 + pick(w, 8)) * PAGE,
                                       .perms = pick(w, 2) == 0 ? CORDON_READ : CORDON_RW};

    return cordon_share(w->d, w->other, &share);
}

static int do_give_back(struct turn *w)
{
    return change(w->d, CORDON_OP_REVOKE, 0, 0, LOANS + w->gpa, (1 + pick(w, 8)) * PAGE);
}

static int do_enter(struct turn *w)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    uint64_t bytes;
    int err = cordon_domain_enter(w->d, w->hart, &entry);

    if (err == 0) {
        MUST(cordon_resident(w->d, (cordon_gpa){0}, BUSY * PAGE, &bytes) == 0);
        MUST(cordon_domain_leave(w->d, w->hart) == 0);
    }
    return err;
}

static int do_look(struct turn *w)
{
    const struct cordon_gva_ask ask = {.size = sizeof(ask),
                                       .gva = {pick(w, UINT64_C(1) << 30)},
                                       .satp = (8 + 2 * pick(w, 2)) << 60 | (1 + pick(w, BUSY)),
                                       .access = CORDON_READ};
    struct cordon_gva_walk walk = {.size = sizeof(walk)};
    struct cordon_block_info block;
    struct cordon_frame_info frames[64];
    struct cordon_hit hit;

    cordon_hold(w->d);
    int err = cordon_translate(w->d, 0, (cordon_gpa){w->gpa}, CORDON_READ, &hit);

    cordon_let_go(w->d);
    MUST(cordon_frames_query(t.ctx, (cordon_hpa){RAM}, frames, 64) == 0);
    MUST(cordon_block_query(t.ctx, (cordon_hpa){RAM + pick(w, 12) * 0x200000}, &block) == 0);
    return err == 0 ? cordon_walk_guest(w->d, &ask, &walk) : err;
}

static int do_audit(struct turn *w)
{
    struct cordon_finding found;

    return pick(w, 10) == 0 && !MUST(cordon_audit(t.ctx, &found) == 0) ? -CORDON_ECORRUPT : 0;
}

/* A domain that comes and goes; what it was promised it gets. */
static int do_domain(struct turn *w)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    const uint32_t flags = CORDON_REGION_DEMAND | CORDON_REGION_PROMISED;
    cordon_domain *d;
    int err = cordon_domain_create(t.ctx, &cfg, &d);

    if (err != 0) {
        return err;
    }
    err = change(d, CORDON_OP_GRANT, flags, CORDON_RWX, w->gpa, w->len);
    MUST(err != 0 || cordon_populate(d, (cordon_gpa){w->gpa}, w->len) == 0);
    MUST(cordon_domain_destroy(d) == 0);
    return err;
}

static int do_slot(struct turn *w)
{
    const struct cordon_slot slot = {.size = sizeof(slot),
                                     .id = 1 + (uint32_t)pick(w, 8),
                                     .gpa = {SPACE + pick(w, 1000) * PAGE},
                                     .len = pick(w, 4) == 0 ? 0 : w->len,
                                     .flags = CORDON_REGION_DEMAND | flag(w, CORDON_REGION_LOG) |
                                              flag(w, CORDON_REGION_PROMISED)};
    struct cordon_touched out;
    int err = cordon_slot_set(t.s[w->space], &slot);

    MUST(cordon_touch(t.d[w->space], slot.gpa, CORDON_READ, &out) != -CORDON_ECORRUPT);
    return err;
}

/* ---- threads ------------------------------------------------------------------------------ */

static int (*const steps[])(struct turn *w) = {
    do_change,   do_change,  do_change,   do_change,   do_touch,  do_touch,     do_touch,
    do_populate, do_run,     do_relocate, do_remap,    do_share,  do_give_back, do_enter,
    do_look,     do_harvest, do_audit,    do_coalesce, do_domain, do_slot,      do_slot,
};

static void *run(void *arg)
{
    struct turn w = {.hart = (uint32_t)(uintptr_t)arg};

    w.random = w.hart * 77 + 5;
    for (unsigned i = 0; i < TURNS && atomic_load(&t.failed) == 0; i++) {
        w.space = (uint32_t)pick(&w, DOMAINS);
        w.d = t.d[pick(&w, DOMAINS)];
        w.other = t.d[pick(&w, DOMAINS)];
        w.gpa = (1 + pick(&w, BUSY)) * PAGE;
        w.len = (1 + pick(&w, pick(&w, 4) == 0 ? 600 : 30)) * PAGE;
        int err = steps[pick(&w, sizeof(steps) / sizeof(steps[0]))](&w);

        atomic_fetch_add(err == 0 ? &t.done : &t.refused, 1);
    }
    return NULL;
}

static void on_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
}

/* A listener that refuses now and then. */
static int on_prepare(void *user, const struct cordon_told *told, size_t count)
{
    (void)user;
    return count > 0 && told[0].gpa.v / PAGE % 13 == 5 ? -CORDON_EPERM : 0;
}

static void on_end(void *user, const struct cordon_told *told, size_t count)
{
    (void)user;
    (void)told;
    (void)count;
}

static uint64_t free_bytes(void)
{
    struct cordon_memory_stats s;

    cordon_memory_stats(t.ctx, &s);
    return s.free;
}

static void give_loans_back(cordon_domain *d)
{
    struct cordon_region_info r;

    for (cordon_gpa at = {0}; cordon_region_find(d, at, true, &r) == 0;
         at = cordon_gpa_add(r.gpa, r.len)) {
        if ((r.flags & CORDON_REGION_SHARED) != 0) {
            assert_int_equal(change(d, CORDON_OP_REVOKE, 0, 0, r.gpa.v, r.len), 0);
        }
    }
}

static void open_machine(void)
{
    const struct cordon_extent bank = {{RAM}, RAM_LEN};

    memset(&t, 0, sizeof(t));
    t.ops = (struct cordon_port_ops){.size = sizeof(t.ops), .hart_fence = on_fence};
    t.ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(t.ram, MAP_FAILED);
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = &t.ops,
                                      .ram_offset = (uint64_t)(uintptr_t)t.ram - RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 1};

    assert_int_equal(cordon_ctx_create(&cfg, &t.ctx), 0);
}

static void open_domains(uint32_t *listener)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    const struct cordon_listener l = {
        .size = sizeof(l), .prepare = on_prepare, .commit = on_end, .abort = on_end};

    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_domain_create(t.ctx, &cfg, &t.d[i]), 0);
        assert_int_equal(cordon_space_create(t.d[i], &t.s[i]), 0);
    }
    assert_int_equal(cordon_listener_add(t.d[1], &l, listener), 0);
}

static void close_domains(uint32_t listener)
{
    struct cordon_finding found;

    assert_int_equal(cordon_audit(t.ctx, &found), 0);
    assert_int_equal(cordon_listener_remove(t.d[1], listener), 0);
    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_space_destroy(t.s[i]), 0);
        give_loans_back(t.d[i]);
    }
    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_domain_destroy(t.d[i]), 0);
    }
}

static void test_a_storm_from_all_sides_loses_no_frame(void **state)
{
    pthread_t thread[THREADS];
    uint32_t listener;

    (void)state;
    open_machine();
    uint64_t free = free_bytes();

    open_domains(&listener);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, run, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    if (atomic_load(&t.failed) != 0) {
        fail_msg("line %d", atomic_load(&t.failed));
    }
    assert_true(atomic_load(&t.done) > TURNS && atomic_load(&t.refused) > TURNS / 10);
    close_domains(listener);
    assert_int_equal(free_bytes(), free);
    assert_int_equal(cordon_ctx_destroy(t.ctx), 0);
    assert_int_equal(munmap(t.ram, RAM_LEN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_storm_from_all_sides_loses_no_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
