/* Reset methods as tables of steps, and the machine that runs them. [PCIe 6.6.2, 5.3.1.4,
 * 7.5.1.3.13] */
#include "pci/reset.h"
#include "pci/caps.h"
#include "pci/place.h"
#include <cordon/error.h>
#include <cordon/port.h>

#define MS UINT64_C(1000)
#define PENDING_BOUND (1000 * MS)
#define FLR_SETTLE (100 * MS)
#define D3_SETTLE (10 * MS)
#define BUS_HOLD (2 * MS)
#define BUS_SETTLE (100 * MS)
#define READY_BOUND (1000 * MS)
#define DEVCTL_KEPT 0x70e0u /* payload and read request size: what the link agreed on */
#define STEPS_MAX 16u       /* of all methods together, with their ends */
#define WAIT_TURNS 1000000000u

static void no_act(const struct pci_reset *r)
{
    (void)r;
}

static bool is_ready(const struct pci_reset *r)
{
    uint32_t vendor = pci_read(r->h, r->f->bdf, PCI_ID) & 0xffffu;

    return vendor != 0xffffu && vendor != 0x0001u; /* gone; or asks to be tried again */
}

static bool is_idle(const struct pci_reset *r)
{
    return (pci_read(r->h, r->f->bdf, r->f->caps.pcie + PCI_EXP_DEVCTL) & PCI_EXP_DEVSTA_PENDING) ==
           0;
}

static void flr_act(const struct pci_reset *r)
{
    pci_change(r->h, r->f->bdf, r->f->caps.pcie + PCI_EXP_DEVCTL, 0xffffu, 0, PCI_EXP_DEVCTL_FLR);
}

static bool is_idle_af(const struct pci_reset *r)
{
    return (pci_read(r->h, r->f->bdf, r->f->caps.af + PCI_AF_CONTROL) & PCI_AF_STATUS_PENDING) == 0;
}

static void af_act(const struct pci_reset *r)
{
    pci_change(r->h, r->f->bdf, r->f->caps.af + PCI_AF_CONTROL, 0xffu, 0, PCI_AF_CONTROL_FLR);
}

static void pm_state(const struct pci_reset *r, uint32_t state)
{
    pci_change(r->h, r->f->bdf, r->f->caps.pm + PCI_PM_CONTROL, 0xffffu,
               PCI_PM_STATE | PCI_PM_PME_STATUS, state);
}

static void pm_down(const struct pci_reset *r)
{
    pm_state(r, PCI_PM_D3HOT);
}

static void pm_up(const struct pci_reset *r)
{
    pm_state(r, 0);
}

static uint32_t bridge_above(const struct pci_reset *r)
{
    return r->h->functions[r->f->parent].bdf;
}

static void bus_down(const struct pci_reset *r)
{
    pci_change(r->h, bridge_above(r), PCI_BRIDGE_CONTROL, 0xffff0000u, 0, PCI_BRIDGE_CONTROL_RESET);
}

static void bus_up(const struct pci_reset *r)
{
    pci_change(r->h, bridge_above(r), PCI_BRIDGE_CONTROL, 0xffff0000u, PCI_BRIDGE_CONTROL_RESET, 0);
}

static const struct pci_reset_step flr_steps[] = {
    {no_act, is_idle, 0, PENDING_BOUND, true},
    {flr_act, is_ready, FLR_SETTLE, READY_BOUND, false},
};
static const struct pci_reset_step af_steps[] = {
    {no_act, is_idle_af, 0, PENDING_BOUND, true},
    {af_act, is_ready, FLR_SETTLE, READY_BOUND, false},
};
static const struct pci_reset_step pm_steps[] = {
    {pm_down, NULL, D3_SETTLE, 0, false},
    {pm_up, is_ready, D3_SETTLE, READY_BOUND, false},
};
static const struct pci_reset_step bus_steps[] = {
    {bus_down, NULL, BUS_HOLD, 0, false},
    {bus_up, is_ready, BUS_SETTLE, READY_BOUND, false},
};

