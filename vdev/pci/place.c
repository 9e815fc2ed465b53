/*
 * Placement, bus by bus. An item is a BAR or what a bridge must forward for the bus below it. Sizes
 * are summed from the leaves up, largest alignment first; places are given from the root down in
 * the same order by first fit, which never needs more than the sum. A bus whose items do not all
 * fit around what firmware placed is placed anew.
 */
#include "pci/place.h"
#include "pci/bridge_regs.h"
#include <cordon/port.h>

#define ITEM_WINDOW 6u /* slots 0..5 are BARs, 6 and 7 a bridge's windows by class */
#define ITEM_COUNT 8u
#define SHIFT_MAX 62u

struct item {
    struct pci_function *f;
    uint32_t slot;
    uint64_t len;   /* whole pages */
    uint64_t align; /* power of two, a page or more */
    enum pci_class cls;
    bool wide;     /* may lie above 4 GiB */
    bool prefetch; /* may lie in a prefetchable window */
    bool placed;
    uint64_t bus; /* where it is placed, or where firmware left it */
};

static uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static bool fits_machine(const struct pci_host *h, uint64_t len)
{
    for (uint32_t i = 0; i < h->window_count; i++) {
        if (len <= h->window[i].len) {
            return true;
        }
    }
    return false;
}

/* The item in SLOT of function INDEX; false if there is none. */
static bool item_get(const struct pci_host *h, uint32_t index, uint32_t slot, struct item *out)
{
    struct pci_function *f = &h->functions[index];
    bool above_64 = f->parent == PCI_NOBODY || h->functions[f->parent].prefetch_64;
    bool high;

    *out = (struct item){.f = f, .slot = slot};
    if (slot < ITEM_WINDOW) {
        const struct pci_bar *bar = &f->bar[slot];

        if (bar->len == 0 || !fits_machine(h, bar->len)) {
            return false;
        }
        out->len = pci_page_len(bar->len);
        out->align = out->len;
        out->wide = (bar->flags & PCI_BAR_64) != 0;
        out->prefetch = (bar->flags & PCI_BAR_PREFETCH) != 0;
        out->placed = (bar->flags & PCI_BAR_PLACED) != 0;
        out->bus = bar->bus;
        high = out->wide && out->prefetch;
    } else {
        const struct pci_span *span = &f->window[slot - ITEM_WINDOW];

        if (span->len == 0) {
            return false;
        }
        high = slot - ITEM_WINDOW == PCI_HIGH;
        out->len = span->len;
        out->align = span->align;
        out->wide = high;
        out->prefetch = high;
        out->placed = span->placed;
        out->bus = span->bus;
    }
    out->cls = high && above_64 ? PCI_HIGH : PCI_LOW;
    out->wide = out->wide && above_64;
    return true;
}

static void item_place(const struct item *it, uint64_t bus, bool kept)
{
    if (it->slot < ITEM_WINDOW) {
        struct pci_bar *bar = &it->f->bar[it->slot];

        bar->bus = bus;
        bar->flags |= PCI_BAR_PLACED | (kept ? PCI_BAR_KEPT : 0);
    } else {
        it->f->window[it->slot - ITEM_WINDOW].bus = bus;
        it->f->window[it->slot - ITEM_WINDOW].placed = true;
    }
}

/* The end of a placed item of the bus below PARENT that meets [BUS, BUS+LEN); 0 if none does. */
static uint64_t conflict_end(const struct pci_host *h, uint32_t parent, uint64_t bus, uint64_t len)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->functions[i].parent != parent) {
            continue;
        }
        for (uint32_t slot = 0; slot < ITEM_COUNT; slot++) {
            struct item it;

            if (item_get(h, i, slot, &it) && it.placed && it.bus < bus + len &&
                bus < it.bus + it.len) {
                return it.bus + it.len;
            }
        }
    }
    return 0;
}

/* The N-th range that may hold IT, best first. False: no more. */
static bool range_get(const struct pci_host *h, const struct item *it, uint32_t n,
                      struct pci_span *out)
{
    if (it->f->parent != PCI_NOBODY) {
        *out = h->functions[it->f->parent].window[it->cls];
        return n == 0 && out->placed;
    }
    uint32_t first_64 = it->cls == PCI_HIGH ? PCI_WINDOW_64 : 0;

    for (uint32_t i = 0; i < 2 * h->window_count; i++) {
        const struct pci_window *w = &h->window[i % h->window_count];
        uint32_t now_64 = i < h->window_count ? first_64 : first_64 ^ PCI_WINDOW_64;

        if ((w->flags & PCI_WINDOW_64) != now_64 || (now_64 != 0 && !it->wide) ||
            ((w->flags & PCI_WINDOW_PREFETCH) != 0 && !it->prefetch)) {
            continue;
        }
        if (n-- == 0) {
            *out = (struct pci_span){.bus = w->bus, .len = w->len};
            return true;
        }
    }
    return false;
}

/* Lowest free place for IT in a range. Every turn passes one placed item. */
static bool gap_find(const struct pci_host *h, const struct item *it, const struct pci_span *range,
                     uint64_t *out)
{
    uint64_t end = range->bus + range->len;
    uint64_t at = align_up(range->bus == 0 ? 1 : range->bus, it->align);

    while (at >= range->bus && at < end && it->len <= end - at) {
        uint64_t next = conflict_end(h, it->f->parent, at, it->len);

        if (next == 0) {
            *out = at;
            return true;
        }
        at = align_up(next, it->align);
    }
    return false;
}

