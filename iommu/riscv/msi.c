/* Flat MSI tables: see msi.h. */
#include "riscv/msi.h"

#include <port_word.h>
#include <string.h>

#include "core/ctx.h"
#include "map/txn.h"
#include "riscv/iommu.h"
#include "riscv/retire.h"

static uint64_t msi_entry_make(cordon_hpa file)
{
    return MSIPTE_V | field_put(MSIPTE_M, MSIPTE_M_BASIC) |
           field_put(MSIPTE_PPN, file.v >> CORDON_PAGE_SHIFT);
}

static uint32_t msi_files(const struct cordon_domain *d)
{
    return d->msi.set ? UINT32_C(1) << d->msi.bits : 0;
}

/* The first word of entry INDEX in a view's table; the second one is unused and stays 0. */
static uint64_t *msi_word(const struct cordon_domain *d, uint32_t view, uint32_t index)
{
    uint64_t *table = frames_ptr(d->ctx, d->view[view].msi_table);

    return &table[(size_t)index * 2];
}

static void msi_store(const struct cordon_domain *d, uint32_t index, uint64_t entry)
{
    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        cordon_hpa table = d->view[view].msi_table;

        if (table.v != 0) {
            port_store64(d->ctx->cookie, msi_word(d, view, index),
                         cordon_hpa_add(table, (uint64_t)index << MSI_ENTRY_SHIFT), entry);
        }
    }
    port_fence(d->ctx->cookie);
}

/* ---- tables ------------------------------------------------------------------------------- */

unsigned msi_table_order(const struct cordon_domain *d)
{
    return iommu_queue_order(d->msi.bits, MSI_ENTRY_SHIFT);
}

int msi_table_copy(struct cordon_domain *d, cordon_hpa *out)
{
    cordon_hpa table;
    uint64_t *to;
    int err;

    if (!d->msi.set) {
        *out = cordon_hpa_make(0);
        return 0;
    }
    err = frames_alloc_table(d->ctx, msi_table_order(d), &table);
    if (err) {
        return err;
    }
    to = frames_ptr(d->ctx, table);
    for (uint32_t index = 0; index < msi_files(d); index++) {
        size_t at = (size_t)index * 2;

        port_store64(d->ctx->cookie, &to[at], cordon_hpa_add(table, at * 8),
                     *msi_word(d, 0, index));
    }
    *out = table;
    return 0;
}

void msi_table_free(struct cordon_domain *d, cordon_hpa table)
{
    if (table.v != 0) {
        frames_free(d->ctx, table, msi_table_order(d));
    }
}

void msi_forget(struct cordon_domain *d)
{
    msi_table_free(d, d->view[0].msi_table);
    d->view[0].msi_table = cordon_hpa_make(0);
    d->msi = (struct msi_window){.set = false};
}

/* ---- the window --------------------------------------------------------------------------- */

/* Page number of file INDEX: its bits spread over the ones of MASK. */
static uint64_t msi_file_page(const struct msi_window *w, uint32_t index)
{
    uint64_t page = (w->base.v >> CORDON_PAGE_SHIFT) & ~w->mask;

    for (uint64_t left = w->mask; left != 0; left &= left - 1) {
        if ((index & 1) != 0) {
            page |= left & -left;
        }
        index >>= 1;
    }
    return page;
}

/* Is the page an MSI target, and which file's? */
static bool msi_index_of(const struct msi_window *w, uint64_t page, uint32_t *index)
{
    unsigned bit = 0;

    if (!w->set || ((page ^ w->base.v >> CORDON_PAGE_SHIFT) & ~w->mask) != 0) {
        return false;
    }
    *index = 0;
    for (uint64_t left = w->mask; left != 0; left &= left - 1, bit++) {
        *index |= (uint32_t)((page & left & -left) != 0) << bit;
    }
    return true;
}

/* Each page of the runs that is a target leads there, unless it was led elsewhere; or, if it did,
 * nowhere. */
