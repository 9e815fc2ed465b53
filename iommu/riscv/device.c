/* Attaching and detaching: see device.h. Being known is known.c's. */
#include "riscv/device.h"

#include "core/ctx.h"
#include "log/log.h"
#include "port_word.h"
#include "pt/napot.h"
#include "riscv/iommu.h"
#include "riscv/msi.h"

struct dc device_context(const struct cordon_device *dev)
{
    const struct cordon_domain *d = dev->domain;
    const struct domain_view *view = &d->view[dev->view];

    return dc_make(&(struct dc_target){
        .mode = d->forest.fmt->mode,
        .gscid = view->gscid,
        .marks = iommu_marks(dev->iommu),
        .quiet = dev->trial,
        .root = d->forest.root[dev->view],
        .msi_table = view->msi_table,
        .msi_mask = d->msi.mask,
        .msi_base = d->msi.base,
    });
}

/* ---- views -------------------------------------------------------------------------------- */

/* The view that the domain's devices share, 0: none yet. */
static uint32_t device_common_view(const struct cordon_domain *d)
{
    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        if (device_uses_view(dev) && !dev->own_view) {
            return dev->view;
        }
    }
    return 0;
}

/* Else the IOMMU reserves the bits that say them. */
static bool device_knows_types(const struct cordon_device *dev)
{
    return (dev->iommu->info.capabilities & CAP_SVPBMT) != 0;
}

static void device_view_drop(struct cordon_domain *d, uint32_t number)
{
    struct domain_view *view = &d->view[number];

    msi_table_free(d, view->msi_table);
    domain_view_remove(d, number);
    *view = (struct domain_view){.gscid = 0};
}

/* A view with its GSCID and MSI table, for a device that is its first. Errors: ELIMIT, ENOMEM. */
static int device_view_make(struct cordon_domain *d, const struct cordon_device *dev, uint32_t *out)
{
    uint32_t number;
    cordon_hpa table = cordon_hpa_make(0);
    int err =
        device_knows_types(dev) ? domain_view_add_typed(d, &number) : domain_view_add(d, &number);

    if (err) {
        return err;
    }
    err = msi_table_copy(d, &table);
    if (err) {
        domain_view_remove(d, number);
        return err;
    }
    d->view[number].gscid = device_gscid(d->number, number);
    d->view[number].msi_table = table;
    if (log_device_marks(dev)) {
        log_view_trust(d, number);
    }
    *out = number;
    return 0;
}

static void device_view_put(struct cordon_domain *d, uint32_t number)
{
    cordon_assert(d->view[number].devices > 0);
    d->view[number].devices--;
    if (d->view[number].devices == 0) {
        device_view_drop(d, number);
    }
}

/* ---- 64 KiB leaves ------------------------------------------------------------------------ */

/* Views share tables: either all of a domain's hardware knows such leaves, or it has none. Harts
 * may go on using those that they hold. */
static void device_napot_end(struct cordon_domain *d)
{
    if (d->forest.napot) {
        pt_napot_end(&d->forest);
        port_fence(d->ctx->cookie);
        vmid_fence(d, NULL, 0, true);
    }
}

/* A device has come or gone: those that are left decide. */
static void device_napot_settle(struct cordon_domain *d)
{
    bool known = d->ctx->napot;

    for (const struct cordon_device *dev = d->devices; dev != NULL; dev = dev->domain_next) {
        known &= !device_uses_view(dev) || dev->iommu->info.napot == CORDON_NAPOT_KNOWN;
    }
    d->forest.napot = known;
}

/* ---- lists -------------------------------------------------------------------------------- */

static void device_set_domain(struct cordon_device *dev, struct cordon_domain *d)
{
    lock_take(&dev->iommu->lock);
    dev->domain = d;
    lock_give(&dev->iommu->lock);
}

/* Become D's, unless the device is some domain's already. */
static bool device_claim(struct cordon_device *dev, struct cordon_domain *d)
{
    bool was_free;

    lock_take(&dev->iommu->lock);
    was_free = dev->domain == NULL && dev->iommu->open;
    if (was_free) {
        dev->domain = d;
    }
    lock_give(&dev->iommu->lock);
    return was_free;
}

static void device_leave(struct cordon_device *dev)
{
    struct cordon_device **at;

    for (at = &dev->domain->devices; *at != dev; at = &(*at)->domain_next) {
    }
    *at = dev->domain_next;
    dev->domain_next = NULL;
    device_set_domain(dev, NULL);
}

/* ---- attach ------------------------------------------------------------------------------- */

/* Make the IOMMU forget a context and everything translated for its view: whatever had this device
 * id or GSCID before. The caller holds the IOMMU's lock. [IOMMU 6.3.1] */
static int device_forget(struct cordon_device *dev, uint16_t gscid)
{
    const struct cq_command commands[] = {cq_inval_ddt(dev->device_id), cq_vma(gscid),
                                          cq_gvma(gscid)};

    return cq_submit(dev->iommu, commands, sizeof(commands) / sizeof(commands[0]));
}

/* The device is D's and has its view: make the context valid. Valid bits that come need no command
 * afterwards, since invalid entries are not cached [IOMMU 6.3.8]; the commands before it show that
 * the IOMMU answers, and that nothing old has this GSCID. */
