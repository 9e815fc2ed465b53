/* Trying 64 KiB leaves: see napot.h. */
#include "riscv/napot.h"

#include <port_word.h>

#include "core/ctx.h"
#include "pt/walk.h"
#include "riscv/device.h"

#define RUN_BYTES (PT_NAPOT_PAGES * CORDON_PAGE_SIZE)
#define RIGHT_GPA 0u /* a leaf as it should be; behind it the one of a reserved size */
#define WRONG_GPA RUN_BYTES

/* ---- asking ------------------------------------------------------------------------------- */

/* Where does the IOMMU say that a read at GPA leads? Errors: ETIMEOUT. */
static int ask(const struct cordon_iommu *iommu, uint64_t gpa, uint64_t *response)
{
    const struct iommu_mmio *m = &iommu->mmio;
    int err;

    reg_write64(m, REG64_TR_REQ_IOVA, gpa);
    reg_write64(m, REG64_TR_REQ_CTL,
                TR_REQ_GO | TR_REQ_NW | field_put(TR_REQ_DID, iommu->max_device_id));
    err = wait_reg64(m, REG64_TR_REQ_CTL, TR_REQ_GO, 0);
    if (!err) {
        *response = reg_read64(m, REG64_TR_RESPONSE);
    }
    return err;
}

/* Is this the page at HPA? With S the answer is a naturally aligned range, whose size is where the
 * lowest 0 of the page number stands. */
static bool leads_right(uint64_t hpa, uint64_t response)
{
    uint64_t ppn = field_get(TR_RESPONSE_PPN, response);
    uint64_t range = (response & TR_RESPONSE_S) != 0 ? ppn ^ (ppn + 1) : 0;

    return (response & TR_RESPONSE_FAULT) == 0 && range < PT_NAPOT_PAGES &&
           ((ppn ^ hpa >> CORDON_PAGE_SHIFT) & ~range) == 0;
}

/* With the right leaf leading to HPA. Errors: ETIMEOUT. */
static int ask_all(const struct cordon_iommu *iommu, cordon_hpa hpa, bool *known)
{
    static const uint64_t page[] = {0, 5, PT_NAPOT_PAGES - 1};
    uint64_t response;
    int err = ask(iommu, WRONG_GPA, &response);

    *known = !err && (response & TR_RESPONSE_FAULT) != 0;
    for (size_t i = 0; i < sizeof(page) / sizeof(page[0]) && !err; i++) {
        uint64_t at = page[i] * CORDON_PAGE_SIZE;

        err = ask(iommu, RIGHT_GPA + at, &response);
        *known = *known && !err && leads_right(hpa.v + at, response);
    }
    return err;
}

/* ---- a domain to ask about ---------------------------------------------------------------- */

/* The 16 words of the second leaf get another size, or their own again: its lowest bit is turned.
 * They become 4 KiB and 64 KiB of the same page for who knows no other size. */
static void turn_size(const struct cordon_domain *d)
{
    struct pt_hit hit;
    int err = pt_lookup(&d->forest, 0, cordon_gpa_make(RIGHT_GPA), &hit);

    cordon_assert(err == 0 && hit.leaf && hit.level == 0);
    for (uint64_t i = 0; i < PT_NAPOT_PAGES; i++) {
        uint64_t *word = (uint64_t *)pt_table_ptr(&d->forest, hit.word) + PT_NAPOT_PAGES + i;

        pt_store(&d->forest, word, *word ^ (PT_NAPOT_SIZE & PTE_PPN));
    }
    port_fence(d->ctx->cookie);
}

/* Two leaves of 64 KiB. Errors: as their calls. */
static int fill(struct cordon_domain *d, cordon_hpa *hpa)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .len = 2 * RUN_BYTES, .align = RUN_BYTES};
    struct cordon_extent run = {.len = want.len};
    int err = cordon_run_alloc(d->ctx, &want, &run.hpa);

    if (err) {
        return err;
    }
    const struct cordon_op grant = {.kind = CORDON_OP_GRANT,
                                    .gpa = cordon_gpa_make(RIGHT_GPA),
                                    .len = run.len,
                                    .perms = CORDON_READ,
                                    .extents = &run,
                                    .extent_count = 1};

    *hpa = run.hpa;
    err = cordon_change(d, &grant, 1);
    if (err) {
        int left = cordon_run_free(d->ctx, run.hpa, run.len);

        cordon_assert(left == 0);
    }
    return err;
}

/* Attached, asked, detached. Errors: ETIMEOUT, and as the calls of devices. */
static int attach_and_ask(struct cordon_iommu *iommu, struct cordon_domain *d, cordon_hpa hpa,
                          bool *known)
{
    const struct cordon_device_config cfg = {.size = sizeof(cfg),
                                             .device_id = iommu->max_device_id,
                                             .drain = CORDON_DRAIN_IOMMU,
                                             .name = "64 KiB trial"};
    cordon_device *dev;
    int err = cordon_device_add(iommu, &cfg, &dev), left;

    if (err) {
        return err;
    }
    dev->trial = true;
    err = cordon_device_attach(d, dev, 0);
    if (!err) {
        turn_size(d);
        err = ask_all(iommu, hpa, known);
        left = cordon_device_detach(dev);
        turn_size(d);
        err = err ? err : left;
    }
    left = cordon_device_remove(dev);
    return err ? err : left;
}

void napot_try(struct cordon_iommu *iommu)
{
    const struct cordon_domain_config cfg = {
        .size = sizeof(cfg), .modes = iommu->info.modes, .gpa_limit = 2 * RUN_BYTES};
    cordon_domain *d;
    cordon_hpa hpa;
    bool known = false;

    if ((iommu->info.capabilities & CAP_DBG) == 0 ||
        cordon_domain_create(iommu->ctx, &cfg, &d) != 0) {
        return;
    }
    iommu->info.napot = CORDON_NAPOT_KNOWN; /* for this domain */
    int err = fill(d, &hpa);

    if (!err) {
        err = attach_and_ask(iommu, d, hpa, &known);
    }
    iommu->info.napot = err     ? CORDON_NAPOT_UNTRIED
                        : known ? CORDON_NAPOT_KNOWN
                                : CORDON_NAPOT_IGNORED;
    err = cordon_domain_destroy(d);
    (void)err; /* if it is pending, it stays, with what may still be walked */
}
