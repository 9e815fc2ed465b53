/* The model of fake_pci.h: routing, configuration space, resets. Builders are in fpci_build.c. */
#include "fake_pci.h"

#include "fake_pci_regs.h"
#include <string.h>

static bool is_bridge(const struct fpci_fn *f)
{
    return PCI_HEADER_TYPE(fpci_get(f, PCI_HEADER)) == 1;
}

/* The bus that a function stands on now; false while a bridge above it does not forward to it. */
static bool bus_of(const struct fpci *p, const struct fpci_fn *f, uint32_t *bus)
{
    *bus = p->first_bus;
    if (f->parent < 0) {
        return true;
    }
    *bus = p->fn[f->parent].config[PCI_BUSES + 1];
    for (int at = f->parent; at >= 0; at = p->fn[at].parent) {
        const uint8_t *config = p->fn[at].config;

        if (*bus < config[PCI_BUSES + 1] || *bus > config[PCI_BUSES + 2] ||
            config[PCI_BUSES + 1] == 0) {
            return false;
        }
    }
    return true;
}

static struct fpci_fn *route_config(struct fpci *p, uint32_t bdf)
{
    struct fpci_fn *found = NULL;

    for (int i = 0; i < p->count; i++) {
        uint32_t bus;

        if (bus_of(p, &p->fn[i], &bus) && ((bus << 8) | p->fn[i].devfn) == bdf) {
            p->conflicts += found != NULL;
            found = &p->fn[i];
        }
    }
    return found;
}

uint64_t fpci_bar_address(const struct fpci_fn *f, uint32_t index)
{
    uint32_t low = fpci_get(f, PCI_BAR(index));
    uint64_t address = low & ~PCI_BAR_MEMORY_FLAGS;

    if ((low & PCI_BAR_TYPE) == PCI_BAR_TYPE_64) {
        address |= (uint64_t)fpci_get(f, PCI_BAR(index + 1)) << 32;
    }
    return address;
}

static bool bridge_forwards(const struct fpci_fn *b, uint64_t at)
{
    uint32_t low = fpci_get(b, PCI_BRIDGE_MEMORY);
    uint32_t pre = fpci_get(b, PCI_BRIDGE_PREFETCH);
    uint64_t base = (uint64_t)(low & 0xfff0u) << 16;
    uint64_t limit = (low & 0xfff00000u) | 0xfffffu;
    uint64_t pre_base =
        (uint64_t)(pre & 0xfff0u) << 16 | (uint64_t)fpci_get(b, PCI_BRIDGE_PREFETCH_HIGH) << 32;
    uint64_t pre_limit = ((pre & 0xfff00000u) | 0xfffffu) |
                         (uint64_t)fpci_get(b, PCI_BRIDGE_PREFETCH_LIMIT_HIGH) << 32;

    return (b->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) != 0 &&
           ((at >= base && at <= limit) || (at >= pre_base && at <= pre_limit));
}

static bool reaches(const struct fpci *p, const struct fpci_fn *f, uint64_t at)
{
    for (int i = f->parent; i >= 0; i = p->fn[i].parent) {
        if (!bridge_forwards(&p->fn[i], at)) {
            return false;
        }
    }
    return true;
}

/* The function whose BAR decodes a memory address. */
static struct fpci_fn *route_memory(struct fpci *p, uint64_t at, uint32_t *bar, uint64_t *offset)
{
    struct fpci_fn *found = NULL;

    for (int i = 0; i < p->count; i++) {
        struct fpci_fn *f = &p->fn[i];

        if ((f->config[PCI_COMMAND] & PCI_COMMAND_MEMORY) == 0) {
            continue;
        }
        for (uint32_t n = 0; n < PCI_BAR_COUNT; n++) {
            uint64_t base = fpci_bar_address(f, n);

            if (f->bar_len[n] != 0 && at >= base && at - base < f->bar_len[n] &&
                reaches(p, f, at)) {
                p->conflicts += found != NULL;
                found = f;
                *bar = n;
                *offset = at - base;
            }
        }
    }
    return found;
}

void fpci_reset(struct fpci *p, struct fpci_fn *f)
{
    memcpy(f->config, f->reset, sizeof(f->config));
    memset(f->reg, 0, sizeof(f->reg));
    if (f->kind == FPCI_NVME) {
        f->reg[FPCI_NVME_CAP / 4] = FPCI_NVME_CAP_VALUE;
    }
    f->resets++;
    f->busy_until = f->reset_hangs ? UINT64_MAX : p->now_us + f->reset_us;
    if (f->reset_swaps) {
        f->config[PCI_ID + 2] ^= 0xffu;
    }
    if (f->bar_stuck) {
        memset(&f->sticks[PCI_BAR(0)], 0, 4 * PCI_BAR_COUNT);
    }
}

