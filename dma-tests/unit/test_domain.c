/* Domains: made and undone, and their views. */
#include "map_bench.h"

#include "fake_machine.h"

/* ---- create ------------------------------------------------------------------------------- */

static void test_domains_that_cannot_be(void **state)
{
    struct map_bench b;
    struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = GIB};
    cordon_domain *d = NULL;

    (void)state;
    bench_open(&b, 8 * MIB);
    uint64_t before = bench_state(&b);
#define REFUSED(error, ...)                                                \
    do {                                                                   \
        struct cordon_domain_config bad = cfg;                             \
        __VA_ARGS__;                                                       \
        assert_int_equal(cordon_domain_create(b.ctx, &bad, &d), -(error)); \
        assert_int_equal(bench_state(&b), before);                         \
    } while (0)
    REFUSED(CORDON_EINVAL, bad.size++);
    REFUSED(CORDON_EINVAL, bad.modes = 8);
    REFUSED(CORDON_ERANGE, bad.gpa_limit = 0);
    REFUSED(CORDON_ERANGE, bad.gpa_limit = GIB + 1);
    REFUSED(CORDON_ENOTSUP, bad.gpa_limit = (UINT64_C(1) << 59) + PAGE);
    REFUSED(CORDON_ENOTSUP, bad.modes = CORDON_MODE_SV39X4;
            bad.gpa_limit = (UINT64_C(1) << 41) + PAGE);
    assert_int_equal(cordon_domain_create(NULL, &cfg, &d), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_create(b.ctx, NULL, &d), -CORDON_EINVAL);
    assert_int_equal(cordon_domain_create(b.ctx, &cfg, NULL), -CORDON_EINVAL);
    for (uint64_t n = 1; n <= 2; n++) {
        b.record.fail_at = b.record.allocations + n;
        REFUSED(CORDON_ENOMEM, bad = cfg);
    }
    assert_null(d);
    bench_close(&b);
}

static void test_the_smallest_mode_that_all_have_is_chosen(void **state)
{
    static const struct {
        uint32_t harts, iommus, asked;
        unsigned width;
        uint64_t mode;
    } cases[] = {
        {7, 7, 0, 41, 8},  {7, 7, 0, 42, 9}, {7, 7, 0, 50, 9},  {7, 7, 0, 51, 10},
        {7, 7, 0, 59, 10}, {6, 7, 0, 30, 9}, {4, 7, 0, 30, 10}, {7, 6, 0, 30, 9},
        {7, 7, 4, 30, 10}, {3, 6, 0, 30, 9}, {3, 4, 0, 30, 0},  {7, 7, 1, 42, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct map_bench b;
        struct cordon_domain_config cfg = {.size = sizeof(cfg),
                                           .modes = cases[i].asked,
                                           .gpa_limit = UINT64_C(1) << cases[i].width};
        cordon_domain *d;

        bench_open(&b, 8 * MIB);
        b.ctx->hart_modes = cases[i].harts;
        b.ctx->device_modes = cases[i].iommus;
        int err = cordon_domain_create(b.ctx, &cfg, &d);

        assert_int_equal(err, cases[i].mode != 0 ? 0 : -CORDON_ENOTSUP);
        if (err == 0) {
            uint64_t hgatp = cordon_domain_hgatp(d);

            assert_int_equal(hgatp >> 60, cases[i].mode);
            assert_int_equal(hgatp << 20 >> 8, d->forest.root[0].v);
            assert_int_equal(hgatp << 20 >> 8 & 0x3fff, 0);
            assert_int_equal(cordon_domain_destroy(d), 0);
        }
        bench_close(&b);
    }
}

static void test_4095_domains_and_no_more(void **state)
{
    struct map_bench b;
    static cordon_domain *d[4096];
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = GIB};
    unsigned count = 0;

    (void)state;
    bench_open(&b, 96 * MIB);
    while (count < 4096 && cordon_domain_create(b.ctx, &cfg, &d[count]) == 0) {
        count++;
        assert_int_equal(cordon_domain_number(d[count - 1]), count);
    }
    assert_int_equal(count, 4095);
    assert_int_equal(cordon_domain_create(b.ctx, &cfg, &d[4095]), -CORDON_ELIMIT);
    while (count > 0) {
        assert_int_equal(cordon_domain_destroy(d[--count]), 0);
    }
    bench_close(&b);
}

static void test_destroying_gives_everything_back(void **state)
{
    struct map_bench b;
    const struct cordon_extent mmio = {{BENCH_MMIO}, 8 * PAGE};

    (void)state;
    bench_open(&b, 16 * MIB);
    uint64_t before = bench_state(&b);
    cordon_domain *d = bench_domain(&b);
    struct cordon_op op = op_grant(0x40000000, &mmio, 1, RW, CORDON_REGION_MMIO);

    (void)bench_grant(&b, d, 0, 700, RWX, 0);
    (void)bench_grant(&b, d, UINT64_C(1) << 40, 3, RW, CORDON_REGION_NODMA);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(bench_state(&b), before);
    bench_close(&b);
}

