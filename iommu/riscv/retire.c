/* The end of translations: see retire.h. */
#include "riscv/retire.h"

#include <port_word.h>

#include "core/ctx.h"
#include "riscv/device.h"
#include "riscv/iommu.h"
#include "riscv/msi.h"

/* Page-wise commands for one IOMMU; beyond, a whole GSCID costs less. */
#define RETIRE_COMMANDS 32u

_Static_assert(RETIRE_COMMANDS >= CORDON_MAX_VIEWS, "a command for each view");

/* The views of D whose translations an IOMMU may have cached, as bits. */
static uint32_t retire_views(const struct cordon_domain *d, const struct cordon_iommu *iommu)
{
    uint32_t views = 0;

    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        if (dev->iommu == iommu && device_uses_view(dev)) {
            views |= UINT32_C(1) << dev->view;
        }
    }
    return views;
}

/* Pages of the request, or LIMIT + 1 if there are more than LIMIT. */
static uint64_t retire_pages(const struct retire_request *req, uint64_t limit)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < req->count; i++) {
        pages += req->ranges[i].len >> CORDON_PAGE_SHIFT;
        if (pages > limit || req->ranges[i].len >> CORDON_PAGE_SHIFT > limit) {
            return limit + 1;
        }
    }
    return pages;
}

static size_t retire_add_pages(const struct retire_request *req, uint16_t gscid,
                               struct cq_command *commands)
{
    size_t count = 0;

    for (size_t i = 0; i < req->count; i++) {
        const struct retire_range *r = &req->ranges[i];

        for (uint64_t at = 0; at < r->len; at += CORDON_PAGE_SIZE) {
            commands[count] = cq_gvma_page(gscid, cordon_gpa_add(r->gpa, at));
            count++;
        }
    }
    return count;
}

static int retire_on(struct cordon_domain *d, struct cordon_iommu *iommu,
                     const struct retire_request *req, bool whole)
{
    struct cq_command commands[RETIRE_COMMANDS];
    uint32_t views = retire_views(d, iommu);
    uint64_t limit = views != 0 ? RETIRE_COMMANDS / (unsigned)__builtin_popcount(views) : 0;
    bool pagewise = !whole && retire_pages(req, limit) <= limit;
    size_t count = 0;
    int err;

    for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
        uint16_t gscid = d->view[view].gscid;

        if ((views & UINT32_C(1) << view) == 0) {
            continue;
        }
        if (pagewise) {
            count += retire_add_pages(req, gscid, commands + count);
        } else {
            commands[count] = cq_gvma(gscid);
            count++;
        }
    }
    cordon_assert(count <= RETIRE_COMMANDS);
    lock_take(&iommu->lock);
    err = cq_submit(iommu, commands, count);
    lock_give(&iommu->lock);
    return err;
}

int retire_invalidate(struct cordon_domain *d, const struct retire_request *req)
{
    bool whole = req->whole;
    bool pending = false;
    uint32_t done = 0;

    whole = msi_follow_map(d) || whole;
    port_fence(d->ctx->cookie);
    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        uint32_t bit = UINT32_C(1) << dev->iommu->index;

        if ((done & bit) == 0 && device_uses_view(dev)) {
            done |= bit;
            pending = retire_on(d, dev->iommu, req, whole) != 0 || pending;
        }
    }
    d->log_unsure |= pending;
    return pending ? -CORDON_EPENDING : 0;
}

/* Ask again for contexts that were withdrawn but not confirmed. */
static int retire_confirm(struct cordon_domain *d)
{
    struct cordon_device *dev = d->devices;
    int err = 0;

    while (dev != NULL) {
        struct cordon_device *next = dev->domain_next; /* DEV may leave the list */

        if (dev->unconfirmed && device_confirm(dev) != 0) {
            err = -CORDON_EPENDING;
        }
        dev = next;
    }
    return err;
}

/* What was revoked may still be in a device that translates ahead, until its next reset. */
static bool retire_undrained(struct cordon_domain *d, bool again)
{
    bool undrained = false;

    for (struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        if (dev->drain == CORDON_DRAIN_RESET && !again) {
            dev->undrained = true;
        }
        undrained = undrained || dev->undrained;
    }
    return undrained;
}

int retire_devices(struct cordon_domain *d, const struct retire_request *req)
{
    bool undrained = retire_undrained(d, req->again);
    int err = retire_invalidate(d, req);

    if (retire_confirm(d) != 0 || err || undrained) {
        return -CORDON_EPENDING;
    }
    port_note(d->ctx->cookie, PORT_NOTE_DRAIN, d->number, 0);
    return 0;
}
