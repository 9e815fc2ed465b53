/*
 * VMIDs and fences, against harts whose TLBs forget nothing by themselves.
 */
#include "sim_harts.h"

#define RAM_GPA UINT64_C(0x40000000)
#define RAM_PAGES 24u

static struct cordon_fence_stats fences_of(const cordon_domain *d)
{
    struct cordon_fence_stats s;

    assert_int_equal(cordon_domain_fences(d, &s), 0);
    return s;
}

static struct cordon_vmid_stats vmids(void)
{
    struct cordon_vmid_stats s;

    assert_int_equal(cordon_vmid_stats(sim.b.ctx, &s), 0);
    return s;
}

/* ---- who has one -------------------------------------------------------------------------- */

static void test_any_number_live_and_as_many_run_as_there_are_vmids(void **state)
{
    cordon_domain *d[9];
    uint32_t seen = 0;

    (void)state;
    sim_open(2);
    for (unsigned i = 0; i < 9; i++) {
        d[i] = sim_domain();
    }
    for (uint32_t h = 0; h < 4; h++) {
        assert_int_equal(sim_enter(h, d[2 * h]), 0);
        assert_true(vmid_of(sim.hart[h].hgatp) < 4);
        seen |= 1u << vmid_of(sim.hart[h].hgatp);
        bench_sound(&sim.b);
    }
    assert_int_equal(seen, 15);
    assert_int_equal(vmids().running, 4);
    uint64_t generation = vmids().generation;

    assert_int_equal(sim_enter(4, d[1]), -CORDON_ELIMIT);
    assert_int_equal(vmids().generation, generation); /* nothing changed */
    assert_int_equal(sim_enter(4, d[2]), 0);          /* one more hart of one that runs */
    assert_int_equal(sim.hart[4].hgatp, sim.hart[1].hgatp);
    sim_leave(1);
    assert_int_equal(sim_enter(1, d[1]), -CORDON_ELIMIT);
    sim_leave(4);
    assert_int_equal(sim_enter(1, d[1]), 0);
    for (uint32_t h = 0; h < 4; h++) {
        sim_leave(h);
    }
    for (unsigned i = 0; i < 9; i++) {
        assert_int_equal(cordon_domain_destroy(d[i]), 0);
    }
    bench_close(&sim.b);
}

static void test_without_vmid_bits_one_runs_at_a_time(void **state)
{
    (void)state;
    sim_open(0);
    cordon_domain *a = sim_domain(), *b = sim_domain();

    (void)bench_grant(&sim.b, a, RAM_GPA, 1, RW, 0);
    (void)bench_grant(&sim.b, b, RAM_GPA, 1, RW, 0);
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_int_equal(sim_enter(0, a), 0);
        assert_int_equal(vmid_of(sim.hart[0].hgatp), 0);
        sim_read(&sim.hart[0], RAM_GPA);
        assert_int_equal(sim_enter(1, b), -CORDON_ELIMIT);
        sim_leave(0);
        assert_int_equal(sim_enter(0, b), 0);
        sim_read(&sim.hart[0], RAM_GPA);
        sim_leave(0);
    }
    assert_int_equal(vmids().generation, 6); /* each change of who runs, but the first */
    assert_int_equal(cordon_domain_destroy(a), 0);
    assert_int_equal(cordon_domain_destroy(b), 0);
    bench_close(&sim.b);
}

