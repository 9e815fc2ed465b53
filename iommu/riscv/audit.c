/*
 * The IOMMUs' part of the audit: see audit.h.
 *
 * It walks the directory with arithmetic of its own, and follows no word before it has seen that
 * the word leads to one of our table frames.
 */
#include "riscv/audit.h"

#include <string.h>

#include "core/ctx.h"
#include "riscv/device.h"
#include "riscv/iommu.h"
#include "riscv/msi.h"

static int audit_say(struct cordon_finding *first, uint32_t invariant, cordon_hpa word,
                     uint64_t value, const char *text)
{
    size_t len = strlen(text);

    cordon_assert(len < sizeof(first->text));
    *first = (struct cordon_finding){.invariant = invariant, .word = word, .value = value};
    memcpy(first->text, text, len);
    return -CORDON_ECORRUPT;
}

static bool audit_is_table(const struct cordon_ctx *ctx, cordon_hpa hpa)
{
    return (frames_word(ctx, hpa) & FW_STATE) == CORDON_FRAME_TABLE;
}

/* ---- directory ---------------------------------------------------------------------------- */

static unsigned audit_shift(const struct cordon_iommu *iommu, uint32_t level)
{
    return level == 0 ? 0 : (iommu->info.extended ? 6u : 7u) + 9u * (level - 1);
}

static uint32_t audit_bits(const struct cordon_iommu *iommu, uint32_t level)
{
    uint32_t high = level == 2 ? DDT_DEVICE_ID_BITS : audit_shift(iommu, level + 1);

    return high - audit_shift(iommu, level);
}

/* Find the context of a device id. *SKIP: how many ids from there on share a missing table, 0 if
 * the context is there; *CONTEXT is its address then. */
static int audit_walk(const struct cordon_iommu *iommu, uint32_t device_id, uint32_t *skip,
                      cordon_hpa *context, struct cordon_finding *first)
{
    cordon_hpa table = iommu->ddt.root;
    uint32_t level = iommu->info.directory_levels - 1;
    uint64_t index;

    cordon_assert(level < 3);
    for (;; level--) {
        index = device_id >> audit_shift(iommu, level) & (BIT64(audit_bits(iommu, level)) - 1);
        if (level == 0) {
            break;
        }
        cordon_hpa at = cordon_hpa_add(table, index * 8);
        uint64_t entry = *(const volatile uint64_t *)frames_ptr(iommu->ctx, at);

        if ((entry & DDTE_V) == 0) {
            *skip = (UINT32_C(1) << audit_shift(iommu, level));
            return 0;
        }
        table = cordon_hpa_make(field_get(DDTE_PPN, entry) << CORDON_PAGE_SHIFT);
        if ((entry & ~(DDTE_V | DDTE_PPN)) != 0 || !audit_is_table(iommu->ctx, table)) {
            return audit_say(first, 5, at, entry, "a directory entry leads to no table of ours");
        }
    }
    *skip = 0;
    *context = cordon_hpa_add(table, index * (iommu->info.extended ? 64 : 32));
    return 0;
}

static bool audit_attached(const struct cordon_iommu *iommu, uint32_t device_id)
{
    const struct cordon_device *dev = iommu->devices[device_id % IOMMU_DEVICE_LISTS];

    while (dev != NULL && dev->device_id != device_id) {
        dev = dev->next;
    }
    return dev != NULL && dev->attached;
}

/* Every valid context has an attached device. Linear in directory pages and contexts. */
static int audit_directory(const struct cordon_iommu *iommu, struct cordon_finding *first)
{
    uint32_t levels = iommu->info.directory_levels;
    uint32_t end = UINT32_C(1) << (audit_shift(iommu, levels - 1) + audit_bits(iommu, levels - 1));
    uint32_t skip = 0;
    cordon_hpa context = cordon_hpa_make(0);

    for (uint32_t id = 0; id < end; id += skip != 0 ? skip : 1) {
        uint64_t tc;

        if (audit_walk(iommu, id, &skip, &context, first) != 0) {
            return -CORDON_ECORRUPT;
        }
        if (skip != 0) {
            continue;
        }
        tc = *(const volatile uint64_t *)frames_ptr(iommu->ctx, context);
        if ((tc & DC_TC_V) != 0 && !audit_attached(iommu, id)) {
            return audit_say(first, 5, context, tc, "a context is valid, its device not attached");
        }
    }
    return 0;
}

static int audit_register(const struct cordon_iommu *iommu, struct cordon_finding *first)
{
    uint64_t ddtp = reg_read64(&iommu->mmio, REG64_DDTP);
    cordon_hpa at = cordon_hpa_add(iommu->mmio.base, REG64_DDTP);

    if ((ddtp & (DDTP_MODE | DDTP_PPN)) != iommu->ddt.ddtp) {
        return audit_say(first, 5, at, ddtp, "ddtp does not lead to our directory");
    }
    return 0;
}

/* ---- contexts ----------------------------------------------------------------------------- */

struct audit_word {
    enum dc_word number;
    uint64_t want;
    const char *text;
};

static int audit_words(const struct cordon_device *dev, cordon_hpa context, uint32_t words,
                       const struct audit_word *want, struct cordon_finding *first)
{
    for (uint32_t i = 0; i < words; i++) {
        cordon_hpa at = cordon_hpa_add(context, (uint64_t)want[i].number * 8);
        uint64_t word = *(const volatile uint64_t *)frames_ptr(dev->iommu->ctx, at);

        if (word != want[i].want) {
            (void)audit_say(first, 6, at, word, want[i].text);
            first->domain = dev->domain->number;
            first->view = dev->view;
            return -CORDON_ECORRUPT;
        }
    }
    return 0;
}

