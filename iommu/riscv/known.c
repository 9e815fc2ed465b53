/*
 * Devices that an IOMMU knows: added, named, removed. They live in pages of the layer's own, a slab
 * of slots a page, so that none needs an allocator of its own.
 */
#include <string.h>

#include "core/ctx.h"
#include "riscv/device.h"
#include "riscv/iommu.h"

#define SLAB_SLOTS 32u

struct device_slab {
    struct device_slab *next;
    uint32_t used; /* bit n: slot n */
    struct cordon_device slot[SLAB_SLOTS];
};

_Static_assert(sizeof(struct device_slab) <= CORDON_PAGE_SIZE, "a slab is one page");

static struct device_slab *device_slab_with_room(const struct cordon_iommu *iommu)
{
    struct device_slab *slab = iommu->slabs;

    while (slab != NULL && slab->used == UINT32_MAX) {
        slab = slab->next;
    }
    return slab;
}

static struct cordon_device *device_slot_take(struct device_slab *slab)
{
    uint32_t slot = (uint32_t)__builtin_ctz(~slab->used);

    slab->used |= UINT32_C(1) << slot;
    memset(&slab->slot[slot], 0, sizeof(slab->slot[slot]));
    return &slab->slot[slot];
}

static void device_slot_give(const struct cordon_device *dev)
{
    struct device_slab *slab = dev->iommu->slabs;

    while ((uintptr_t)dev - (uintptr_t)slab >= sizeof(*slab)) {
        slab = slab->next;
    }
    slab->used &= ~(UINT32_C(1) << (dev - slab->slot));
}

void device_slabs_free(struct cordon_iommu *iommu)
{
    while (iommu->slabs != NULL) {
        struct device_slab *slab = iommu->slabs;

        cordon_assert(slab->used == 0);
        iommu->slabs = slab->next;
        pool_page_free(iommu->ctx, slab);
    }
}

static struct cordon_device *device_find(const struct cordon_iommu *iommu, uint32_t device_id)
{
    struct cordon_device *dev = iommu->devices[device_id % IOMMU_DEVICE_LISTS];

    while (dev != NULL && dev->device_id != device_id) {
        dev = dev->next;
    }
    return dev;
}

static int device_check_config(const struct cordon_iommu *iommu,
                               const struct cordon_device_config *cfg)
{
    if (cfg->size != sizeof(*cfg) || cfg->reserved != 0) {
        return -CORDON_EINVAL;
    }
    if (cfg->drain != CORDON_DRAIN_IOMMU && cfg->drain != CORDON_DRAIN_RESET) {
        return -CORDON_EINVAL;
    }
    if (cfg->name[sizeof(cfg->name) - 1] != 0) {
        return -CORDON_EINVAL;
    }
    return cfg->device_id > iommu->max_device_id ? -CORDON_ERANGE : 0;
}

/* Enter the list, into a slot of a slab that has room; SPARE becomes one if none has, and null
 * then. The caller holds the lock. */
static int device_enter(struct cordon_iommu *iommu, const struct cordon_device_config *cfg,
                        struct device_slab **spare, struct cordon_device **out)
{
    struct device_slab *slab = device_slab_with_room(iommu);
    struct cordon_device **list = &iommu->devices[cfg->device_id % IOMMU_DEVICE_LISTS];
    struct cordon_device *dev;

    if (!iommu->open) {
        return -CORDON_EINVAL;
    }
    if (device_find(iommu, cfg->device_id) != NULL) {
        return -CORDON_EEXIST;
    }
    if (slab == NULL) {
        slab = *spare;
        *spare = NULL;
        slab->next = iommu->slabs;
        iommu->slabs = slab;
    }
    dev = device_slot_take(slab);
    dev->mark = HANDLE_DEVICE;
    dev->iommu = iommu;
    dev->device_id = cfg->device_id;
    dev->drain = cfg->drain;
    memcpy(dev->name, cfg->name, sizeof(dev->name));
    dev->next = *list;
    *list = dev;
    iommu->device_count++;
    *out = dev;
    return 0;
}

int cordon_device_add(cordon_iommu *iommu, const struct cordon_device_config *cfg,
                      cordon_device **out)
{
    struct device_slab *spare;
    int err;

    if (iommu == NULL || cfg == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(iommu, HANDLE_IOMMU)) {
        return -CORDON_EHANDLE;
    }
    err = device_check_config(iommu, cfg);
    if (err) {
        return err;
    }
    spare = pool_page_alloc(iommu->ctx);
    if (spare == NULL) {
        return -CORDON_ENOMEM;
    }
    err = ddt_prepare(iommu, cfg->device_id);
    if (!err) {
        lock_take(&iommu->lock);
        err = device_enter(iommu, cfg, &spare, out);
        lock_give(&iommu->lock);
    }
    if (spare != NULL) {
        pool_page_free(iommu->ctx, spare);
    }
    return err;
}

int cordon_device_remove(cordon_device *dev)
{
    struct cordon_iommu *iommu;
    struct cordon_device **at;
    int err;

    if (dev == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(dev, HANDLE_DEVICE)) {
        return -CORDON_EHANDLE;
    }
    iommu = dev->iommu;
    lock_take(&iommu->lock);
    err = dev->domain != NULL ? -CORDON_EBUSY : 0;
    if (!err) {
        at = &iommu->devices[dev->device_id % IOMMU_DEVICE_LISTS];
        while (*at != dev) {
            at = &(*at)->next;
        }
        *at = dev->next;
        iommu->device_count--;
        dev->mark = 0;
        device_slot_give(dev);
    }
    lock_give(&iommu->lock);
    return err;
}

/* ---- what reports say of them ------------------------------------------------------------- */

void device_name(struct cordon_iommu *iommu, uint32_t device_id, char name[32])
{
    const struct cordon_device *dev;

    lock_take(&iommu->lock);
    dev = device_find(iommu, device_id);
    memset(name, 0, 32);
    if (dev != NULL) {
        memcpy(name, dev->name, sizeof(dev->name));
    }
    lock_give(&iommu->lock);
}

void device_nearest(struct cordon_ctx *ctx, uint32_t domain, cordon_gpa gpa,
                    struct cordon_fault *out)
{
    struct cordon_region_info region;
    struct cordon_domain *d;
    bool after;
    uint64_t gap;

    lock_take(&ctx->lock);
    for (d = ctx->domains; d != NULL && d->number != domain; d = d->next) {
    }
    if (d != NULL && domain_nearest(d, gpa.v, &region, &after, &gap)) {
        out->has_nearest = 1;
        out->nearest_after = after ? 1 : 0;
        out->nearest = region.gpa;
        out->nearest_len = region.len;
        out->nearest_gap = gap;
    }
    lock_give(&ctx->lock);
}
