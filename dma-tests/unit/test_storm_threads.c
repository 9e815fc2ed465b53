/*
 * The storm of test_storm from several threads at once, each of which asks anything of any domain.
 * Nothing is known of what a page should hold then; but the audit is clean at any moment, promised
 * memory comes, a new page is zeroes, and in the end each frame is accounted for.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include "loans.h"
#include "plain_bench.h"
#include "thread_bench.h"

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
    cordon_domain *d[DOMAINS];
    cordon_space *s[DOMAINS];
    atomic_uint done, refused;
} t;

/* One thread's. */
struct turn {
    uint64_t seed;
    uint32_t hart;
    cordon_domain *d, *other;
    uint32_t space;
    uint64_t gpa, len;
};

static uint64_t any(struct turn *w, uint64_t n)
{
    return pick(&w->seed, n);
}

static uint32_t flag(struct turn *w, uint32_t one)
{
    return any(w, 2) == 0 ? one : 0;
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

    switch (any(w, 5)) {
    case 0:
        return change(w->d, CORDON_OP_GRANT, flags, CORDON_RWX, w->gpa, w->len);
    case 1:
        return change(w->d, CORDON_OP_REVOKE, 0, 0, w->gpa, (1 + any(w, 40)) * PAGE);
    case 2:
        return change(w->d, CORDON_OP_DISCARD, 0, 0, w->gpa, w->len);
    case 3:
        return change(w->d, CORDON_OP_MARK, flag(w, CORDON_REGION_LOG) | flag(w, CORDON_REGION_PIN),
                      0, w->gpa, w->len);
    default:
        return change(w->d, CORDON_OP_PROTECT, 0, 1 + 2 * (uint32_t)any(w, 4), w->gpa, w->len);
    }
}

static int do_touch(struct turn *w)
{
    struct cordon_touched out;
    int err = 0;

    for (unsigned i = 0; i < 20; i++) {
        err = cordon_touch(w->d, (cordon_gpa){(1 + any(w, BUSY)) * PAGE}, 0, &out);
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
    const struct cordon_run_want want = {.size = sizeof(want), .len = (1 + any(w, 600)) * PAGE};
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
    const struct cordon_harvest what = {
        .size = sizeof(what), .gpa = {w->gpa}, .len = (1 + any(w, 64 * 16)) * PAGE, .dirty = dirty};
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
        .size = sizeof(remap), .gpa = {w->gpa}, .to = {(1 + any(w, BUSY)) * PAGE}, .len = w->len};

    return cordon_remap(w->d, &remap);
}

static int do_share(struct turn *w)
{
    const struct cordon_share share = {.size = sizeof(share),
                                       .gpa = {w->gpa},
                                       .to = {LOANS + any(w, BUSY) * PAGE},
                                       .len = (1 + any(w, 8)) * PAGE,
                                       .perms = any(w, 2) == 0 ? CORDON_READ : CORDON_RW};

    return cordon_share(w->d, w->other, &share);
}

static int do_give_back(struct turn *w)
{
    return change(w->d, CORDON_OP_REVOKE, 0, 0, LOANS + w->gpa, (1 + any(w, 8)) * PAGE);
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
                                       .gva = {any(w, UINT64_C(1) << 30)},
                                       .satp = (8 + 2 * any(w, 2)) << 60 | (1 + any(w, BUSY)),
                                       .access = CORDON_READ};
    struct cordon_gva_walk walk = {.size = sizeof(walk)};
    struct cordon_block_info block;
    struct cordon_frame_info frames[64];
    struct cordon_hit hit;

    cordon_hold(w->d);
    int err = cordon_translate(w->d, 0, (cordon_gpa){w->gpa}, CORDON_READ, &hit);

    cordon_let_go(w->d);
    MUST(cordon_frames_query(t.ctx, (cordon_hpa){RAM}, frames, 64) == 0);
    MUST(cordon_block_query(t.ctx, (cordon_hpa){RAM + any(w, 12) * 0x200000}, &block) == 0);
    return err == 0 ? cordon_walk_guest(w->d, &ask, &walk) : err;
}

static int do_audit(struct turn *w)
{
    struct cordon_finding found;

    return any(w, 10) == 0 && !MUST(cordon_audit(t.ctx, &found) == 0) ? -CORDON_ECORRUPT : 0;
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
                                     .id = 1 + (uint32_t)any(w, 8),
                                     .gpa = {SPACE + any(w, 1000) * PAGE},
                                     .len = any(w, 4) == 0 ? 0 : w->len,
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

    w.seed = w.hart * 77 + 5;
    for (unsigned i = 0; i < TURNS && !atomic_load(&threads.stop); i++) {
        w.space = (uint32_t)any(&w, DOMAINS);
        w.d = t.d[any(&w, DOMAINS)];
        w.other = t.d[any(&w, DOMAINS)];
        w.gpa = (1 + any(&w, BUSY)) * PAGE;
        w.len = (1 + any(&w, any(&w, 4) == 0 ? 600 : 30)) * PAGE;
        int err = steps[any(&w, sizeof(steps) / sizeof(steps[0]))](&w);

        atomic_fetch_add(err == 0 ? &t.done : &t.refused, 1);
    }
    return NULL;
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

static void open_domains(uint32_t *listener)
{
    const struct cordon_listener l = {
        .size = sizeof(l), .prepare = on_prepare, .commit = on_end, .abort = on_end};

    for (unsigned i = 0; i < DOMAINS; i++) {
        t.d[i] = plain_domain(t.ctx);
        assert_int_equal(cordon_space_create(t.d[i], &t.s[i]), 0);
    }
    assert_int_equal(cordon_listener_add(t.d[1], &l, listener), 0);
}

static void close_domains(uint32_t listener)
{
    plain_sound(t.ctx);
    assert_int_equal(cordon_listener_remove(t.d[1], listener), 0);
    for (unsigned i = 0; i < DOMAINS; i++) {
        assert_int_equal(cordon_space_destroy(t.s[i]), 0);
        loans_give_back(t.d[i]);
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
    t.ram = plain_ram(RAM_LEN);
    t.ctx = plain_ctx(t.ram, RAM_LEN, 1, NULL);
    uint64_t free = plain_free(t.ctx);

    open_domains(&listener);
    threads_start(run, THREADS, thread);
    threads_join(THREADS, thread);
    threads_judge();
    assert_true(atomic_load(&t.done) > TURNS && atomic_load(&t.refused) > TURNS / 10);
    close_domains(listener);
    assert_int_equal(plain_free(t.ctx), free);
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
