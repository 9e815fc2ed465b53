/*
 * Virtual BARs. What the guest writes is only remembered; a BAR is decoded while it is enabled,
 * whole, and stands where a BAR may: inside a window, on nothing else. Moving is two transactions,
 * for the old place must go even if the new one is refused.
 */
#include "pci/vpci.h"
#include <cordon/error.h>

static bool is_wanted(const struct vpci_function *f, const struct vpci_bar *bar)
{
    return (f->command & PCI_COMMAND_MEMORY) != 0 && bar->len != 0 && bar->sizing == 0 &&
           bar->value != 0;
}

/* The BAR that register INDEX belongs to, and whether it is its upper half. Null: none. */
static uint32_t bar_of(const struct vpci_function *f, uint32_t index, bool *high)
{
    *high = false;
    if (f->bar[index].len == 0 && index > 0 && f->bar[index - 1].len != 0 &&
        (f->bar[index - 1].flags & PCI_BAR_64) != 0) {
        *high = true;
        return index - 1;
    }
    return f->bar[index].len != 0 ? index : PCI_BAR_COUNT;
}

uint32_t vpci_bar_read(const struct vpci_function *f, uint32_t index)
{
    bool high;
    uint32_t at = bar_of(f, index, &high);

    if (at == PCI_BAR_COUNT) {
        return 0;
    }
    const struct vpci_bar *bar = &f->bar[at];

    if (high) {
        return (uint32_t)(bar->value >> 32);
    }
    return (uint32_t)bar->value | ((bar->flags & PCI_BAR_64) != 0 ? PCI_BAR_TYPE_64 : 0) |
           ((bar->flags & PCI_BAR_PREFETCH) != 0 ? PCI_BAR_IS_PREFETCH : 0);
}

void vpci_bar_write(struct vpci_function *f, uint32_t index, uint32_t value, uint32_t mask)
{
    bool high;
    uint32_t at = bar_of(f, index, &high);

    if (at == PCI_BAR_COUNT) {
        return;
    }
    struct vpci_bar *bar = &f->bar[at];
    uint32_t shift = high ? 32 : 0;
    uint32_t half = 1u << (high ? 1 : 0);
    uint64_t bits = (uint64_t)mask << shift;

    bar->value = ((bar->value & ~bits) | ((uint64_t)value << shift & bits)) & ~(bar->len - 1);
    if ((value & mask) == 0xffffffffu) {
        bar->sizing |= half;
    } else if (mask != 0) {
        bar->sizing &= ~half;
    }
}

/* ---- taking away ---------------------------------------------------------------------------- */

int vpci_bars_drop(struct vpci_function *f)
{
    struct cordon_op ops[PCI_BAR_COUNT];
    uint32_t dropped = 0;
    size_t count = 0;
    int err = 0;

    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        struct vpci_bar *bar = &f->bar[i];

        if (!bar->decoded || (is_wanted(f, bar) && bar->value == bar->at)) {
            continue;
        }
        dropped |= 1u << i;
        if (!bar->trapped) {
            ops[count++] = (struct cordon_op){
                .kind = CORDON_OP_REVOKE, .gpa = cordon_gpa_make(bar->at), .len = bar->len};
        }
    }
    if (count != 0) {
        err = cordon_change(f->bridge->cfg.domain, ops, count);
    }
    if (err != 0 && err != -CORDON_EPENDING) {
        return err;
    }
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        f->bar[i].decoded = f->bar[i].decoded && (dropped & (1u << i)) == 0;
    }
    return err;
}

/* ---- placing -------------------------------------------------------------------------------- */