/* ---- questions ---------------------------------------------------------------------------- */

static void test_regions_are_found_from_inside_and_from_below(void **state)
{
    struct map_bench b;
    struct cordon_region_info r;

    (void)state;
    bench_open(&b, 8 * MIB);
    cordon_domain *d = bench_domain(&b);

    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0), true, &r), -CORDON_ENOENT);
    (void)bench_grant(&b, d, 0x5000, 2, RW, CORDON_REGION_KEEP);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0x4fff), false, &r), -CORDON_ENOENT);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0x7000), true, &r), -CORDON_ENOENT);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(UINT64_MAX), true, &r), -CORDON_ENOENT);
    for (uint64_t at = 0; at < 0x7000; at += 0xfff) {
        assert_int_equal(cordon_region_find(d, cordon_gpa_make(at), true, &r), 0);
        assert_int_equal(r.gpa.v, 0x5000);
        assert_int_equal(r.len, 0x2000);
        assert_int_equal(r.flags, CORDON_REGION_KEEP);
    }
    assert_int_equal(cordon_region_find(NULL, cordon_gpa_make(0), true, &r), -CORDON_EINVAL);
    assert_int_equal(cordon_region_find(d, cordon_gpa_make(0), true, NULL), -CORDON_EINVAL);
    uint64_t kept = bench_leads(d, 0, 0x5000, RW);

    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(kept), 2 * PAGE), 0);
    bench_close(&b);
}

static void test_translate_checks_view_width_and_access(void **state)
{
    struct map_bench b;
    struct cordon_hit hit = {.level = 99};
    const uint64_t top = UINT64_C(1) << 41;

    (void)state;
    bench_open(&b, 8 * MIB);
    cordon_domain *d = bench_domain(&b);
    uint64_t hpa = bench_grant(&b, d, top - PAGE, 1, CORDON_READ, 0).v;

    assert_int_equal(cordon_translate(NULL, 0, cordon_gpa_make(0), 0, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(0), 0, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(0), 8, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_translate(d, 1, cordon_gpa_make(0), 0, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_translate(d, 99, cordon_gpa_make(0), 0, &hit), -CORDON_EINVAL);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(top), 0, &hit), -CORDON_ERANGE);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(0), 0, &hit), -CORDON_EFAULT);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(top - 1), RW, &hit), -CORDON_EFAULT);
    assert_int_equal(hit.level, 99);
    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(top - 1), CORDON_READ, &hit), 0);
    assert_int_equal(hit.hpa.v, hpa + PAGE - 1);
    assert_int_equal(hit.span, 1);
    assert_int_equal(hit.perms, CORDON_READ);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