static void test_a_new_generation_leaves_alone_who_runs(void **state)
{
    cordon_domain *d[3];

    (void)state;
    sim_open(1);
    for (unsigned i = 0; i < 3; i++) {
        d[i] = sim_domain();
        (void)bench_grant(&sim.b, d[i], RAM_GPA, 2, RW, 0);
    }
    assert_int_equal(sim_enter(2, d[0]), 0);
    sim_read(&sim.hart[2], RAM_GPA);
    assert_int_equal(sim_enter(4, d[1]), 0);
    sim_read(&sim.hart[4], RAM_GPA);
    sim_leave(4);
    uint64_t kept = sim.hart[2].hgatp;

    assert_int_equal(sim.calls_all, 0);
    assert_int_equal(sim_enter(5, d[2]), 0);
    assert_int_equal(sim.calls_all, 1);
    assert_int_equal(sim.told_all, 1 << 2 | 1 << 4); /* each hart that ran somebody, no other */
    assert_int_equal(vmids().generation, 2);
    assert_int_equal(vmids().harts, 1 << 2 | 1 << 5);
    assert_int_not_equal(vmid_of(sim.hart[5].hgatp), vmid_of(kept));
    bench_sound(&sim.b);
    assert_int_equal(sim_enter(3, d[0]), 0);
    assert_int_equal(sim.hart[3].hgatp, kept);
    /* Who lost its VMID is remembered nowhere, so nobody is told of its changes. */
    uint32_t calls = sim.calls;

    assert_int_equal(bench_revoke(d[1], RAM_GPA, 1), 0);
    assert_int_equal(sim.calls, calls);
    sim_sound();
    assert_int_equal(bench_revoke(d[0], RAM_GPA, 1), 0);
    assert_int_equal(sim.told, 1 << 2 | 1 << 3);
    sim_sound();
    for (uint32_t h = 0; h < HARTS; h++) {
        if (sim.hart[h].runs != NULL) {
            sim_leave(h);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(cordon_domain_destroy(d[i]), 0);
    }
    bench_close(&sim.b);
}

static void test_a_vmid_that_is_given_back_has_no_past(void **state)
{
    (void)state;
    sim_open(2);
    cordon_domain *d = sim_domain();

    (void)bench_grant(&sim.b, d, RAM_GPA, 1, RW, 0);
    assert_int_equal(sim_enter(0, d), 0);
    sim_read(&sim.hart[0], RAM_GPA);
    uint16_t vmid = vmid_of(sim.hart[0].hgatp);

    sim_leave(0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    d = sim_domain();
    (void)bench_grant(&sim.b, d, RAM_GPA + PAGE, 1, RW, 0);
    (void)bench_grant(&sim.b, d, RAM_GPA, 1, RW, 0);
    assert_int_equal(sim_enter(0, d), 0);
    assert_int_equal(vmid_of(sim.hart[0].hgatp), vmid); /* no generation was needed for that */
    assert_int_equal(vmids().generation, 1);
    assert_int_equal(vmids().given, 2);
    for (uint32_t i = 0; i < sim.hart[0].used; i++) { /* not even of its own tables */
        assert_false(sim.hart[0].line[i].valid);
    }
    sim_read(&sim.hart[0], RAM_GPA);
    sim_leave(0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&sim.b);
}

/* ---- who is told -------------------------------------------------------------------------- */

static void test_only_harts_that_ran_it_are_told(void **state)
{
    (void)state;
    sim_open(4);
    cordon_domain *d = sim_domain(), *other = sim_domain();

    (void)bench_grant(&sim.b, d, RAM_GPA, 8, RW, 0);
    (void)bench_grant(&sim.b, other, RAM_GPA, 8, RW, 0);
    assert_int_equal(bench_revoke(d, RAM_GPA, 1), 0);
    assert_int_equal(sim.calls, 0); /* nobody ran it */
    assert_int_equal(sim_enter(1, d), 0);
    assert_int_equal(sim_enter(2, other), 0);
    assert_int_equal(sim_enter(5, d), 0);
    assert_int_equal(bench_revoke(d, RAM_GPA + PAGE, 1), 0);
    assert_int_equal(sim.calls, 1); /* one call for both */
    assert_int_equal(sim.told, 1 << 1 | 1 << 5);
    sim_leave(5);
    assert_int_equal(bench_revoke(d, RAM_GPA + 2 * PAGE, 1), 0);
    assert_int_equal(sim.told, 1 << 1 | 1 << 5);                 /* it left, and may remember */
    assert_int_equal(bench_revoke(d, RAM_GPA + 3 * PAGE, 5), 0); /* with its tables: all of it */
    assert_int_equal(sim.told, 1 << 1 | 1 << 5);
    (void)bench_grant(&sim.b, d, RAM_GPA, 2, RW, 0);
    assert_int_equal(bench_revoke(d, RAM_GPA, 1), 0);
    assert_int_equal(sim.told,
                     1 << 1); /* that one forgot everything, and has not been there since */
    struct cordon_fence_stats s = fences_of(d);

    assert_int_equal(s.asked, 5);
    assert_int_equal(s.nobody, 1);
    assert_int_equal(s.ranges, 3);
    assert_int_equal(s.whole, 1);
    assert_int_equal(s.harts, 7);
    assert_int_equal(sim.calls, 4);
    assert_int_equal(fences_of(other).asked, 0);
    sim_leave(1);
    sim_leave(2);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
    bench_close(&sim.b);
}

/* A hart that runs it when it is told may learn again before it leaves. */
static void test_a_hart_that_runs_while_it_is_told_is_told_again(void **state)
{
    (void)state;
    sim_open(4);
    cordon_domain *d = sim_domain();

    (void)bench_grant(&sim.b, d, RAM_GPA, 3, RW, 0);
    (void)bench_grant(&sim.b, d, RAM_GPA + BLOCK, 1, RW, 0);
    assert_int_equal(sim_enter(3, d), 0);
    assert_int_equal(bench_revoke(d, RAM_GPA + BLOCK, 1), 0); /* a table goes with it */
    assert_int_equal(fences_of(d).whole, 1);
    sim_read(&sim.hart[3], RAM_GPA);
    sim_leave(3);
    assert_int_equal(bench_revoke(d, RAM_GPA, 1), 0);
    assert_int_equal(sim.told, 1 << 3);
    sim_sound();
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&sim.b);
}

static void test_ranges_that_touch_are_told_as_one(void **state)
{
    (void)state;
    sim_open(4);
    cordon_domain *d = sim_domain();

    (void)bench_grant(&sim.b, d, RAM_GPA, 9, RW, 0);
    assert_int_equal(sim_enter(0, d), 0);
    const struct cordon_op ops[] = {op_revoke(RAM_GPA, 1), op_revoke(RAM_GPA + PAGE, 2),
                                    op_revoke(RAM_GPA + 4 * PAGE, 1)};

    assert_int_equal(cordon_change(d, ops, 3), 0);
    assert_int_equal(fences_of(d).ranges, 2);
    sim_leave(0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&sim.b);
}

/* ---- bad input ---------------------------------------------------------------------------- */

static void test_what_cannot_be_entered_or_left(void **state)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    struct cordon_fence_stats fences;
    struct cordon_vmid_stats stats;

    (void)state;
    sim_open(4);
    cordon_domain *d = sim_domain(), *other = sim_domain();
    cordon_domain *no = (cordon_domain *)(void *)sim.b.ctx;

    assert_int_equal(cordon_domain_enter(NULL, 0, &entry), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_enter(d, 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_enter(d, CORDON_MAX_HARTS, &entry), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_enter(no, 0, &entry), -CORDON_EHANDLE);
    entry.size++;
    assert_int_equal(cordon_domain_enter(d, 0, &entry), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_leave(NULL, 0), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_leave(d, CORDON_MAX_HARTS), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_leave(no, 0), -CORDON_EHANDLE);
    assert_int_equal(cordon_domain_leave(d, 0), -CORDON_ENOENT);
    assert_int_equal(vmids().given, 0);
    assert_int_equal(sim_enter(63 % HARTS, d), 0);
    assert_int_equal(sim_enter(63 % HARTS, d), -CORDON_EBUSY);
    assert_int_equal(sim_enter(63 % HARTS, other), -CORDON_EBUSY);
    assert_int_equal(cordon_domain_leave(other, 63 % HARTS), -CORDON_ENOENT);
    assert_int_equal(cordon_domain_destroy(d), -CORDON_EBUSY);
    sim_leave(63 % HARTS);
    assert_int_equal(cordon_domain_fences(NULL, &fences), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_fences(d, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_fences(no, &fences), -CORDON_EHANDLE);
    assert_int_equal(cordon_vmid_stats(NULL, &stats), -CORDON_EINVAL);
    assert_int_equal(cordon_vmid_stats(sim.b.ctx, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_vmid_stats((cordon_ctx *)(void *)d, &stats), -CORDON_EHANDLE);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
    bench_close(&sim.b);
}

static void test_the_audit_sees_vmids_that_are_wrong(void **state)
{
    (void)state;
    sim_open(4);
    cordon_domain *a = sim_domain(), *b = sim_domain();

    assert_int_equal(sim_enter(0, a), 0);
    assert_int_equal(sim_enter(1, b), 0);
    bench_sound(&sim.b);
#define BREAKS(invariant, place, wrong)          \
    do {                                         \
        __typeof__(place) right = (place);       \
        (place) = (wrong);                       \
        (void)bench_breaks(&sim.b, (invariant)); \
        (place) = right;                         \
        bench_sound(&sim.b);                     \
    } while (0)
    BREAKS(2, b->run.vmid, a->run.vmid);
    BREAKS(2, b->run.vmid, 16);
    BREAKS(2, a->run.generation, 0);
    BREAKS(2, sim.b.ctx->vmids.taken[0], 1);
    BREAKS(4, a->run.inside, 3);
    BREAKS(4, a->run.harts, 2);
    BREAKS(4, sim.b.ctx->vmids.harts, 1);
    BREAKS(4, sim.b.ctx->vmids.on[2], a);
#undef BREAKS
    sim_leave(0);
    sim_leave(1);
    assert_int_equal(cordon_domain_destroy(a), 0);
    assert_int_equal(cordon_domain_destroy(b), 0);
    bench_close(&sim.b);
}

/* ---- at random ---------------------------------------------------------------------------- */

#define GUESTS 7u

struct guest {
    cordon_domain *d;
    uint32_t pages; /* bit p: page p stands in its map */
    uint32_t runs;  /* on so many harts */
    uint64_t hgatp; /* while it runs */
};

static uint32_t guests_running(const struct guest *g)
{
    uint32_t n = 0;

    for (unsigned i = 0; i < GUESTS; i++) {
        n += g[i].runs != 0;
    }
    return n;
}

static void random_enter(struct guest *all, uint32_t bits, uint64_t *seed)
{
    uint32_t h = (uint32_t)(bench_random(seed) % HARTS);
    struct guest *g = &all[bench_random(seed) % GUESTS];
    int want = sim.hart[h].runs != NULL                            ? -CORDON_EBUSY
               : g->runs == 0 && guests_running(all) == 1u << bits ? -CORDON_ELIMIT
                                                                   : 0;

    assert_int_equal(sim_enter(h, g->d), want);
    if (want != 0) {
        return;
    }
    if (g->runs++ != 0) {
        assert_int_equal(sim.hart[h].hgatp, g->hgatp);
    }
    g->hgatp = sim.hart[h].hgatp;
    for (unsigned i = 0; i < GUESTS; i++) {
        assert_true(&all[i] == g || all[i].runs == 0 || vmid_of(all[i].hgatp) != vmid_of(g->hgatp));
    }
}

static void random_leave(struct guest *all, uint64_t *seed)
{
    uint32_t h = (uint32_t)(bench_random(seed) % HARTS);

    for (unsigned i = 0; i < GUESTS && sim.hart[h].runs != NULL; i++) {
        if (all[i].d == sim.hart[h].runs) {
            all[i].runs--;
            sim_leave(h);
        }
    }
}

static void random_change(struct guest *all, uint64_t *seed)
{
    struct guest *g = &all[bench_random(seed) % GUESTS];
    uint32_t p = (uint32_t)(bench_random(seed) % RAM_PAGES);
    uint64_t gpa = RAM_GPA + p * (p % 3 == 0 ? PAGE : BLOCK);

    if ((g->pages >> p & 1) == 0) {
        (void)bench_grant(&sim.b, g->d, gpa, 1, RW, 0);
    } else {
        assert_int_equal(bench_revoke(g->d, gpa, 1), 0);
    }
    g->pages ^= 1u << p;
}

static void random_reads(uint64_t *seed)
{
    for (uint32_t h = 0; h < HARTS; h++) {
        uint32_t p = (uint32_t)(bench_random(seed) % RAM_PAGES);

        if (sim.hart[h].runs != NULL) {
            sim_read(&sim.hart[h], RAM_GPA + p * (p % 3 == 0 ? PAGE : BLOCK));
        }
    }
}

static void random_end(struct guest *all, uint64_t *seed)
{
    struct guest *g = &all[bench_random(seed) % GUESTS];
    cordon_domain *old = g->d;

    assert_int_equal(cordon_domain_destroy(old), g->runs != 0 ? -CORDON_EBUSY : 0);
    if (g->runs == 0) {
        *g = (struct guest){.d = sim_domain()};
    }
}

static void run_at_random(uint32_t bits, uint64_t seed)
{
    struct guest all[GUESTS] = {0};

    sim_open(bits);
    for (unsigned i = 0; i < GUESTS; i++) {
        all[i].d = sim_domain();
    }
    for (unsigned step = 0; step < 1500; step++) {
        switch (bench_random(&seed) % 8) {
        case 0:
        case 1:
        case 2:
            random_enter(all, bits, &seed);
            break;
        case 3:
        case 4:
            random_leave(all, &seed);
            break;
        case 5:
            random_end(all, &seed);
            break;
        default:
            random_change(all, &seed);
        }
        random_reads(&seed);
        sim_sound();
        if (step % 16 == 0) {
            bench_sound(&sim.b);
        }
    }
    assert_true(bits >= 3 || vmids().generation > 3);
    for (uint32_t h = 0; h < HARTS; h++) {
        if (sim.hart[h].runs != NULL) {
            sim_leave(h);
        }
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        assert_int_equal(cordon_domain_destroy(all[i].d), 0);
    }
    bench_close(&sim.b);
}

static void test_random_runs_never_use_what_is_stale(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 4; bits++) {
        run_at_random(bits, 0x1234567 + bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_number_live_and_as_many_run_as_there_are_vmids),
        cmocka_unit_test(test_without_vmid_bits_one_runs_at_a_time),
        cmocka_unit_test(test_a_new_generation_leaves_alone_who_runs),
        cmocka_unit_test(test_a_vmid_that_is_given_back_has_no_past),
        cmocka_unit_test(test_only_harts_that_ran_it_are_told),
        cmocka_unit_test(test_a_hart_that_runs_while_it_is_told_is_told_again),
        cmocka_unit_test(test_ranges_that_touch_are_told_as_one),
        cmocka_unit_test(test_what_cannot_be_entered_or_left),
        cmocka_unit_test(test_the_audit_sees_vmids_that_are_wrong),
        cmocka_unit_test(test_random_runs_never_use_what_is_stale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
