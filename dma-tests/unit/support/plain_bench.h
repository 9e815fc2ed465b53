/*
 * What tests share that know the public headers alone, and so are also built with the host's port,
 * for ThreadSanitizer: RAM, a context and a software IOMMU over it, and what usually works, or
 * fails the test. Who includes this defines _DEFAULT_SOURCE, for MAP_ANONYMOUS.
 */
#ifndef PLAIN_BENCH_H
#define PLAIN_BENCH_H

#include <cordon/cordon.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "model/model_port.h"

#define PAGE UINT64_C(4096)
#define RAM UINT64_C(0x80000000)
#define PLAIN_IOMMU UINT64_C(0x3010000) /* its registers */

/* LEN bytes of zeroes, for RAM. munmap ends them. */
static inline uint8_t *plain_ram(uint64_t len)
{
    void *ram =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_ptr_not_equal(ram, MAP_FAILED);
    return ram;
}

/* OPS may be null, and outlives the context. */
static inline cordon_ctx *plain_ctx(const uint8_t *ram, uint64_t len, uint32_t vmid_bits,
                                    struct cordon_port_ops *ops)
{
    const struct cordon_extent bank = {{RAM}, len};
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = ops,
                                      .ram_offset = (uint64_t)(uintptr_t)ram - RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = vmid_bits};
    cordon_ctx *ctx = NULL;

    assert_int_equal(cordon_ctx_create(&cfg, &ctx), 0);
    return ctx;
}

static inline void plain_sound(const cordon_ctx *ctx)
{
    struct cordon_finding found;

    if (cordon_audit(ctx, &found) != 0) {
        fail_msg("invariant %u: %s", found.invariant, found.text);
    }
}

static inline uint64_t plain_free(const cordon_ctx *ctx)
{
    struct cordon_memory_stats s;

    cordon_memory_stats(ctx, &s);
    return s.free;
}

/* ---- domains ------------------------------------------------------------------------------ */

static inline cordon_domain *plain_domain(cordon_ctx *ctx)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    cordon_domain *d = NULL;

    assert_int_equal(cordon_domain_create(ctx, &cfg, &d), 0);
    return d;
}

/* HART runs D from now on; what it remembers is fenced. */
static inline void plain_enter(cordon_domain *d, uint32_t hart)
{
    struct cordon_entry entry = {.size = sizeof(entry)};

    assert_int_equal(cordon_domain_enter(d, hart, &entry), 0);
}

/* A run as it is wanted, at GPA of D, with all rights. */
static inline cordon_hpa plain_grant(cordon_ctx *ctx, cordon_domain *d, uint64_t gpa,
                                     struct cordon_run_want want)
{
    struct cordon_extent e = {.len = want.len};
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .gpa = {gpa},
                                 .len = want.len,
                                 .perms = CORDON_RWX,
                                 .extents = &e,
                                 .extent_count = 1};

    want.size = sizeof(want);
    assert_int_equal(cordon_run_alloc(ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    return e.hpa;
}

/* ---- hardware ----------------------------------------------------------------------------- */

/* CAPABILITIES: 0 is what the model has by itself. */
static inline cordon_model *plain_model(uint8_t *ram, uint64_t len, uint64_t capabilities)
{
    const struct cordon_model_config cfg = {.size = sizeof(cfg),
                                            .ram = ram,
                                            .ram_hpa = RAM,
                                            .ram_len = len,
                                            .capabilities = capabilities};
    cordon_model *model = NULL;

    assert_int_equal(cordon_model_create(&cfg, &model), 0);
    return model;
}

/* The layer has done nothing to it that the specification leaves open. */
static inline void plain_model_close(cordon_model *model)
{
    struct cordon_model_stats stats = {.size = sizeof(stats)};

    assert_int_equal(cordon_model_stats_get(model, &stats), 0);
    assert_int_equal(stats.violations, 0);
    cordon_model_destroy(model);
}

static inline cordon_iommu *plain_iommu(cordon_ctx *ctx, uint32_t max_device_id)
{
    const struct cordon_iommu_config cfg = {.size = sizeof(cfg),
                                            .base = {PLAIN_IOMMU},
                                            .timeout_us = 30000000,
                                            .max_device_id = max_device_id};
    cordon_iommu *iommu = NULL;

    assert_int_equal(cordon_iommu_add(ctx, &cfg, &iommu), 0);
    return iommu;
}

static inline cordon_device *plain_device(cordon_iommu *iommu, uint32_t id)
{
    const struct cordon_device_config cfg = {
        .size = sizeof(cfg), .device_id = id, .drain = CORDON_DRAIN_IOMMU, .name = "engine"};
    cordon_device *dev = NULL;

    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    return dev;
}

#endif