static const struct pci_reset_step *steps_of(const struct pci_reset *r, uint32_t *count)
{
    *count = 2;
    switch (r->kind) {
    case PCI_RESET_FLR:
        return flr_steps;
    case PCI_RESET_AF:
        return af_steps;
    case PCI_RESET_PM:
        return pm_steps;
    case PCI_RESET_BUS:
        return bus_steps;
    case PCI_RESET_DEVICE:
        return pci_reset_device(r->h, r->f, count);
    default:
        *count = 0;
        return NULL;
    }
}

static bool any_bar_set(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t held = 0;

    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        if ((f->bar[i].flags & PCI_BAR_PLACED) != 0) {
            held |= pci_read(h, f->bdf, PCI_BAR(i)) & ~PCI_BAR_MEMORY_FLAGS;
        }
    }
    return held != 0;
}

static bool is_alone_below(const struct pci_host *h, const struct pci_function *f)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->functions[i].parent == f->parent && &h->functions[i] != f) {
            return false;
        }
    }
    return f->parent != PCI_NOBODY;
}

static bool method_exists(const struct pci_host *h, const struct pci_function *f,
                          enum pci_reset_kind kind)
{
    uint32_t count;
    uint32_t af = PCI_AF_CAPS_TP | PCI_AF_CAPS_FLR;

