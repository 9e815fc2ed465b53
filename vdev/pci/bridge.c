/*
 * The guest's PCI host bridge: ECAM [PCIe 7.2.2] with one bus, and the windows behind which nothing
 * answers but emulated BARs. What is not there reads as all ones and ignores writes.
 */
#include "pci/vpci.h"
#include <cordon/error.h>
#include <cordon/port.h>

#define BUS_BYTES UINT64_C(0x100000)

void vpci_lock(struct vpci_bridge *b)
{
    struct cordon_lock *l = &b->lock;
    uint_fast32_t mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

    while (atomic_load_explicit(&l->now, memory_order_acquire) != mine) {
        cordon_port_relax(b->cfg.cookie);
    }
}

void vpci_unlock(struct vpci_bridge *b)
{
    cordon_lock_give(&b->lock);
}

static uint64_t all_ones(unsigned width)
{
    return width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

/* The function that a configuration address means; null if there is none, or not now. */
static struct vpci_function *function_at(const struct vpci_bridge *b, uint64_t offset)
{
    uint64_t slot = offset >> 15; /* bus << 5 | device */
    struct vpci_function *f = NULL;

    if (slot < VPCI_SLOTS && ((offset >> 12) & 7u) == 0) {
        f = b->slot[slot];
    }
    if (f != NULL && f->ops->absent != NULL && f->ops->absent(f->state)) {
        f = NULL;
    }
    return f;
}

static uint64_t ecam_read(void *state, uint64_t offset, unsigned width)
{
    struct vpci_bridge *b = state;
    uint64_t value = all_ones(width);

    vpci_lock(b);
    struct vpci_function *f = function_at(b, offset);

    if (f != NULL) {
        uint32_t reg = (uint32_t)(offset & (PCI_CONFIG_EXTENDED_BYTES - 1));

        value = vpci_header_read(f, reg & ~3u);
        if (width == 8) {
            value |= (uint64_t)vpci_header_read(f, reg + 4) << 32;
        }
        value = value >> (8 * (reg & 3u)) & all_ones(width);
    }
    vpci_unlock(b);
    return value;
}

static void ecam_write(void *state, uint64_t offset, unsigned width, uint64_t value)
{
    struct vpci_bridge *b = state;

    vpci_lock(b);
    for (unsigned done = 0; done < width; done += 4) {
        /* Looked up anew: the first half may have begun a reset. */
        struct vpci_function *f = function_at(b, offset);
        uint32_t reg = (uint32_t)(offset & (PCI_CONFIG_EXTENDED_BYTES - 1));
        uint32_t shift = 8 * (reg & 3u);
        uint32_t mask = (uint32_t)all_ones(width < 4 ? width : 4) << shift;

        if (f != NULL) {
            vpci_header_write(f, (reg & ~3u) + done, (uint32_t)(value >> (8 * done)) << shift,
                              mask);
        }
    }
    vpci_unlock(b);
}

/* The emulated BAR at GPA, all WIDTH bytes of it. */
static struct vpci_function *trapped_at(struct vpci_bridge *b, uint64_t gpa, unsigned width,
                                        uint32_t *bar, uint64_t *offset)
{
    for (uint32_t n = 0; n < VPCI_SLOTS * PCI_BAR_COUNT; n++) {
        struct vpci_function *f = b->slot[n / PCI_BAR_COUNT];

        if (f == NULL) {
            continue;
        }
        const struct vpci_bar *at = &f->bar[n % PCI_BAR_COUNT];

        if (at->trapped && at->decoded && gpa >= at->at && gpa - at->at <= at->len - width) {
            *bar = n % PCI_BAR_COUNT;
            *offset = gpa - at->at;
            return f;
        }
    }
    return NULL;
}

/* Emulated functions answer outside the bridge's lock: they may work long. They are never removed
 * while the guest runs. */
static uint64_t window_read(struct vpci_bridge *b, uint64_t gpa, unsigned width)
{
    uint32_t bar = 0;
    uint64_t offset = 0;

    vpci_lock(b);
    const struct vpci_function *f = trapped_at(b, gpa, width, &bar, &offset);

    vpci_unlock(b);
    return f != NULL ? f->ops->bar_read(f->state, bar, offset, width) : all_ones(width);
}

static void window_write(struct vpci_bridge *b, uint64_t gpa, unsigned width, uint64_t value)
{
    uint32_t bar = 0;
    uint64_t offset = 0;

    vpci_lock(b);
    const struct vpci_function *f = trapped_at(b, gpa, width, &bar, &offset);

    vpci_unlock(b);
    if (f != NULL) {
        f->ops->bar_write(f->state, bar, offset, width, value);
    }
}

static uint64_t low_read(void *state, uint64_t offset, unsigned width)
{
    struct vpci_bridge *b = state;

    return window_read(b, b->cfg.low.gpa.v + offset, width);
}

static void low_write(void *state, uint64_t offset, unsigned width, uint64_t value)
{
    struct vpci_bridge *b = state;

    window_write(b, b->cfg.low.gpa.v + offset, width, value);
}

static uint64_t high_read(void *state, uint64_t offset, unsigned width)
{
    struct vpci_bridge *b = state;

    return window_read(b, b->cfg.high.gpa.v + offset, width);
}

static void high_write(void *state, uint64_t offset, unsigned width, uint64_t value)
{
    struct vpci_bridge *b = state;

    window_write(b, b->cfg.high.gpa.v + offset, width, value);
}

static int range_check(cordon_gpa gpa, uint64_t len)
{
    if (((gpa.v | len) & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    return gpa.v + len < gpa.v ? -CORDON_ERANGE : 0;
}

/* The three ranges, alone and against each other. */
static int ranges_check(const struct vpci_config *cfg)
{
    const struct vpci_window range[] = {{cfg->ecam, cfg->ecam_len}, cfg->low, cfg->high};
    const size_t count = sizeof(range) / sizeof(range[0]);

    for (size_t i = 0; i < count; i++) {
        int err = range_check(range[i].gpa, range[i].len);

        for (size_t j = 0; err == 0 && j < i; j++) {
            if (range[i].gpa.v < range[j].gpa.v + range[j].len &&
                range[j].gpa.v < range[i].gpa.v + range[i].len) {
                err = -CORDON_EEXIST;
            }
        }
        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int vpci_bridge_init(struct vpci_bridge *b, const struct vpci_config *cfg)
{
    int err;

    if (cfg->domain == NULL || cfg->ecam_len < BUS_BYTES || cfg->ecam_len % BUS_BYTES != 0 ||
        cfg->avoid_count > VPCI_MAX_AVOID) {
        return -CORDON_EINVAL;
    }
    err = ranges_check(cfg);
    for (uint32_t i = 0; err == 0 && i < cfg->avoid_count; i++) {
        err = range_check(cfg->avoid[i].gpa, cfg->avoid[i].len);
    }
    if (err != 0) {
        return err;
    }
    if (cfg->low.gpa.v + cfg->low.len > UINT64_C(1) << 32) {
        return -CORDON_ERANGE;
    }
    *b = (struct vpci_bridge){.cfg = *cfg};
    cordon_lock_init(&b->lock);
    return 0;
}

int vpci_bridge_bus(struct vpci_bridge *b, struct vbus *bus)
{
    const struct vbus_device device[] = {
        {b->cfg.ecam, b->cfg.ecam_len, b, ecam_read, ecam_write, false},
        {b->cfg.low.gpa, b->cfg.low.len, b, low_read, low_write, true},
        {b->cfg.high.gpa, b->cfg.high.len, b, high_read, high_write, true},
    };

    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++) {
        int err = device[i].len != 0 ? vbus_add(bus, &device[i]) : 0;

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

int vpci_insert(struct vpci_bridge *b, uint32_t slot, struct vpci_function *f)
{
    int err = 0;

    if (slot >= VPCI_SLOTS) {
        return -CORDON_ERANGE;
    }
    vpci_lock(b);
    if (b->slot[slot] != NULL) {
        err = -CORDON_EEXIST;
    } else if (f->bridge != NULL) {
        err = -CORDON_EBUSY;
    } else {
        f->bridge = b;
        f->slot = slot;
        b->slot[slot] = f;
    }
    vpci_unlock(b);
    return err;
}

int vpci_remove(struct vpci_function *f)
{
    struct vpci_bridge *b = f->bridge;
    uint32_t command = f->command;
    int err;

    vpci_lock(b);
    f->command = 0;
    err = vpci_bars_drop(f);
    if (err != 0 && err != -CORDON_EPENDING) {
        f->command = command;
    } else {
        if (f->ops->command != NULL) {
            f->ops->command(f->state, 0);
        }
        b->slot[f->slot] = NULL;
        f->bridge = NULL;
        vpci_bars_raise(b); /* others may have waited for its places */
    }
    vpci_unlock(b);
    return err;
}