static int device_publish(struct cordon_device *dev)
{
    struct cordon_iommu *iommu = dev->iommu;
    struct dc dc = device_context(dev);
    int err;

    lock_take(&iommu->lock);
    err = device_forget(dev, dev->domain->view[dev->view].gscid);
    if (!err) {
        ddt_publish(iommu, dev->device_id, &dc);
        dev->attached = true;
    }
    lock_give(&iommu->lock);
    return err;
}

static bool device_can_reach_view(const struct cordon_device *dev)
{
    const struct cordon_domain *d = dev->domain;

    return iommu_can_reach(dev->iommu, d->forest.root[dev->view], DC_ROOT_ORDER) &&
           iommu_can_reach(dev->iommu, d->view[dev->view].msi_table, msi_table_order(d));
}

static int device_attach_claimed(struct cordon_domain *d, struct cordon_device *dev, bool own)
{
    uint32_t number = own ? 0 : device_common_view(d);
    int err = 0;

    if (dev->iommu->info.napot != CORDON_NAPOT_KNOWN) {
        device_napot_end(d);
    }
    if (number == 0) {
        err = device_view_make(d, dev, &number);
    } else if ((d->forest.typed >> number & 1u) != 0 && !device_knows_types(dev)) {
        err = -CORDON_ENOTSUP;
    }
    if (err) {
        return err;
    }
    d->view[number].devices++;
    dev->view = number;
    dev->own_view = own;
    if (!log_device_marks(dev)) {
        log_view_blind(d, number);
    }
    err = device_can_reach_view(dev) ? device_publish(dev) : -CORDON_ENOTSUP;
    if (err) {
        device_view_put(d, number);
        return err;
    }
    dev->domain_next = d->devices;
    d->devices = dev;
    return 0;
}

int cordon_device_attach(cordon_domain *d, cordon_device *dev, uint32_t flags)
{
    const struct cordon_iommu *iommu;
    int err;

    if (d == NULL || dev == NULL || (flags & ~CORDON_ATTACH_OWN_VIEW) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN) || !handle_is(dev, HANDLE_DEVICE) ||
        dev->iommu->ctx != d->ctx) {
        return -CORDON_EHANDLE;
    }
    iommu = dev->iommu;
    if ((iommu->info.modes & d->forest.fmt->mode_bit) == 0) {
        return -CORDON_ENOTSUP;
    }
    lock_take(&d->lock);
    if (d->msi.set && !iommu->info.extended) {
        err = -CORDON_ENOTSUP;
    } else if (!device_claim(dev, d)) {
        err = -CORDON_EBUSY;
    } else {
        err = device_attach_claimed(d, dev, (flags & CORDON_ATTACH_OWN_VIEW) != 0);
        if (err) {
            device_set_domain(dev, NULL);
            device_napot_settle(d);
        }
    }
    lock_give(&d->lock);
    return err;
}

/* ---- detach ------------------------------------------------------------------------------- */

int device_confirm(struct cordon_device *dev)
{
    struct cordon_domain *d = dev->domain;
    struct cordon_iommu *iommu = dev->iommu;
    int err;

    cordon_assert(dev->unconfirmed);
    lock_take(&iommu->lock);
    err = device_forget(dev, d->view[dev->view].gscid);
    if (!err) {
        ddt_clear(iommu, dev->device_id);
    }
    lock_give(&iommu->lock);
    if (err) {
        return -CORDON_EPENDING;
    }
    dev->unconfirmed = false;
    device_view_put(d, dev->view); /* its GSCID is known to nobody any more */
    device_napot_settle(d);
    if (!dev->undrained) {
        device_leave(dev);
    }
    return 0;
}

/* Another thread's retire may be letting go of a device that has been detached. */
static struct cordon_domain *device_domain(const struct cordon_device *dev)
{
    lock_take(&dev->iommu->lock);
    struct cordon_domain *d = dev->domain;

    lock_give(&dev->iommu->lock);
    return d;
}

int cordon_device_detach(cordon_device *dev)
{
    struct cordon_domain *d;
    int err;

    if (dev == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(dev, HANDLE_DEVICE)) {
        return -CORDON_EHANDLE;
    }
    d = device_domain(dev);
    if (d == NULL || !dev->attached) {
        return -CORDON_ENOENT;
    }
    /* Records that name its domain can only be told as long as the context does. */
    (void)cordon_faults_poll(dev->iommu, UINT32_C(1) << dev->iommu->fq.log2);
    lock_take(&d->lock);
    lock_take(&dev->iommu->lock);
    ddt_withdraw(dev->iommu, dev->device_id);
    dev->attached = false;
    lock_give(&dev->iommu->lock);
    dev->unconfirmed = true;
    dev->undrained = dev->drain == CORDON_DRAIN_RESET;
    err = device_confirm(dev);
    if (err) {
        d->pending = true;
    }
    lock_give(&d->lock);
    return err;
}

int cordon_device_drained(cordon_device *dev)
{
    struct cordon_domain *d;
    bool pending;

    if (dev == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(dev, HANDLE_DEVICE)) {
        return -CORDON_EHANDLE;
    }
    d = device_domain(dev);
    if (d == NULL) {
        return 0;
    }
    lock_take(&d->lock);
    if (dev->domain == d) { /* nobody was quicker */
        if (dev->undrained) {
            log_device_quiet(d);
        }
        dev->undrained = false;
        if (!device_uses_view(dev)) {
            device_leave(dev);
        }
    }
    pending = d->pending;
    lock_give(&d->lock);
    return pending ? cordon_retire(d) : 0;
}