/* A write with meaning: resets, and what must be seen. */
static void config_effects(struct fpci *p, struct fpci_fn *f, uint32_t offset, uint32_t old,
                           uint32_t value)
{
    const struct fpci_places at = fpci_places_of(f);

    if (offset == PCI_COMMAND) {
        f->commands |= value & 0xffffu;
        if (f->master_stuck) {
            f->config[PCI_COMMAND] |= PCI_COMMAND_MASTER;
        }
    } else if (at.pcie != 0 && offset == at.pcie + PCI_EXP_DEVCTL &&
               (value & PCI_EXP_DEVCTL_FLR) != 0 &&
               (fpci_get(f, at.pcie + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR) != 0) {
        fpci_reset(p, f);
    } else if (at.af != 0 && offset == at.af + PCI_AF_CONTROL &&
               (value & PCI_AF_CONTROL_FLR) != 0) {
        fpci_reset(p, f);
    } else if (at.pm != 0 && offset == at.pm + PCI_PM_CONTROL && f->pm_resets &&
               (old & PCI_PM_STATE) == PCI_PM_D3HOT && (value & PCI_PM_STATE) == 0) {
        fpci_reset(p, f);
    } else if (is_bridge(f) && offset == PCI_BRIDGE_CONTROL &&
               (value & PCI_BRIDGE_CONTROL_RESET) != 0) {
        for (int i = 0; i < p->count; i++) {
            if (p->fn[i].parent == (int)(f - p->fn)) {
                fpci_reset(p, &p->fn[i]);
            }
        }
    }
}

static void config_write(struct fpci *p, struct fpci_fn *f, uint32_t offset, uint32_t value)
{
    uint32_t old = fpci_get(f, offset);

    for (uint32_t i = 0; i < 4; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        uint8_t *at = &f->config[offset + i];

        *at = (uint8_t)((*at & ~f->sticks[offset + i]) | (byte & f->sticks[offset + i]));
        *at = (uint8_t)(*at & ~(byte & f->clears[offset + i]));
    }
    config_effects(p, f, offset, old, value);
}

/* Busy functions answer nothing; whoever asks before 100 ms have passed is noted. */
static bool is_busy(struct fpci *p, struct fpci_fn *f)
{
    if (p->now_us >= f->busy_until) {
        return false;
    }
    f->early++;
    return true;
}

static uint64_t all_ones(uint32_t width)
{
    return width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

static uint64_t fpci_read(void *user, uint64_t hpa, uint32_t width)
{
    struct fpci *p = user;
    uint64_t value;
    uint32_t bar;
    uint64_t offset;

    if (p->beside_read != NULL && p->beside_read(p->beside, hpa, width, &value)) {
        return value;
    }
    if (hpa >= FPCI_ECAM && hpa < FPCI_ECAM + ((uint64_t)(p->last_bus - p->first_bus + 1) << 20)) {
        uint32_t bdf = (uint32_t)((hpa - FPCI_ECAM) >> 12) + ((uint32_t)p->first_bus << 8);
        struct fpci_fn *f = route_config(p, bdf);

        return f == NULL || is_busy(p, f) ? all_ones(width) : fpci_get(f, (uint32_t)(hpa & 0xfffu));
    }
    struct fpci_fn *f = route_memory(p, hpa, &bar, &offset);

    if (f == NULL) {
        p->stray++;
        return all_ones(width);
    }
    return bar == 0 ? fpci_register_read(f, offset) : 0;
}

static void fpci_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    struct fpci *p = user;
    uint32_t bar;
    uint64_t offset;

    if (p->beside_write != NULL && p->beside_write(p->beside, hpa, width, value)) {
        return;
    }
    if (hpa >= FPCI_ECAM && hpa < FPCI_ECAM + ((uint64_t)(p->last_bus - p->first_bus + 1) << 20)) {
        uint32_t bdf = (uint32_t)((hpa - FPCI_ECAM) >> 12) + ((uint32_t)p->first_bus << 8);
        struct fpci_fn *f = route_config(p, bdf);

        if (f != NULL && !is_busy(p, f)) {
            config_write(p, f, (uint32_t)(hpa & 0xfffu), (uint32_t)value);
        }
        return;
    }
    struct fpci_fn *f = route_memory(p, hpa, &bar, &offset);

    if (f == NULL) {
        p->stray++;
    } else if (bar == 0) {
        fpci_register_write(p, f, offset, (uint32_t)value);
    }
}

/* Time goes on by itself: no test waits. */
static uint64_t fpci_time(void *user)
{
    struct fpci *p = user;

    p->now_us += 500;
    return p->now_us;
}

void fpci_init(struct fpci *p)
{
    *p = (struct fpci){.last_bus = 255};
    p->ops = (struct cordon_port_ops){.size = sizeof(p->ops),
                                      .user = p,
                                      .mmio_read = fpci_read,
                                      .mmio_write = fpci_write,
                                      .time_us = fpci_time};
}

void fpci_host(struct fpci *p, struct pci_host *h, struct pci_function *table, uint32_t capacity)
{
    *h = (struct pci_host){.cookie = p,
                           .ecam = {FPCI_ECAM},
                           .first_bus = p->first_bus,
                           .last_bus = p->last_bus,
                           .window_count = 2,
                           .rid_mask = 0xffffffffu,
                           .map_count = 1,
                           .functions = table,
                           .capacity = capacity};
    h->window[0] = (struct pci_window){FPCI_LOW, {FPCI_LOW}, FPCI_LOW_LEN, 0};
    h->window[1] = (struct pci_window){FPCI_HIGH, {FPCI_HIGH}, FPCI_HIGH_LEN, PCI_WINDOW_64};
    h->map[0] = (struct pci_iommu_map){.length = 0x10000};
}
