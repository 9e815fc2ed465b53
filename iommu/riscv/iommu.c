/*
 * An IOMMU is taken over from firmware, brought up and turned off [IOMMU 6.2].
 *
 * Order: ddtp Off and queues off, whatever was found; features; queues; caches flushed while
 * nothing can pass; the empty directory; caches flushed again. Bare is never used (INV 5). The
 * IOMMU's own interrupts are wires where it has them and masked otherwise: polling works in every
 * case.
 */
#include "riscv/iommu.h"

#include "core/ctx.h"
#include "riscv/device.h"
#include "riscv/napot.h"

_Static_assert(sizeof(struct cordon_iommu) <= CORDON_PAGE_SIZE, "an IOMMU is one page");

unsigned iommu_queue_order(uint32_t log2, uint32_t entry_shift)
{
    uint32_t bytes_log2 = log2 + entry_shift;

    return bytes_log2 > CORDON_PAGE_SHIFT ? bytes_log2 - CORDON_PAGE_SHIFT : 0;
}

int iommu_queue_base(const struct cordon_iommu *iommu, enum iommu_reg64 reg, cordon_hpa base,
                     uint32_t *log2)
{
    uint64_t ppn = field_put(QUEUE_PPN, base.v >> CORDON_PAGE_SHIFT);
    uint64_t got;
    uint64_t got_log2;

    reg_write64(&iommu->mmio, reg, ppn | field_put(QUEUE_LOG2SZ_1, *log2 - 1));
    got = reg_read64(&iommu->mmio, reg);
    got_log2 = field_get(QUEUE_LOG2SZ_1, got) + 1;
    if ((got & QUEUE_PPN) != ppn || got_log2 > *log2) {
        return -CORDON_ENOTSUP;
    }
    *log2 = (uint32_t)got_log2;
    return 0;
}

bool iommu_can_reach(const struct cordon_iommu *iommu, cordon_hpa hpa, unsigned order)
{
    uint64_t bits = field_get(CAP_PAS, iommu->info.capabilities);
    uint64_t last = hpa.v + ((CORDON_PAGE_SIZE << order) - 1);

    return last >> bits == 0;
}

int iommu_alloc_table(const struct cordon_iommu *iommu, unsigned order, cordon_hpa *out)
{
    cordon_hpa hpa;
    int err = frames_alloc_table(iommu->ctx, order, &hpa);

    if (err) {
        return err;
    }
    if (!iommu_can_reach(iommu, hpa, order)) {
        frames_free(iommu->ctx, hpa, order);
        return -CORDON_ENOTSUP;
    }
    *out = hpa;
    return 0;
}

void cordon_iommu_info(const cordon_iommu *iommu, struct cordon_iommu_info *out)
{
    if (out == NULL) {
        return;
    }
    if (iommu == NULL || !handle_is(iommu, HANDLE_IOMMU)) {
        *out = (struct cordon_iommu_info){0};
        return;
    }
    *out = iommu->info;
}

/* ---- what it is --------------------------------------------------------------------------- */

static int iommu_check_config(const cordon_ctx *ctx, const struct cordon_iommu_config *cfg)
{
    if (cfg->size != sizeof(*cfg) || cfg->flags != 0) {
        return -CORDON_EINVAL;
    }
    if (cfg->cq_log2 > CQ_LOG2_MAX || cfg->fq_log2 > FQ_LOG2_MAX ||
        !is_aligned(cfg->base.v, IOMMU_REGISTERS_SIZE) ||
        pool_bank(&ctx->frames, cfg->base.v >> CORDON_PAGE_SHIFT) != NULL) {
        return -CORDON_EINVAL;
    }
    return cfg->max_device_id >> DDT_DEVICE_ID_BITS != 0 ? -CORDON_ENOTSUP : 0;
}

static int iommu_read_capabilities(struct cordon_iommu *iommu)
{
    uint64_t cap = reg_read64(&iommu->mmio, REG64_CAPABILITIES);
    struct cordon_iommu_info *info = &iommu->info;

    if (field_get(CAP_VERSION_MAJOR, cap) != 1) {
        return -CORDON_ENOTSUP;
    }
    info->capabilities = cap;
    info->extended = (cap & CAP_MSI_FLAT) != 0;
    /* Each mode has a bit of its own: none says anything about another. */
    info->modes = ((cap & CAP_SV39X4) != 0 ? CORDON_MODE_SV39X4 : 0) |
                  ((cap & CAP_SV48X4) != 0 ? CORDON_MODE_SV48X4 : 0) |
                  ((cap & CAP_SV57X4) != 0 ? CORDON_MODE_SV57X4 : 0);
    if (info->modes == 0) {
        return -CORDON_ENOTSUP;
    }
    info->found_mode = (uint32_t)field_get(DDTP_MODE, reg_read64(&iommu->mmio, REG64_DDTP));
    return ddt_levels_for(info->extended != 0, iommu->max_device_id) == 0 ? -CORDON_ENOTSUP : 0;
}