/* An attached device's context says what its view does, word by word. */
static int audit_context(const struct cordon_device *dev, struct cordon_finding *first)
{
    const struct cordon_domain *d = dev->domain;
    const struct domain_view *view = &d->view[dev->view];
    bool msi = view->msi_table.v != 0;
    uint64_t root = d->forest.root[dev->view].v;
    const struct audit_word want[DC_WORDS] = {
        {DC_TC, 1 | (iommu_marks(dev->iommu) ? 0x80 : 0) | (dev->trial ? 0x10 : 0),
         "a device context's control word is not ours"},
        {DC_IOHGATP, (uint64_t)d->forest.fmt->mode << 60 | (uint64_t)view->gscid << 44 | root >> 12,
         "a device context does not lead to its view"},
        {DC_TA, 0, "a device context has attributes"},
        {DC_FSC, 0, "a device context has a first stage"},
        {DC_MSIPTP, msi ? UINT64_C(1) << 60 | view->msi_table.v >> 12 : 0,
         "a device context does not have its view's MSI table"},
        {DC_MSI_ADDR_MASK, msi ? d->msi.mask : 0,
         "a device context's MSI mask is not its domain's"},
        {DC_MSI_ADDR_PATTERN, msi ? d->msi.base.v >> 12 & ~d->msi.mask : 0,
         "a device context's MSI pattern is not its domain's"},
        {DC_RESERVED, 0, "a device context's last word is not 0"},
    };
    uint32_t words = dev->iommu->info.extended ? DC_WORDS : DC_WORDS_BASE;
    uint32_t skip = 0;
    cordon_hpa context = cordon_hpa_make(0);

    if (d->forest.napot && dev->iommu->info.napot != CORDON_NAPOT_KNOWN) {
        return audit_say(first, 1, context, root,
                         "a device's view may have 64 KiB leaves, which its IOMMU may not know");
    }
    if ((d->forest.typed >> dev->view & 1u) != 0 &&
        (dev->iommu->info.capabilities & 1u << 15) == 0) {
        return audit_say(first, 1, context, root,
                         "a device's view may have memory types, which its IOMMU reserves");
    }
    if (audit_walk(dev->iommu, dev->device_id, &skip, &context, first) != 0) {
        return -CORDON_ECORRUPT;
    }
    if (skip != 0 || d->forest.fmt->mode == 0 || root == 0 || !is_aligned(root, 0x4000)) {
        return audit_say(first, 6, context, root, "an attached device has no second stage");
    }
    if (view->gscid != device_gscid(d->number, dev->view)) { /* then it is no other view's */
        return audit_say(first, 6, context, view->gscid, "a view has another one's GSCID");
    }
    return audit_words(dev, context, words, want, first);
}

static int audit_contexts(const struct cordon_device *dev, struct cordon_finding *first)
{
    int err = 0;

    for (; dev != NULL && !err; dev = dev->next) {
        if (dev->attached) {
            err = audit_context(dev, first);
        }
    }
    return err;
}

static int audit_iommu(const struct cordon_iommu *iommu, struct cordon_finding *first)
{
    int err = audit_register(iommu, first);

    if (!err) {
        err = audit_directory(iommu, first);
    }
    for (uint32_t i = 0; i < IOMMU_DEVICE_LISTS && !err; i++) {
        err = audit_contexts(iommu->devices[i], first);
    }
    return err;
}

/* ---- MSI tables --------------------------------------------------------------------------- */

static int audit_msi_entry(const struct cordon_domain *d, uint32_t view, uint32_t index,
                           struct cordon_finding *first)
{
    const uint64_t *set = frames_ptr(d->ctx, d->view[0].msi_table);
    const uint64_t *table = frames_ptr(d->ctx, d->view[view].msi_table);
    cordon_hpa at = cordon_hpa_add(d->view[view].msi_table, (uint64_t)index * 16);
    uint64_t entry = table[(size_t)index * 2];

    if (entry != set[(size_t)index * 2] || table[(size_t)index * 2 + 1] != 0) {
        return audit_say(first, 2, at, entry, "an MSI table entry is not what was set");
    }
    if (entry == 0) {
        return 0;
    }
    if ((entry & ~MSIPTE_PPN) != 7 || !msi_file_held(d, msi_entry_file(entry))) {
        return audit_say(first, 2, at, entry, "an MSI leads to a file that its domain has not");
    }
    return 0;
}

static int audit_msi(const struct cordon_domain *d, struct cordon_finding *first)
{
    for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
        cordon_hpa table = d->view[view].msi_table;

        if (table.v != 0 && (!d->msi.set || !audit_is_table(d->ctx, table))) {
            return audit_say(first, 6, table, 0, "a view's MSI table is none");
        }
        for (uint32_t index = 0; table.v != 0 && index < UINT32_C(1) << d->msi.bits; index++) {
            if (audit_msi_entry(d, view, index, first) != 0) {
                first->domain = d->number;
                first->view = view;
                return -CORDON_ECORRUPT;
            }
        }
    }
    return 0;
}

int iommu_audit(const struct cordon_ctx *ctx, struct cordon_finding *first)
{
    int err = 0;

    for (struct cordon_iommu *iommu = ctx->iommus; iommu != NULL && !err; iommu = iommu->next) {
        if (!iommu->open) {
            continue;
        }
        lock_take(&iommu->lock);
        err = audit_iommu(iommu, first);
        lock_give(&iommu->lock);
    }
    for (const struct cordon_domain *d = ctx->domains; d != NULL && !err; d = d->next) {
        err = audit_msi(d, first);
    }
    return err;
}
