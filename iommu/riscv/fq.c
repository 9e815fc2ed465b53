/* The fault queue: see fq.h. */
#include "riscv/fq.h"

#include <port_word.h>

#include "core/ctx.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

/* How often a holder of the gate looks again because others came by. */
#define FQ_ROUNDS 4u
/* How often cordon_faults_take asks for the gate before it comes back with nothing. */
#define FQ_GATE_TRIES 1000000u

void fq_init(struct fq *fq)
{
    atomic_flag_clear(&fq->gate);
    atomic_init(&fq->again, false);
    atomic_init(&fq->records, 0);
    atomic_init(&fq->overflows, 0);
    atomic_init(&fq->suppressed, 0);
}

int fq_alloc(struct cordon_iommu *iommu, uint32_t log2)
{
    struct fq *fq = &iommu->fq;
    unsigned order = iommu_queue_order(log2, FQ_ENTRY_SHIFT);
    struct fault_log *log = pool_page_alloc(iommu->ctx);
    cordon_hpa base;
    int err;

    _Static_assert(sizeof(*log) <= CORDON_PAGE_SIZE, "the log is one page");
    if (log == NULL) {
        return -CORDON_ENOMEM;
    }
    err = iommu_alloc_table(iommu, order, &base);
    if (err) {
        pool_page_free(iommu->ctx, log);
        return err;
    }
    fq->base = base;
    fq->ring = frames_ptr(iommu->ctx, base);
    fq->order = order;
    fq->log2 = log2;
    fq->log = log;
    return 0;
}

void fq_free(struct cordon_iommu *iommu)
{
    frames_free(iommu->ctx, iommu->fq.base, iommu->fq.order);
    pool_page_free(iommu->ctx, iommu->fq.log);
    iommu->fq.ring = NULL;
    iommu->fq.log = NULL;
}

int fq_stop(struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    int err = wait_reg32(m, REG32_FQCSR, FQCSR_BUSY, 0);

    if (err) {
        return err;
    }
    reg_write32(m, REG32_FQCSR, 0);
    return wait_reg32(m, REG32_FQCSR, FQCSR_BUSY | FQCSR_FQON, 0);
}

int fq_start(struct cordon_iommu *iommu, bool interrupt)
{
    struct fq *fq = &iommu->fq;
    const struct iommu_mmio *m = &iommu->mmio;
    int err = fq_stop(iommu);

    if (err) {
        return err;
    }
    err = iommu_queue_base(iommu, REG64_FQB, fq->base, &fq->log2);
    if (err) {
        return err;
    }
    fq->enable = (uint32_t)(FQCSR_FQEN | (interrupt ? FQCSR_FIE : 0));
    fq->head = 0;
    reg_write32(m, REG32_FQH, 0);
    reg_write32(m, REG32_FQCSR, fq->enable); /* clears fqt and the error bits */
    return wait_reg32(m, REG32_FQCSR, FQCSR_BUSY | FQCSR_FQON, FQCSR_FQON);
}

/* ---- emptying it -------------------------------------------------------------------------- */

/* The domain that a device was in: its context still says so when the IOMMU reads it. Without a
 * lock, since directory pages stay while the IOMMU is open. */
static uint32_t fq_domain_of(const struct cordon_iommu *iommu, uint32_t device_id)
{
    bool extended = iommu->info.extended != 0;
    struct dc dc;

    if (ddt_levels_for(extended, device_id) > iommu->info.directory_levels ||
        !ddt_read(iommu, device_id, &dc) || (dc.word[DC_TC] & DC_TC_V) == 0) {
        return 0;
    }
    return device_gscid_domain((uint16_t)field_get(DC_IOHGATP_GSCID, dc.word[DC_IOHGATP]));
}

static void fq_take_record(struct cordon_iommu *iommu)
{
    struct fq *fq = &iommu->fq;
    const volatile uint64_t *at = &fq->ring[(size_t)fq->head * FR_WORDS];
    uint64_t record[FR_WORDS];
    struct fault_report one;

    for (uint32_t i = 0; i < FR_WORDS; i++) {
        record[i] = at[i];
    }
    one = fault_decode(record);
    one.domain = fq_domain_of(iommu, one.device_id);
    atomic_fetch_add_explicit(&fq->records, 1, memory_order_relaxed);
    if (!fault_log_add(fq->log, &one)) {
        atomic_fetch_add_explicit(&fq->suppressed, 1, memory_order_relaxed);
    }
}

/* Take what stands in the queue now, at most BUDGET records. */
static uint32_t fq_take_round(struct cordon_iommu *iommu, uint32_t budget)
{
    struct fq *fq = &iommu->fq;
    uint32_t mask = (UINT32_C(1) << fq->log2) - 1;
    uint32_t tail = reg_read32(&iommu->mmio, REG32_FQT);
    uint32_t taken = 0;

    if (tail > mask) {
        return 0; /* no index: the registers are gone */
    }
    while (fq->head != tail && taken < budget) {
        fq_take_record(iommu);
        fq->head = (fq->head + 1) & mask;
        taken++;
    }
    if (taken > 0) {
        port_fence(iommu->ctx->cookie); /* records are read before the IOMMU may overwrite them */
        reg_write32(&iommu->mmio, REG32_FQH, fq->head);
    }
    return taken;
}