    switch (kind) {
    case PCI_RESET_FLR:
        return f->caps.pcie != 0 &&
               (pci_read(h, f->bdf, f->caps.pcie + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR) != 0;
    case PCI_RESET_AF:
        return f->caps.af != 0 && (pci_read(h, f->bdf, f->caps.af) & af) == af;
    case PCI_RESET_PM:
        return f->caps.pm != 0 && any_bar_set(h, f) &&
               (pci_read(h, f->bdf, f->caps.pm + PCI_PM_CONTROL) & PCI_PM_NO_SOFT_RESET) == 0;
    case PCI_RESET_DEVICE:
        return pci_reset_device(h, f, &count) != NULL;
    case PCI_RESET_BUS:
        return is_alone_below(h, f);
    default:
        return false;
    }
}

/* Begin the first method after AFTER; false if there is none. */
static bool method_begin(struct pci_reset *r, enum pci_reset_kind after)
{
    for (uint32_t kind = after + 1u; kind < PCI_RESET_KIND_COUNT; kind++) {
        if (method_exists(r->h, r->f, (enum pci_reset_kind)kind)) {
            r->kind = (enum pci_reset_kind)kind;
            r->step = 0;
            r->acted = false;
            return true;
        }
    }
    r->kind = PCI_RESET_NONE;
    return false;
}

bool pci_reset_exists(const struct pci_host *h, const struct pci_function *f)
{
    for (uint32_t kind = PCI_RESET_FLR; kind < PCI_RESET_KIND_COUNT; kind++) {
        if (method_exists(h, f, (enum pci_reset_kind)kind)) {
            return true;
        }
    }
    return false;
}

/* No message leaves it before its new owner says so. */
static void messages_off(const struct pci_host *h, const struct pci_function *f)
{
    if (f->caps.msi != 0) {
        pci_change(h, f->bdf, f->caps.msi, 0xffffffffu, PCI_MSI_ENABLE, 0);
    }
    if (f->caps.msix != 0) {
        pci_change(h, f->bdf, f->caps.msix, 0xffffffffu, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL, 0);
    }
}

int pci_restore(const struct pci_host *h, const struct pci_function *f, uint32_t devctl)
{
    uint32_t id = (uint32_t)f->vendor | (uint32_t)f->device << 16;

    pci_command(h, f->bdf, 0xffffu, 0);
    if (pci_read(h, f->bdf, PCI_ID) != id) {
        return -CORDON_EHW;
    }
    pci_caps_close(h, f);
    messages_off(h, f);
    if (f->caps.pcie != 0) {
        pci_change(h, f->bdf, f->caps.pcie + PCI_EXP_DEVCTL, 0xffffu, DEVCTL_KEPT, devctl);
    }
    if (!pci_place_write(h, f) || (pci_read(h, f->bdf, PCI_COMMAND) & PCI_COMMAND_MASTER) != 0) {
        return -CORDON_EHW;
    }
    return 0;
}

/* All steps of a method are through: 0, EBUSY when another method begins, or an error. */
static int method_end(struct pci_reset *r)
{
    if (r->kind == PCI_RESET_PM && any_bar_set(r->h, r->f)) {
        return method_begin(r, PCI_RESET_PM) ? -CORDON_EBUSY : -CORDON_ENOTSUP;
    }
    return pci_restore(r->h, r->f, r->devctl);
}

/* Is the step's waiting over? 0, EBUSY or ETIMEOUT. */
static int step_wait(const struct pci_reset *r, const struct pci_reset_step *step)
{
    uint64_t passed = cordon_port_time_us(r->h->cookie) - r->since_us;

    if (passed < step->settle_us) {
        return -CORDON_EBUSY;
    }
    if (step->done == NULL || step->done(r)) {
        return 0;
    }
    if (passed - step->settle_us < step->bound_us) {
        return -CORDON_EBUSY;
    }
    return step->soft ? 0 : -CORDON_ETIMEOUT;
}

int pci_reset_poll(struct pci_reset *r)
{
    for (uint32_t turn = 0; turn < STEPS_MAX; turn++) {
        uint32_t count;
        const struct pci_reset_step *steps = steps_of(r, &count);
        int err;

        if (steps == NULL) {
            return -CORDON_ENOTSUP;
        }
        if (r->step == count) {
            err = method_end(r);
            if (err != -CORDON_EBUSY) {
                return err;
            }
            continue;
        }
        if (!r->acted) {
            steps[r->step].act(r);
            r->acted = true;
            r->since_us = cordon_port_time_us(r->h->cookie);
        }
        err = step_wait(r, &steps[r->step]);
        if (err != 0) {
            if (err != -CORDON_EBUSY) {
                pci_command(r->h, r->f->bdf, 0xffffu, 0);
            }
            return err;
        }
        r->step++;
        r->acted = false;
    }
    return -CORDON_EBUSY;
}

int pci_reset_begin(struct pci_reset *r, struct pci_host *h, struct pci_function *f)
{
    *r = (struct pci_reset){.h = h, .f = f};
    pci_master(h, f, false);
    if (f->caps.pcie != 0) {
        r->devctl = pci_read(h, f->bdf, f->caps.pcie + PCI_EXP_DEVCTL) & DEVCTL_KEPT;
    }
    if (!method_begin(r, PCI_RESET_NONE)) {
        return -CORDON_ENOTSUP;
    }
    int err = pci_reset_poll(r);

    return err == -CORDON_ENOTSUP ? err : 0; /* what else it says, it says again */
}

int pci_reset_wait(struct pci_reset *r)
{
    int err = pci_reset_poll(r);

    for (uint32_t turn = 0; err == -CORDON_EBUSY && turn < WAIT_TURNS; turn++) {
        cordon_port_relax(r->h->cookie);
        err = pci_reset_poll(r);
    }
    return err == -CORDON_EBUSY ? -CORDON_ETIMEOUT : err;
}

const char *pci_reset_name(enum pci_reset_kind kind)
{
    static const char *const name[PCI_RESET_KIND_COUNT] = {
        [PCI_RESET_NONE] = "none", [PCI_RESET_FLR] = "FLR",       [PCI_RESET_AF] = "AF",
        [PCI_RESET_PM] = "PM",     [PCI_RESET_DEVICE] = "device", [PCI_RESET_BUS] = "bus",
    };

    return (unsigned)kind < PCI_RESET_KIND_COUNT ? name[kind] : "unknown";
}