static bool place_new(const struct pci_host *h, const struct item *it)
{
    struct pci_span range;
    uint64_t bus;

    for (uint32_t n = 0; range_get(h, it, n, &range); n++) {
        if (gap_find(h, it, &range, &bus)) {
            item_place(it, bus, false);
            return true;
        }
    }
    return false;
}

/* Leave IT where firmware put it, if that is a right place. */
static void place_keep(const struct pci_host *h, const struct item *it)
{
    struct pci_span range;

    if (it->bus == 0 || (it->bus & (it->align - 1)) != 0) {
        return;
    }
    for (uint32_t n = 0; range_get(h, it, n, &range); n++) {
        if (it->bus >= range.bus && it->bus - range.bus < range.len &&
            it->len <= range.len - (it->bus - range.bus) &&
            conflict_end(h, it->f->parent, it->bus, it->len) == 0) {
            item_place(it, it->bus, true);
            return;
        }
    }
}

/* Call FN for each item of the bus below PARENT, largest alignment first. True if each call was. */
static bool each_item(const struct pci_host *h, uint32_t parent,
                      bool (*fn)(const struct pci_host *h, const struct item *it))
{
    bool all = true;

    for (uint32_t shift = SHIFT_MAX; shift >= CORDON_PAGE_SHIFT; shift--) {
        for (uint32_t i = 0; i < h->count; i++) {
            if (h->functions[i].parent != parent) {
                continue;
            }
            for (uint32_t slot = 0; slot < ITEM_COUNT; slot++) {
                struct item it;

                if (item_get(h, i, slot, &it) && it.align == UINT64_C(1) << shift) {
                    all = fn(h, &it) && all;
                }
            }
        }
    }
    return all;
}

static bool step_keep(const struct pci_host *h, const struct item *it)
{
    place_keep(h, it);
    return true;
}

static bool step_new(const struct pci_host *h, const struct item *it)
{
    return it->placed || place_new(h, it);
}

static bool step_forget(const struct pci_host *h, const struct item *it)
{
    (void)h;
    if (it->slot < ITEM_WINDOW) {
        it->f->bar[it->slot].flags &= ~(PCI_BAR_PLACED | PCI_BAR_KEPT);
    } else {
        it->f->window[it->slot - ITEM_WINDOW].placed = false;
    }
    return true;
}

static void bus_place(const struct pci_host *h, uint32_t parent)
{
    (void)each_item(h, parent, step_keep);
    if (!each_item(h, parent, step_new)) {
        (void)each_item(h, parent, step_forget);
        (void)each_item(h, parent, step_new);
    }
}

/* What the bridge at INDEX must forward for one class: sum of what is below, largest first. */
static struct pci_span bridge_need(const struct pci_host *h, uint32_t index, enum pci_class cls)
{
    struct pci_span need = {.align = PCI_BRIDGE_GRAIN};

    for (uint32_t shift = SHIFT_MAX; shift >= CORDON_PAGE_SHIFT; shift--) {
        for (uint32_t i = index + 1; i < h->count; i++) {
            if (h->functions[i].parent != index) {
                continue;
            }
            for (uint32_t slot = 0; slot < ITEM_COUNT; slot++) {
                struct item it;

                if (item_get(h, i, slot, &it) && it.cls == cls &&
                    it.align == UINT64_C(1) << shift) {
                    need.len = align_up(need.len, it.align) + it.len;
                    need.align = it.align > need.align ? it.align : need.align;
                }
            }
        }
    }
    need.len = align_up(need.len, PCI_BRIDGE_GRAIN);
    return need;
}

static void needs_sum(const struct pci_host *h)
{
    for (uint32_t i = h->count; i-- > 0;) {
        struct pci_function *f = &h->functions[i];

        if (f->bridge) {
            bridge_windows_read(h, f);
            for (uint32_t cls = PCI_LOW; cls <= PCI_HIGH; cls++) {
                uint64_t found = f->window[cls].bus;

                f->window[cls] = bridge_need(h, i, (enum pci_class)cls);
                f->window[cls].bus = found;
            }
        }
    }
}

/* HPAs, registers and the report, once every place is known. */
static void places_settle(struct pci_host *h, struct pci_place_report *report)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct pci_function *f = &h->functions[i];

        for (uint32_t n = 0; n < PCI_BAR_COUNT; n++) {
            struct pci_bar *bar = &f->bar[n];

            report->io += (bar->flags & PCI_BAR_IO) != 0 ? 1 : 0;
            if (bar->len == 0) {
                continue;
            }
            if ((bar->flags & PCI_BAR_PLACED) != 0) {
                bar->hpa = bus_to_hpa(h, bar->bus);
                report->placed++;
                report->kept += (bar->flags & PCI_BAR_KEPT) != 0 ? 1 : 0;
            } else {
                bar->bus = 0;
                report->unplaced++;
                if (f->broken.why == PCI_WHY_NONE) {
                    f->broken = (struct pci_refusal){PCI_WHY_BAR_UNPLACED, f->bdf, n};
                }
            }
        }
        if (!pci_place_write(h, f) && f->broken.why == PCI_WHY_NONE) {
            f->broken = (struct pci_refusal){.why = PCI_WHY_BAR_STUCK, .bdf = f->bdf};
        }
        if (f->bridge) {
            bridge_windows_write(h, f);
        }
    }
}

void pci_place(struct pci_host *h, struct pci_place_report *report)
{
    *report = (struct pci_place_report){0};
    for (uint32_t i = 0; i < h->count; i++) {
        pci_size(h, &h->functions[i]);
    }
    needs_sum(h);
    bus_place(h, PCI_NOBODY);
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->functions[i].bridge) {
            bus_place(h, i);
        }
    }
    places_settle(h, report);
}