static void test_the_nearest_region_and_how_far(void **state)
{
    struct map_bench b;
    struct cordon_region_info r;
    bool after = false;
    uint64_t gap = 0;
    static const struct {
        uint64_t gpa, nearest, gap;
        bool after;
    } cases[] = {
        {0, 0x10000, 0x10000, true},
        {0xffff, 0x10000, 1, true},
        {0x10000, 0x10000, 0, false},
        {0x11fff, 0x10000, 0, false},
        {0x12000, 0x10000, 0, false},
        {0x12004, 0x10000, 4, false},
        {0x1fffc, 0x20000, 4, true},
        {0x21000, 0x20000, 0, false},
        {UINT64_C(1) << 63, 0x20000, (UINT64_C(1) << 63) - 0x21000, false},
    };

    (void)state;
    bench_open(&b, 8 * MIB);
    cordon_domain *d = bench_domain(&b);

    assert_false(domain_nearest(d, 0x1000, &r, &after, &gap));
    (void)bench_grant(&b, d, 0x10000, 2, RW, 0);
    (void)bench_grant(&b, d, 0x20000, 1, RW, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_true(domain_nearest(d, cases[i].gpa, &r, &after, &gap));
        assert_int_equal(r.gpa.v, cases[i].nearest);
        assert_int_equal(after, cases[i].after);
        assert_int_equal(gap, cases[i].gap);
    }
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

static void test_msi_pages_are_told_from_others(void **state)
{
    struct map_bench b;
    static const uint64_t masks[] = {0, 1, 7, 0x101, 0x3003, 0xf0f};

    (void)state;
    bench_open(&b, 8 * MIB);
    cordon_domain *d = bench_domain(&b);

    assert_false(domain_msi_touches(d, 0, UINT64_C(1) << 40));
    d->msi.set = true;
    for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
        d->msi.mask = masks[m];
        d->msi.base = cordon_gpa_make(0x9a90 * PAGE);
        for (uint64_t first = 0x8000; first < 0xb000; first += 7) {
            bool touched = false;

            for (uint64_t i = 0; i < 40; i++) {
                touched = touched || ((first + i) & ~masks[m]) == (0x9a90 & ~masks[m]);
                assert_int_equal(domain_msi_touches(d, first, i + 1), touched);
            }
        }
    }
    assert_false(domain_msi_touches(d, (UINT64_C(1) << 51), UINT64_C(1) << 40));
    d->msi.set = false;
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

static void test_ram_is_not_granted_over_msi_pages(void **state)
{
    static struct fake_machine m;

    (void)state;
    machine_open(&m);
    cordon_domain *d = machine_domain(&m);
    const struct cordon_run_want want = {.size = sizeof(want), .len = 4 * PAGE};
    struct cordon_extent e = {.len = 4 * PAGE};
    struct cordon_op op = op_grant(0x28000000 - 3 * PAGE, &e, 1, RW, CORDON_REGION_KEEP);

    assert_int_equal(cordon_msi_window(d, cordon_gpa_make(0x28000000), 3), 0);
    assert_int_equal(cordon_run_alloc(m.ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_change(d, &op, 1), -CORDON_EEXIST);
    op.gpa.v -= PAGE;
    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_run_free(m.ctx, e.hpa, e.len), 0);
    machine_close(&m);
}

/* ---- views -------------------------------------------------------------------------------- */

static void test_a_new_view_holds_what_it_should(void **state)
{
    struct map_bench b;
    const struct cordon_extent mmio = {{BENCH_MMIO}, 2 * PAGE};
    uint32_t view;

    (void)state;
    bench_open(&b, 24 * MIB);
    cordon_domain *d = bench_domain(&b);
    struct cordon_op op = op_grant(0x10000000, &mmio, 1, RW, CORDON_REGION_MMIO);
    uint64_t a = bench_grant(&b, d, 0, 3, RWX, CORDON_REGION_NODMA).v;
    uint64_t c = bench_grant(&b, d, 3 * PAGE, 600, RWX, 0).v;
    uint64_t e = bench_grant(&b, d, 700 * PAGE, 8, RW, CORDON_REGION_NODMA).v;
    uint64_t f = bench_grant(&b, d, (UINT64_C(1) << 41) - PAGE, 1, RW, CORDON_REGION_NODMA).v;

    assert_int_equal(cordon_change(d, &op, 1), 0);
    assert_int_equal(domain_view_add(d, &view), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(d, 0, 0, RWX), a);
    assert_int_equal(bench_leads(d, view, 2 * PAGE, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, view, 3 * PAGE, RWX), c);
    assert_int_equal(bench_leads(d, view, 602 * PAGE, RWX), c + 599 * PAGE);
    assert_int_equal(bench_leads(d, view, 700 * PAGE, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, 707 * PAGE, RW), e + 7 * PAGE);
    assert_int_equal(bench_leads(d, view, (UINT64_C(1) << 41) - PAGE, 0), UINT64_MAX);
    assert_int_equal(bench_leads(d, 0, (UINT64_C(1) << 41) - PAGE, RW), f);
    assert_int_equal(bench_leads(d, view, 0x10000000, 0), UINT64_MAX);
    domain_view_remove(d, view);
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

static void test_views_are_seven_beside_the_first_and_fail_cleanly(void **state)
{
    struct map_bench b;
    uint32_t view = 0;

    (void)state;
    bench_open(&b, 16 * MIB);
    cordon_domain *d = bench_domain(&b);

    (void)bench_grant(&b, d, PAGE, 600, RW, 0);
    (void)bench_grant(&b, d, 601 * PAGE, 1, RW, CORDON_REGION_NODMA);
    (void)bench_grant(&b, d, 602 * PAGE, 5, RW, 0);
    uint64_t before = bench_state(&b);

    for (uint64_t n = 1; view == 0; n++) {
        b.record.fail_at = b.record.allocations + n;
        if (domain_view_add(d, &view) != 0) {
            assert_int_equal(bench_state(&b), before);
        }
        assert_true(n < 50);
        assert_true(view == 0 || n > 2);
    }
    b.record.fail_at = 0;
    for (uint32_t i = 1; i < CORDON_MAX_VIEWS - 1; i++) {
        assert_int_equal(domain_view_add(d, &view), 0);
    }
    bench_sound(&b);
    uint64_t full = bench_state(&b);

    assert_int_equal(domain_view_add(d, &view), -CORDON_ELIMIT);
    assert_int_equal(bench_state(&b), full);
    for (uint32_t v = 1; v < CORDON_MAX_VIEWS; v++) {
        domain_view_remove(d, v);
    }
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains_that_cannot_be),
        cmocka_unit_test(test_the_smallest_mode_that_all_have_is_chosen),
        cmocka_unit_test(test_4095_domains_and_no_more),
        cmocka_unit_test(test_destroying_gives_everything_back),
        cmocka_unit_test(test_regions_are_found_from_inside_and_from_below),
        cmocka_unit_test(test_translate_checks_view_width_and_access),
        cmocka_unit_test(test_the_nearest_region_and_how_far),
        cmocka_unit_test(test_msi_pages_are_told_from_others),
        cmocka_unit_test(test_ram_is_not_granted_over_msi_pages),
        cmocka_unit_test(test_a_new_view_holds_what_it_should),
        cmocka_unit_test(test_views_are_seven_beside_the_first_and_fail_cleanly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