static bool meets(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static bool inside(const struct vpci_window *w, const struct vpci_bar *bar)
{
    return w->len >= bar->len && bar->value >= w->gpa.v &&
           bar->value - w->gpa.v <= w->len - bar->len;
}

static bool meets_other_bar(const struct vpci_bridge *b, const struct vpci_bar *bar)
{
    for (uint32_t n = 0; n < VPCI_SLOTS * PCI_BAR_COUNT; n++) {
        const struct vpci_function *f = b->slot[n / PCI_BAR_COUNT];

        if (f != NULL) {
            const struct vpci_bar *other = &f->bar[n % PCI_BAR_COUNT];

            if (other->decoded && meets(bar->value, bar->len, other->at, other->len)) {
                return true;
            }
        }
    }
    return false;
}

/* May BAR stand where it was put? */
static enum pci_why place_check(const struct vpci_bridge *b, const struct vpci_bar *bar)
{
    struct cordon_region_info region;

    for (uint32_t i = 0; i < b->cfg.avoid_count; i++) {
        const struct vpci_avoid *avoid = &b->cfg.avoid[i];

        if (meets(bar->value, bar->len, avoid->gpa.v, avoid->len)) {
            return avoid->why;
        }
    }
    if (meets(bar->value, bar->len, b->cfg.ecam.v, b->cfg.ecam_len)) {
        return PCI_WHY_ON_CONFIG_SPACE;
    }
    if (meets_other_bar(b, bar)) {
        return PCI_WHY_ON_BAR;
    }
    if (cordon_region_find(b->cfg.domain, cordon_gpa_make(bar->value), true, &region) == 0 &&
        meets(bar->value, bar->len, region.gpa.v, region.len)) {
        return (region.flags & CORDON_REGION_MMIO) != 0 ? PCI_WHY_ON_DEVICE : PCI_WHY_ON_RAM;
    }
    return inside(&b->cfg.low, bar) || inside(&b->cfg.high, bar) ? PCI_WHY_NONE : PCI_WHY_OUTSIDE;
}

static int bar_grant(struct vpci_bridge *b, const struct vpci_bar *bar)
{
    const struct cordon_extent extent = {.hpa = bar->hpa, .len = bar->len};
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .flags = CORDON_REGION_MMIO,
                                 .gpa = cordon_gpa_make(bar->value),
                                 .len = bar->len,
                                 .perms = CORDON_RW,
                                 .extents = &extent,
                                 .extent_count = 1};
    int err = cordon_change(b->cfg.domain, &op, 1);

    /* Its pages may still be on their way out of their last place. */
    if (err == -CORDON_EPERM && cordon_retire(b->cfg.domain) == 0) {
        err = cordon_change(b->cfg.domain, &op, 1);
    }
    return err;
}

static void bar_raise(struct vpci_function *f, struct vpci_bar *bar)
{
    enum pci_why why = place_check(f->bridge, bar);

    if (why == PCI_WHY_NONE && !bar->trapped && bar_grant(f->bridge, bar) != 0) {
        why = PCI_WHY_MAP;
    }
    if (why == PCI_WHY_NONE) {
        bar->decoded = true;
        bar->at = bar->value;
        bar->why = PCI_WHY_NONE;
        f->stats.placed++;
        return;
    }
    if (bar->why != why || bar->why_at != bar->value) { /* said once, though tried again */
        bar->why = why;
        bar->why_at = bar->value;
        f->stats.refused++;
        f->stats.last =
            (struct pci_refusal){.why = why, .bdf = PCI_BDF(0, f->slot, 0), .value = bar->value};
    }
}

void vpci_bars_raise(struct vpci_bridge *b)
{
    for (uint32_t n = 0; n < VPCI_SLOTS * PCI_BAR_COUNT; n++) {
        struct vpci_function *f = b->slot[n / PCI_BAR_COUNT];
        struct vpci_bar *bar = f != NULL ? &f->bar[n % PCI_BAR_COUNT] : NULL;

        if (bar != NULL && is_wanted(f, bar) && !bar->decoded) {
            bar_raise(f, bar);
        }
    }
}

bool vpci_bars_decoded(const struct vpci_function *f)
{
    for (uint32_t i = 0; i < PCI_BAR_COUNT; i++) {
        if (f->bar[i].decoded) {
            return true;
        }
    }
    return false;
}