/* ---- bring-up ----------------------------------------------------------------------------- */

static int iommu_stop_page_requests(const struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    int err;

    if ((iommu->info.capabilities & CAP_ATS) == 0) {
        return 0;
    }
    err = wait_reg32(m, REG32_PQCSR, PQCSR_BUSY, 0);
    if (err) {
        return err;
    }
    reg_write32(m, REG32_PQCSR, 0);
    return wait_reg32(m, REG32_PQCSR, PQCSR_BUSY | PQCSR_PQON, 0);
}

/* End whatever runs: nothing passes, no queue is read or written. */
static int iommu_silence(struct cordon_iommu *iommu)
{
    int err = ddt_disable(iommu);

    if (!err) {
        err = cq_stop(iommu);
    }
    if (!err) {
        err = fq_stop(iommu);
    }
    return err ? err : iommu_stop_page_requests(iommu);
}

/* Little-endian, 64-bit guests, and wires for its interrupts if it has them: *WIRED says so. Only
 * while it is Off and its queues are off [IOMMU 5.4]. */
static int iommu_set_features(const struct cordon_iommu *iommu, bool *wired)
{
    const struct iommu_mmio *m = &iommu->mmio;
    uint64_t igs = field_get(CAP_IGS, iommu->info.capabilities);
    uint64_t fctl = reg_read32(m, REG32_FCTL);
    uint64_t want = fctl & ~(FCTL_BE | FCTL_WSI | FCTL_GXL);

    want |= igs == IGS_MSI ? 0 : FCTL_WSI;
    if (fctl != want) {
        reg_write32(m, REG32_FCTL, want);
        fctl = reg_read32(m, REG32_FCTL);
    }
    if ((fctl & (FCTL_BE | FCTL_GXL)) != 0) {
        return -CORDON_ENOTSUP;
    }
    *wired = (fctl & FCTL_WSI) != 0;
    return 0;
}

/* A vector for each cause, as far as there are vectors; messages are masked. */
static void iommu_set_vectors(const struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    uint64_t keep = reg_read64(m, REG64_ICVEC) & ~ICVEC_ALL;
    uint64_t last;

    reg_write64(m, REG64_ICVEC, keep | ICVEC_ALL);
    last = field_get(ICVEC_CIV, reg_read64(m, REG64_ICVEC)); /* its writable bits [IOMMU 6.2] */
    reg_write64(m, REG64_ICVEC,
                keep | field_put(ICVEC_CIV, 0) | field_put(ICVEC_FIV, 1) |
                    field_put(ICVEC_PMIV, 2) | field_put(ICVEC_PIV, 3));
    if (field_get(CAP_IGS, iommu->info.capabilities) == IGS_WSI) {
        return;
    }
    for (uint32_t vector = 0; vector <= last; vector++) {
        reg_write32(m, REG32_MSI_VEC_CTL(vector), MSI_VEC_CTL_M);
    }
}

static int iommu_bring_up(struct cordon_iommu *iommu)
{
    bool wired = false;
    int err = iommu_silence(iommu);

    if (!err) {
        err = iommu_set_features(iommu, &wired);
    }
    if (err) {
        return err;
    }
    iommu_set_vectors(iommu);
    hpm_find(iommu);
    err = cq_start(iommu);
    if (!err) {
        err = fq_start(iommu, wired);
    }
    if (!err) {
        err = cq_flush_all(iommu); /* what firmware left, while nothing passes */
    }
    if (!err) {
        err = ddt_enable(iommu);
    }
    return err ? err : cq_flush_all(iommu);
}

/* Off for good. What the IOMMU could read or write may be freed if this succeeds, and only then:
 * its caches may name directory pages even while it is Off [IOMMU 5.5]. */
static int iommu_shut(struct cordon_iommu *iommu)
{
    int err = ddt_disable(iommu);

    if (!err && iommu->ddt.ddtp != 0) {
        err = cq_flush_all(iommu);
    }
    return err ? err : iommu_silence(iommu);
}

/* ---- memory ------------------------------------------------------------------------------- */

static int iommu_alloc_queues(struct cordon_iommu *iommu, const struct cordon_iommu_config *cfg)
{
    int err = cq_alloc(iommu, cfg->cq_log2 != 0 ? cfg->cq_log2 : CQ_LOG2_DEFAULT);

    if (err) {
        return err;
    }
    err = fq_alloc(iommu, cfg->fq_log2 != 0 ? cfg->fq_log2 : FQ_LOG2_DEFAULT);
    if (err) {
        cq_free(iommu);
        return err;
    }
    err = ddt_alloc(iommu);
    if (err) {
        fq_free(iommu);
        cq_free(iommu);
    }
    return err;
}

