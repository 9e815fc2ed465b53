/*
 * What the tests of refusals share: a machine with domains, devices and memory of each kind,
 * another one beside it, and the proof that a call which is refused has changed nothing: counts,
 * owners, regions, leaves, what waits, what was counted of faults; the audit finds nothing.
 */
#ifndef REFUSAL_BENCH_H
#define REFUSAL_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "mix.h"

#define PAGE CORDON_PAGE_SIZE
#define AT UINT64_C(0x400000) /* four pages stand there, RW */
#define FREE_AT UINT64_C(0x10000000)
#define TOP (UINT64_C(1) << 32)   /* the domains' limit */
#define LAST (UINT64_MAX - 0xfff) /* the last page of all addresses */

static struct fake_machine machine, elsewhere;
static cordon_ctx *ctx;
static cordon_domain *d, *other, *far;
static cordon_iommu *iommu, *far_iommu;
static cordon_device *dev, *spare, *far_dev;
static struct cordon_extent held; /* two pages */

/* ---- what must not change ----------------------------------------------------------------- */

static inline void mix_domain(const cordon_domain *of, uint64_t *h)
{
    struct cordon_region_info region;
    struct cordon_hit hit;

    for (uint64_t at = 0; cordon_region_find(of, cordon_gpa_make(at), true, &region) == 0;
         at = region.gpa.v + region.len) {
        mix(h, region.gpa.v ^ region.len << 1);
        mix(h, region.perms | (uint64_t)region.flags << 32);
    }
    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        cordon_gpa gpa = cordon_gpa_make(0);

        while (cordon_leaf_next(of, view, &gpa, &hit) == 0) {
            mix(h, gpa.v ^ (uint64_t)hit.perms << 60);
            mix(h, hit.hpa.v);
            gpa.v += hit.span;
        }
    }
}

static inline uint64_t state_of(void)
{
    struct cordon_memory_stats stats;
    struct cordon_fault_stats faults;
    struct cordon_finding found;
    uint64_t h = machine.iommu[0].operations;

    cordon_memory_stats(ctx, &stats);
    for (size_t i = 0; i < sizeof(stats) / 8; i++) {
        mix(&h, ((const uint64_t *)&stats)[i]);
    }
    for (uint64_t at = MACHINE_RAM; at < MACHINE_RAM + MACHINE_RAM_LEN; at += PAGE) {
        struct cordon_frame_info info;

        assert_int_equal(cordon_frame_query(ctx, cordon_hpa_make(at), &info), 0);
        mix(&h, info.state | (uint64_t)info.domain << 32);
        mix(&h, info.gpa.v);
    }
    mix_domain(d, &h);
    mix_domain(other, &h);
    cordon_faults_stats(iommu, &faults);
    mix(&h, faults.records + faults.suppressed + faults.overflows);
    if (cordon_audit(ctx, &found) != 0) {
        fail_msg("invariant %u: %s", found.invariant, found.text);
    }
    return h;
}

static uint64_t before;

static inline void refused(int answer, int code, const char *call)
{
    if (answer != -code) {
        fail_msg("%s: %s (%d) instead of %d", call, cordon_strerror(answer), answer, -code);
    }
    if (state_of() != before) {
        fail_msg("%s: refused, and something has changed", call);
    }
}

/* What is refused is refused in any order: each line stands alone. */
#define REFUSED(code, call) refused((call), CORDON_##code, #call)

static inline int setup(void **state)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = 2 * PAGE};

    (void)state;
    machine_open(&machine);
    machine_open(&elsewhere);
    ctx = machine.ctx;
    iommu = machine_iommu(&machine, 0, 0xff);
    far_iommu = machine_iommu(&elsewhere, 0, 0xff);
    d = machine_domain(&machine);
    other = machine_domain(&machine);
    far = machine_domain(&elsewhere);
    dev = machine_device(iommu, 8);
    spare = machine_device(iommu, 9);
    far_dev = machine_device(far_iommu, 8);
    (void)machine_grant(&machine, d, AT, 4);
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    held.len = want.len;
    assert_int_equal(cordon_run_alloc(ctx, &want, &held.hpa), 0);
    before = state_of();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_device_remove(spare), 0);
    assert_int_equal(cordon_device_remove(far_dev), 0);
    assert_int_equal(cordon_run_free(ctx, held.hpa, held.len), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(other), 0);
    assert_int_equal(cordon_domain_destroy(far), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(cordon_iommu_remove(far_iommu), 0);
    machine_close(&machine);
    machine_close(&elsewhere);
    return 0;
}

#endif