static void msi_follow_runs(struct cordon_domain *d, uint64_t gfn, const struct cordon_extent *runs,
                            uint64_t count, bool there)
{
    for (uint64_t i = 0; i < count && d->msi.set; i++) {
        for (uint64_t at = 0; at < runs[i].len; at += CORDON_PAGE_SIZE, gfn++) {
            uint64_t entry = msi_entry_make(cordon_hpa_add(runs[i].hpa, at));
            uint32_t index;

            if (msi_index_of(&d->msi, gfn, &index) &&
                *msi_word(d, 0, index) == (there ? 0 : entry)) {
                msi_store(d, index, there ? entry : 0);
            }
        }
    }
}

void msi_lead(struct cordon_domain *d, uint64_t gfn, const struct cordon_extent *runs,
              uint64_t count)
{
    msi_follow_runs(d, gfn, runs, count, true);
}

void msi_unlead(struct cordon_domain *d, uint64_t gfn, const struct cordon_extent *runs,
                uint64_t count)
{
    msi_follow_runs(d, gfn, runs, count, false);
}

/* A new window: interrupt files that stand in it already. */
static void msi_lead_standing(struct cordon_domain *d)
{
    for (uint32_t index = 0; index < msi_files(d); index++) {
        uint64_t page = msi_file_page(&d->msi, index);
        const struct span *region = span_find(&d->regions.set, page);
        struct cordon_extent run;

        if (region != NULL && (region_flags(region) & CORDON_REGION_FILE) != 0) {
            struct backing b = backing_of(d, page, 1);
            uint64_t found = backing_next(&b, &run, 1);

            cordon_assert(found == 1);
            msi_lead(d, page, &run, 1);
        }
    }
}

static bool msi_window_over_ram(const struct cordon_domain *d, const struct msi_window *w)
{
    for (uint32_t index = 0; index < UINT32_C(1) << w->bits; index++) {
        const struct span *region = span_find(&d->regions.set, msi_file_page(w, index));

        if (region != NULL && (region_flags(region) & CORDON_REGION_MMIO) == 0) {
            return true;
        }
    }
    return false;
}

/* No IOMMU of the context has MSI tables, though there are some. */
static bool msi_unsupported(struct cordon_ctx *ctx)
{
    bool any = false;
    bool extended = false;

    lock_take(&ctx->lock);
    for (const struct cordon_iommu *iommu = ctx->iommus; iommu != NULL; iommu = iommu->next) {
        any = true;
        extended = extended || iommu->info.extended != 0;
    }
    lock_give(&ctx->lock);
    return any && !extended;
}

static bool msi_any_set(const struct cordon_domain *d)
{
    for (uint32_t index = 0; index < msi_files(d); index++) {
        if (*msi_word(d, 0, index) != 0) {
            return true;
        }
    }
    return false;
}

static int msi_window_set(struct cordon_domain *d, const struct msi_window *w)
{
    cordon_hpa table;
    int err;

    if (d->devices != NULL || msi_any_set(d)) {
        return -CORDON_EBUSY;
    }
    if (msi_window_over_ram(d, w)) {
        return -CORDON_EEXIST;
    }
    err = frames_alloc_table(d->ctx, iommu_queue_order(w->bits, MSI_ENTRY_SHIFT), &table);
    if (err) {
        return err;
    }
    msi_table_free(d, d->view[0].msi_table);
    d->msi = *w;
    d->view[0].msi_table = table;
    msi_lead_standing(d);
    return 0;
}