static void iommu_free_queues(struct cordon_iommu *iommu)
{
    ddt_free(iommu);
    fq_free(iommu);
    cq_free(iommu);
}

static struct cordon_iommu *iommu_alloc(cordon_ctx *ctx, const struct cordon_iommu_config *cfg)
{
    struct cordon_iommu *iommu = pool_page_alloc(ctx);

    if (iommu == NULL) {
        return NULL;
    }
    iommu->ctx = ctx;
    iommu->mmio.cookie = ctx->cookie;
    iommu->mmio.base = cfg->base;
    iommu->mmio.timeout_us = cfg->timeout_us != 0 ? cfg->timeout_us : WAIT_TIMEOUT_US_DEFAULT;
    iommu->max_device_id = cfg->max_device_id;
    lock_init(&iommu->lock);
    fq_init(&iommu->fq);
    return iommu;
}

/* Enter the context's list. Errors: ELIMIT. */
static int iommu_enlist(struct cordon_iommu *iommu)
{
    struct cordon_ctx *ctx = iommu->ctx;
    uint32_t used = 0;

    lock_take(&ctx->lock);
    for (const struct cordon_iommu *i = ctx->iommus; i != NULL; i = i->next) {
        used |= UINT32_C(1) << i->index;
    }
    if (used != (UINT32_C(1) << CORDON_MAX_IOMMUS) - 1) {
        iommu->index = (uint32_t)__builtin_ctz(~used);
        iommu->next = ctx->iommus;
        ctx->iommus = iommu;
    }
    lock_give(&ctx->lock);
    return used == (UINT32_C(1) << CORDON_MAX_IOMMUS) - 1 ? -CORDON_ELIMIT : 0;
}

static void iommu_delist(struct cordon_iommu *iommu)
{
    struct cordon_ctx *ctx = iommu->ctx;
    struct cordon_iommu **at;

    lock_take(&ctx->lock);
    for (at = &ctx->iommus; *at != iommu; at = &(*at)->next) {
    }
    *at = iommu->next;
    lock_give(&ctx->lock);
}

/* ---- public ------------------------------------------------------------------------------- */

/* Bring up what has its place. If it cannot be turned off again either, it keeps its queues: the
 * frames are lost, but never reused. */
static int iommu_open(struct cordon_iommu *iommu, const struct cordon_iommu_config *cfg)
{
    int err = iommu_alloc_queues(iommu, cfg);

    if (err) {
        return err;
    }
    err = iommu_bring_up(iommu);
    if (err && iommu_shut(iommu) == 0) {
        iommu_free_queues(iommu);
    }
    return err;
}

int cordon_iommu_add(cordon_ctx *ctx, const struct cordon_iommu_config *cfg, cordon_iommu **out)
{
    struct cordon_iommu *iommu;
    int err;

    if (ctx == NULL || cfg == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    err = iommu_check_config(ctx, cfg);
    if (err) {
        return err;
    }
    err = resource_own_add(ctx, cfg->base, IOMMU_REGISTERS_SIZE);
    if (err) {
        return err;
    }
    iommu = iommu_alloc(ctx, cfg);
    if (iommu == NULL) {
        resource_own_remove(ctx, cfg->base);
        return -CORDON_ENOMEM;
    }
    err = iommu_read_capabilities(iommu);
    if (!err) {
        err = iommu_enlist(iommu);
    }
    if (!err) {
        err = iommu_open(iommu, cfg);
        if (err) {
            iommu_delist(iommu);
        }
    }
    if (err) {
        pool_page_free(ctx, iommu);
        resource_own_remove(ctx, cfg->base);
        return err;
    }
    iommu->mark = HANDLE_IOMMU;
    iommu->open = true;
    if (ctx->napot) {
        napot_try(iommu);
    }
    *out = iommu;
    return 0;
}

int cordon_iommu_remove(cordon_iommu *iommu)
{
    struct cordon_ctx *ctx;
    int err;

    if (iommu == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(iommu, HANDLE_IOMMU)) {
        return -CORDON_EHANDLE;
    }
    ctx = iommu->ctx;
    lock_take(&iommu->lock);
    err = iommu->device_count != 0 ? -CORDON_EBUSY : 0;
    if (!err) {
        iommu->open = false;
        err = iommu_shut(iommu) != 0 ? -CORDON_ETIMEOUT : 0;
    }
    lock_give(&iommu->lock);
    if (err) {
        return err;
    }
    iommu_delist(iommu);
    iommu_free_queues(iommu);
    device_slabs_free(iommu);
    resource_own_remove(ctx, iommu->mmio.base);
    iommu->mark = 0;
    pool_page_free(ctx, iommu);
    return 0;
}
