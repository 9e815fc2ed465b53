/* Assignment and release: see assign.h. Each step has its undoing beside it. */
#include "pci/assign.h"
#include "pci/assign_check.h"
#include "pci/group.h"
#include <cordon/error.h>
#include <cordon/port.h>

static int refuse(struct pci_assignment *a, int error, enum pci_why why, uint64_t value)
{
    a->why = (struct pci_refusal){.why = why, .bdf = a->f->bdf, .value = value};
    return error;
}

int pci_assign_begin(struct pci_assignment *a, struct pci_host *h, uint32_t bdf,
                     const struct pci_assign_config *cfg)
{
    struct pci_assignment fresh = {.h = h, .f = pci_find(h, bdf), .cfg = *cfg};
    int err;

    if (fresh.f == NULL) {
        a->why = (struct pci_refusal){.why = PCI_WHY_ABSENT, .bdf = bdf};
        return -CORDON_ENOENT;
    }
    if (fresh.f->assigned) {
        a->why = (struct pci_refusal){.why = PCI_WHY_CLAIMED, .bdf = bdf, .value = fresh.f->guest};
        return -CORDON_EBUSY;
    }
    err = pci_assign_check(h, fresh.f, cfg, &a->why);
    if (err != 0) {
        return err;
    }
    *a = fresh;
    a->f->assigned = true;
    a->stage = PCI_STAGE_BEGUN;
    a->reset_works = pci_reset_begin(&a->reset, h, a->f) == 0;
    return 0;
}

/* ---- steps of finishing, and their undoing --------------------------------------------------- */

static int step_reset(struct pci_assignment *a)
{
    int err = a->reset_works ? pci_reset_wait(&a->reset) : -CORDON_ENOTSUP;

    if (err == -CORDON_ENOTSUP && a->cfg.no_reset_allowed &&
        pci_drain_method(a->f) == CORDON_DRAIN_IOMMU) {
        a->reset_works = false;
        err = pci_restore(a->h, a->f, a->reset.devctl);
    }
    if (err == -CORDON_ENOTSUP) {
        return refuse(a, err, a->cfg.no_reset_allowed ? PCI_WHY_NO_DRAIN : PCI_WHY_NO_RESET, 0);
    }
    if (err != 0) {
        return refuse(a, err, err == -CORDON_ETIMEOUT ? PCI_WHY_RESET_TIMEOUT : PCI_WHY_RESET_LOST,
                      a->reset.kind);
    }
    return 0;
}

static int step_attach(struct pci_assignment *a)
{
    struct cordon_device_config dc = {.size = sizeof(dc), .drain = pci_drain_method(a->f)};
    uint32_t iommu;
    int err;

    if (a->cfg.iommu_count == 0) {
        return 0;
    }
    err = pci_device_id(a->h, a->f->bdf, &iommu, &dc.device_id);
    cordon_assert(err == 0 && iommu < a->cfg.iommu_count);
    for (size_t i = 0; i + 1 < sizeof(dc.name) && a->cfg.name[i] != '\0'; i++) {
        dc.name[i] = a->cfg.name[i];
    }
    err = cordon_device_add(a->cfg.iommus[iommu], &dc, &a->dev);
    if (err != 0) {
        return refuse(a, err, PCI_WHY_ATTACH, dc.device_id);
    }
    err = cordon_device_attach(a->cfg.domain, a->dev, a->cfg.attach_flags);
    if (err != 0) {
        return refuse(a, err, PCI_WHY_ATTACH, dc.device_id);
    }
    a->attached = true;
    return 0;
}

/* Withdraw the context and forget the device. Errors: EPENDING (the IOMMU has not confirmed it). */
static int undo_attach(struct pci_assignment *a)
{
    if (a->attached) {
        int err = cordon_device_detach(a->dev);

        cordon_assert(err == 0 || err == -CORDON_EPENDING);
        a->attached = false;
    }
    if (a->dev == NULL) {
        return 0;
    }
    if (a->drained) {
        int err = cordon_device_drained(a->dev);

        cordon_assert(err == 0 || err == -CORDON_EPENDING); /* of the domain's other devices */
    }
    if (cordon_device_remove(a->dev) != 0) {
        return -CORDON_EPENDING;
    }
    a->dev = NULL;
    return 0;
}

static int step_resources(struct pci_assignment *a)
{
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        const struct pci_bar *bar = &a->f->bar[i];
        int err;

        if ((bar->flags & PCI_BAR_PLACED) == 0) {
            continue;
        }
        err = cordon_resource_add(a->cfg.ctx, bar->hpa, pci_page_len(bar->len));
        if (err != 0) {
            return refuse(a, err, PCI_WHY_RESOURCE, i);
        }
        a->resources |= 1u << i;
    }
    return 0;
}

/* Errors: EBUSY (a map still has one of them). */
static int undo_resources(struct pci_assignment *a)
{
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        if ((a->resources & (1u << i)) == 0) {
            continue;
        }
        int err = cordon_resource_remove(a->cfg.ctx, a->f->bar[i].hpa);

        if (err != 0) {
            return err;
        }
        a->resources &= ~(1u << i);
    }
    return 0;
}