/* Let it record again after it has dropped some. The queue stays enabled, its interrupt too. */
static void fq_recover(struct cordon_iommu *iommu)
{
    uint32_t csr = reg_read32(&iommu->mmio, REG32_FQCSR);

    if ((csr & FQCSR_ERRORS) == 0 || (csr & FQCSR_BUSY) != 0) {
        return;
    }
    atomic_fetch_add_explicit(&iommu->fq.overflows, 1, memory_order_relaxed);
    reg_write32(&iommu->mmio, REG32_FQCSR, iommu->fq.enable | (csr & FQCSR_ERRORS));
}

/* Pending is cleared before the tail is read: what comes later raises it again. */
static uint32_t fq_drain(struct cordon_iommu *iommu, uint32_t budget)
{
    uint32_t taken = 0;
    uint32_t round;

    do {
        reg_write32(&iommu->mmio, REG32_IPSR, IPSR_FIP);
        round = fq_take_round(iommu, budget - taken);
        fq_recover(iommu);
        taken += round;
    } while (round > 0 && taken < budget);
    return taken;
}

/* ---- the gate ----------------------------------------------------------------------------- */

static bool fq_enter(struct fq *fq)
{
    return !atomic_flag_test_and_set_explicit(&fq->gate, memory_order_acquire);
}

static void fq_leave(struct fq *fq)
{
    atomic_flag_clear_explicit(&fq->gate, memory_order_release);
}

uint32_t cordon_faults_poll(cordon_iommu *iommu, uint32_t budget)
{
    struct fq *fq;
    uint32_t taken = 0;

    if (iommu == NULL || !handle_is(iommu, HANDLE_IOMMU)) {
        return 0;
    }
    fq = &iommu->fq;
    for (uint32_t round = 0; round < FQ_ROUNDS; round++) {
        if (!fq_enter(fq)) {
            atomic_store(&fq->again, true);
            break;
        }
        atomic_store(&fq->again, false);
        taken += fq_drain(iommu, budget - taken);
        fq_leave(fq);
        if (taken == budget || !atomic_load(&fq->again)) {
            break;
        }
    }
    return taken;
}

/* ---- reports ------------------------------------------------------------------------------ */

static void fq_report(struct cordon_iommu *iommu, const struct fault_report *report,
                      struct cordon_fault *out)
{
    uint64_t reach = report->high - report->low;

    *out = (struct cordon_fault){
        .device_id = report->device_id,
        .domain = report->domain,
        .cause = report->cause,
        .access = report->access,
        .iova = cordon_iova_make(report->first),
        .span = reach == UINT64_MAX ? reach : reach + 1,
        .count = report->count,
    };
    device_name(iommu, report->device_id, out->device);
    device_nearest(iommu->ctx, report->domain, cordon_gpa_make(report->first), out);
}

/* Take one report from the log. */
static bool fq_next(struct fq *fq, struct fault_report *report)
{
    bool found = false;

    for (uint32_t tries = 0; tries < FQ_GATE_TRIES; tries++) {
        if (fq_enter(fq)) {
            found = fault_log_take(fq->log, report);
            fq_leave(fq);
            break;
        }
    }
    return found;
}

size_t cordon_faults_take(cordon_iommu *iommu, struct cordon_fault *out, size_t count)
{
    struct fq *fq;
    struct fault_report report;
    size_t taken = 0;

    if (iommu == NULL || out == NULL || !handle_is(iommu, HANDLE_IOMMU)) {
        return 0;
    }
    fq = &iommu->fq;
    while (taken < count && fq_next(fq, &report)) {
        fq_report(iommu, &report, &out[taken]);
        taken++;
    }
    if (atomic_load(&fq->again)) { /* an interrupt came while the gate was ours */
        (void)cordon_faults_poll(iommu, UINT32_C(1) << fq->log2);
    }
    return taken;
}

void cordon_faults_stats(const cordon_iommu *iommu, struct cordon_fault_stats *out)
{
    const struct fq *fq;

    if (out == NULL) {
        return;
    }
    if (iommu == NULL || !handle_is(iommu, HANDLE_IOMMU)) {
        *out = (struct cordon_fault_stats){0};
        return;
    }
    fq = &iommu->fq;
    *out = (struct cordon_fault_stats){
        .records = atomic_load_explicit(&fq->records, memory_order_relaxed),
        .overflows = atomic_load_explicit(&fq->overflows, memory_order_relaxed),
        .suppressed = atomic_load_explicit(&fq->suppressed, memory_order_relaxed),
    };
}