int cordon_msi_window(cordon_domain *d, cordon_gpa base, uint64_t mask)
{
    struct msi_window w = {.set = true, .base = base, .mask = mask};
    unsigned page_bits;
    int err;

    if (d == NULL || !is_aligned(base.v, CORDON_PAGE_SIZE)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    page_bits = d->forest.fmt->address_bits - CORDON_PAGE_SHIFT;
    w.bits = (unsigned)__builtin_popcountll(mask);
    if (w.bits > MSI_BITS_MAX || (base.v >> CORDON_PAGE_SHIFT | mask) >> page_bits != 0) {
        return -CORDON_EINVAL;
    }
    if (msi_unsupported(d->ctx)) {
        return -CORDON_ENOTSUP;
    }
    lock_take(&d->lock);
    err = msi_window_set(d, &w);
    lock_give(&d->lock);
    return err;
}

/* ---- entries ------------------------------------------------------------------------------ */

bool msi_file_held(const struct cordon_domain *d, cordon_hpa file)
{
    struct resource_holder holder;

    return resource_holder(d->ctx, file, &holder) && holder.domain == d->number && !holder.revoking;
}

static bool msi_claimed_alone(const struct cordon_domain *d, cordon_hpa file)
{
    struct resource_holder holder;

    return resource_holder(d->ctx, file, &holder) && holder.domain == d->number &&
           !holder.revoking && (holder.gfn & MSI_HOLDING) != 0;
}

bool msi_follow_map(struct cordon_domain *d)
{
    bool changed = false;

    for (uint32_t index = 0; index < msi_files(d); index++) {
        uint64_t entry = *msi_word(d, 0, index);

        if (entry != 0 && !msi_file_held(d, msi_entry_file(entry))) {
            msi_store(d, index, 0);
            changed = true;
        }
    }
    return changed;
}

/* Have a file that nobody has. Errors: EPERM, ENOMEM. */
static int msi_claim(struct cordon_domain *d, cordon_hpa file)
{
    struct cordon_extent page = {.hpa = file, .len = CORDON_PAGE_SIZE};
    cordon_hpa bad;

    return resource_claim(d->ctx, &page, 1, d->number, MSI_HOLDING | file.v >> CORDON_PAGE_SHIFT,
                          &bad);
}

static bool msi_used(const struct cordon_domain *d, uint64_t entry)
{
    for (uint32_t index = 0; index < msi_files(d); index++) {
        if (*msi_word(d, 0, index) == entry) {
            return true;
        }
    }
    return false;
}

/* The file that entry OLD led to is led to no more, and was held for that alone: it waits for the
 * IOMMUs. Errors: ENOMEM. */
static int msi_revoke(struct cordon_domain *d, cordon_hpa old)
{
    int err = resource_reserve(d->ctx, 1);

    if (err) {
        return err;
    }
    resource_revoke(d->ctx, old.v >> CORDON_PAGE_SHIFT, 1, d->number);
    resource_reserve_end(d->ctx);
    return 0;
}

/* Replace entry INDEX, and have every IOMMU forget the old one. Errors: ENOMEM (nothing changed),
 * EPENDING (the entry has changed; the old file stays the domain's). */
static int msi_replace(struct cordon_domain *d, uint32_t index, uint64_t entry)
{
    struct retire_range page = {
        .gpa = cordon_gpa_make(msi_file_page(&d->msi, index) << CORDON_PAGE_SHIFT),
        .len = CORDON_PAGE_SIZE,
    };
    struct retire_request req = {.ranges = &page, .count = 1};
    uint64_t old = *msi_word(d, 0, index);
    bool revoke;

    if (old == entry) {
        return 0;
    }
    msi_store(d, index, entry);
    if (old == 0) {
        return 0; /* invalid entries are not cached [IOMMU 6.3.8] */
    }
    revoke = msi_claimed_alone(d, msi_entry_file(old)) && !msi_used(d, old);
    if (revoke && msi_revoke(d, msi_entry_file(old)) != 0) {
        msi_store(d, index, old);
        return -CORDON_ENOMEM;
    }
    if (retire_invalidate(d, &req) != 0) {
        d->pending = true;
        return -CORDON_EPENDING;
    }
    if (revoke && !d->pending) { /* else it is released together with what still waits */
        resource_release_domain(d->ctx, d->number);
    }
    return 0;
}

static int msi_set(struct cordon_domain *d, uint32_t index, cordon_hpa file)
{
    struct cordon_extent page = {.hpa = file, .len = CORDON_PAGE_SIZE};
    bool had;
    int err;

    if (!d->msi.set) {
        return -CORDON_ENOENT;
    }
    if (index >= msi_files(d)) {
        return -CORDON_ERANGE;
    }
    if (file.v == 0) {
        return msi_replace(d, index, 0);
    }
    had = msi_file_held(d, file);
    err = had ? 0 : msi_claim(d, file);
    if (err) {
        return err;
    }
    err = msi_replace(d, index, msi_entry_make(file));
    if (err == -CORDON_ENOMEM && !had) {
        resource_unclaim(d->ctx, &page, 1);
    }
    return err;
}

int cordon_msi_set(cordon_domain *d, uint32_t index, cordon_hpa file)
{
    int err;

    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(file.v, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    lock_take(&d->lock);
    err = msi_set(d, index, file);
    lock_give(&d->lock);
    return err;
}