static void step_free(struct pci_assignment *a)
{
    pci_command(a->h, a->f->bdf, 0xffffu, 0);
    a->f->assigned = false;
    pci_master(a->h, a->f, false);
    a->stage = PCI_STAGE_FREE;
}

int pci_assign_finish(struct pci_assignment *a)
{
    int err;

    cordon_assert(a->stage == PCI_STAGE_BEGUN);
    err = step_reset(a);
    if (err == 0) {
        a->drained = true;
        err = step_attach(a);
    }
    if (err == 0) {
        err = step_resources(a);
    }
    if (err == 0) {
        a->drained = false;
        a->stage = PCI_STAGE_ASSIGNED;
        return 0;
    }
    if (undo_resources(a) != 0 || undo_attach(a) != 0) {
        a->stage = PCI_STAGE_LEAVING;
        return err;
    }
    step_free(a);
    return err;
}

/* ---- release -------------------------------------------------------------------------------- */

/* Prove that its DMA is over: by its reset where it has one, by one that is going on already if so.
 * What drains by the IOMMU is drained once the context is gone. */
static int step_drain(struct pci_assignment *a)
{
    int err = 0;

    if (a->drained) {
        return 0;
    }
    if (a->reset_works) {
        err = a->resetting ? 0 : pci_reset_begin(&a->reset, a->h, a->f);
        err = err != 0 ? err : pci_reset_wait(&a->reset);
        a->resetting = false;
    }
    if (err != 0 && pci_drain_method(a->f) == CORDON_DRAIN_RESET) {
        return refuse(a, err, err == -CORDON_ETIMEOUT ? PCI_WHY_RESET_TIMEOUT : PCI_WHY_RESET_LOST,
                      a->reset.kind);
    }
    a->drained = true;
    return 0;
}

/* Off the bus, and out of the IOMMU. Errors: EPENDING (it has not confirmed that). */
static int leave_bus(struct pci_assignment *a)
{
    int err = 0;

    if (!a->resetting) { /* else it is off already */
        pci_master(a->h, a->f, false);
    }
    if (a->attached) {
        err = cordon_device_detach(a->dev);
        a->attached = false;
    }
    return err;
}

int pci_release(struct pci_assignment *a)
{
    int err;

    if (a->stage == PCI_STAGE_FREE) {
        return 0;
    }
    if (a->stage == PCI_STAGE_BEGUN) {
        /* Never attached: it is only left in peace until it is back. */
        err = a->reset_works ? pci_reset_wait(&a->reset) : 0;
        if (err != 0) {
            (void)refuse(a, err, PCI_WHY_RESET_TIMEOUT, a->reset.kind);
        }
        step_free(a);
        return 0;
    }
    err = leave_bus(a);
    cordon_assert(err == 0 || err == -CORDON_EPENDING); /* asked for again below */
    a->stage = PCI_STAGE_LEAVING;
    err = step_drain(a);
    if (err == 0) {
        err = undo_attach(a);
    }
    if (err == 0) {
        err = undo_resources(a); /* last: pages that were revoked may have waited for this device */
    }
    if (err == 0) {
        step_free(a);
    }
    return err;
}

/* ---- a reset that the guest asks for --------------------------------------------------------- */

int pci_assign_reset(struct pci_assignment *a)
{
    if (a->stage != PCI_STAGE_ASSIGNED || !a->reset_works) {
        return -CORDON_ENOTSUP;
    }
    int err = pci_reset_begin(&a->reset, a->h, a->f);

    if (err == 0) {
        a->stage = PCI_STAGE_RESETTING;
        a->resetting = true;
    }
    return err;
}

int pci_assign_reset_poll(struct pci_assignment *a)
{
    int err;

    if (a->stage != PCI_STAGE_RESETTING) {
        return a->stage == PCI_STAGE_ASSIGNED ? 0 : -CORDON_EHW;
    }
    err = pci_reset_poll(&a->reset);
    if (err == -CORDON_EBUSY) {
        return err;
    }
    a->resetting = false;
    if (err != 0) {
        pci_master(a->h, a->f, false);
        a->stage = PCI_STAGE_LOST;
        return err;
    }
    a->stage = PCI_STAGE_ASSIGNED;
    if (a->dev != NULL) {
        err = cordon_device_drained(a->dev);
        cordon_assert(err == 0 || err == -CORDON_EPENDING); /* of the domain's other devices */
    }
    return 0;
}

int pci_quarantine(struct pci_assignment *a)
{
    if (a->stage != PCI_STAGE_ASSIGNED && a->stage != PCI_STAGE_RESETTING &&
        a->stage != PCI_STAGE_LOST) {
        return -CORDON_EINVAL;
    }
    a->stage = PCI_STAGE_LOST;
    return leave_bus(a);
}
