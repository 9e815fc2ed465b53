/*
 * Enumeration: every bus once, depth first, with a stack of our own. [PCIe 7.3; PCI-to-PCI bridge
 * 3.x]
 *
 * A bus is first listed whole, each function taken off the bus as it is found; only then are the
 * numbers of its bridges judged together, so that no configuration request has two takers.
 */
#include "pci/scan.h"
#include "pci/caps.h"
#include <cordon/error.h>
#include <cordon/port.h>

#define CRS_WAIT_US \
    UINT64_C(1000000)  /* a function may ask to be tried again for 1 s [PCIe 2.3.1] */
#define CRS_ID 0x0001u /* vendor id that means so */

/* A bus being walked: its bridges are among the functions [next, end). */
struct level {
    uint32_t bridge; /* above this bus, or PCI_NOBODY */
    uint32_t bus;
    uint32_t limit; /* last bus number that may be used below */
    uint32_t next;
    uint32_t end;
    bool numbered; /* the bridge above got its numbers here */
};

struct scan {
    struct pci_host *h;
    struct pci_scan_report *report;
    uint32_t next_bus; /* lowest number not yet given to a bus */
    uint32_t depth;
    struct level level[PCI_MAX_DEPTH];
};

static uint32_t read_id(const struct pci_host *h, uint32_t bdf)
{
    uint64_t start = cordon_port_time_us(h->cookie);
    uint32_t id = pci_read(h, bdf, PCI_ID);

    while ((id & 0xffffu) == CRS_ID && cordon_port_time_us(h->cookie) - start < CRS_WAIT_US) {
        cordon_port_relax(h->cookie);
        id = pci_read(h, bdf, PCI_ID);
    }
    return id;
}

/* Off the bus, whether or not there is room to remember it. */
static void function_silence(struct scan *s, uint32_t bdf, uint32_t found_command)
{
    pci_command(s->h, bdf, PCI_COMMAND_MASTER, 0);
    if ((found_command & PCI_COMMAND_MASTER) != 0) {
        if (s->report->masters == 0) {
            s->report->first_master = bdf;
        }
        s->report->masters++;
    }
}

static void bridge_close(const struct pci_host *h, uint32_t bdf)
{
    pci_change(h, bdf, PCI_BUSES, 0xffffffffu, 0x00ffffffu, 0);
}

static void function_add(struct scan *s, const struct level *l, uint32_t bdf, uint32_t id)
{
    struct pci_host *h = s->h;
    uint32_t command = pci_read(h, bdf, PCI_COMMAND) & 0xffffu;
    uint32_t type = PCI_HEADER_TYPE(pci_read(h, bdf, PCI_HEADER));

    function_silence(s, bdf, command);
    if (h->count == h->capacity) {
        if (type == 1) {
            bridge_close(h, bdf);
        }
        s->report->dropped++;
        return;
    }
    struct pci_function *f = &h->functions[h->count++];

    *f = (struct pci_function){.bdf = bdf,
                               .parent = l->bridge,
                               .vendor = (uint16_t)id,
                               .device = (uint16_t)(id >> 16),
                               .class_code = pci_read(h, bdf, PCI_CLASS) >> 8,
                               .found_command = (uint16_t)command,
                               .bridge = type == 1,
                               .group = h->count - 1};
    if (type > 1) {
        f->broken = (struct pci_refusal){.why = PCI_WHY_HEADER, .bdf = bdf, .value = type};
    } else {
        pci_caps_walk(h, f);
        pci_caps_close(h, f);
    }
    if ((pci_read(h, bdf, PCI_COMMAND) & PCI_COMMAND_MASTER) != 0) {
        f->broken = (struct pci_refusal){.why = PCI_WHY_MASTER_STUCK, .bdf = bdf};
    }
    s->report->functions++;
    s->report->bridges += f->bridge ? 1 : 0;
}

static void slot_list(struct scan *s, const struct level *l, uint32_t dev)
{
    uint32_t start = s->h->count;
    uint32_t found = 0;
    uint32_t functions = 1;

    for (uint32_t fn = 0; fn < functions; fn++) {
        uint32_t bdf = PCI_BDF(l->bus, dev, fn);
        uint32_t id = read_id(s->h, bdf);

        if ((id & 0xffffu) == 0xffffu || (id & 0xffffu) == 0 || (id & 0xffffu) == CRS_ID) {
            if (fn == 0) {
                return; /* a slot without function 0 is empty [PCI 3.2.2.3.4] */
            }
            continue;
        }
        if (fn == 0 && (pci_read(s->h, bdf, PCI_HEADER) & PCI_HEADER_MULTI) != 0) {
            functions = 8;
        }
        function_add(s, l, bdf, id);
        found++;
    }
    for (uint32_t i = start; i < s->h->count; i++) {
        s->h->functions[i].multi = found > 1;
    }
}

/* Are this bridge's numbers usable: on this bus, inside the range, beyond all given so far? */
static bool numbers_valid(const struct level *l, uint32_t buses, uint32_t *next_bus)
{
    uint32_t primary = buses & 0xffu;
    uint32_t secondary = (buses >> 8) & 0xffu;
    uint32_t subordinate = (buses >> 16) & 0xffu;

    if (primary != l->bus || secondary < *next_bus || subordinate < secondary ||
        subordinate > l->limit) {
        return false;
    }
    *next_bus = subordinate + 1;
    return true;
}

/* Keep the numbers of all bridges of the bus, or none of them. */
static void bridges_judge(struct scan *s, const struct level *l)
{
    struct pci_host *h = s->h;
    uint32_t next_bus = s->next_bus;
    bool keep = true;

    for (uint32_t i = l->next; i < l->end; i++) {
        struct pci_function *f = &h->functions[i];

        if (f->bridge) {
            uint32_t buses = pci_read(h, f->bdf, PCI_BUSES);

            keep = keep && numbers_valid(l, buses, &next_bus);
            f->secondary = (uint8_t)(buses >> 8);
            f->subordinate = (uint8_t)(buses >> 16);
        }
    }
    for (uint32_t i = l->next; i < l->end && !keep; i++) {
        struct pci_function *f = &h->functions[i];

        if (f->bridge) {
            bridge_close(h, f->bdf);
            f->secondary = 0;
            f->subordinate = 0;
        }
    }
}

static void bus_list(struct scan *s, struct level *l)
{
    s->report->buses++;
    l->next = s->h->count;
    for (uint32_t dev = 0; dev < 32; dev++) {
        slot_list(s, l, dev);
    }
    l->end = s->h->count;
    bridges_judge(s, l);
}

static void bridge_numbers(const struct pci_host *h, const struct pci_function *f)
{
    uint32_t buses =
        PCI_BUS_OF(f->bdf) | (uint32_t)f->secondary << 8 | (uint32_t)f->subordinate << 16;

    pci_change(h, f->bdf, PCI_BUSES, 0xffffffffu, 0x00ffffffu, buses);
}

/* Go below the bridge at INDEX, if depth and numbers allow. */
static void bridge_enter(struct scan *s, const struct level *l, uint32_t index)
{
    struct pci_function *f = &s->h->functions[index];

    if (f->broken.why != PCI_WHY_NONE || s->depth == PCI_MAX_DEPTH ||
        (f->secondary == 0 && s->next_bus > l->limit)) {
        if (f->broken.why == PCI_WHY_NONE) {
            f->broken = (struct pci_refusal){.why = PCI_WHY_DEPTH, .bdf = f->bdf};
        }
        bridge_close(s->h, f->bdf);
        f->secondary = 0;
        f->subordinate = 0;
        return;
    }
    bool number = f->secondary == 0;

    if (number) {
        f->secondary = (uint8_t)s->next_bus;
        f->subordinate = (uint8_t)l->limit; /* until what is below has been counted */
        bridge_numbers(s->h, f);
        s->report->renumbered++;
    }
    s->next_bus = f->secondary + 1u;
    s->level[s->depth] = (struct level){
        .bridge = index, .bus = f->secondary, .limit = f->subordinate, .numbered = number};
    bus_list(s, &s->level[s->depth++]);
}

/* All below the bridge is known: give it its last bus number. */
static void bridge_leave(struct scan *s, const struct level *l)
{
    struct pci_function *f = &s->h->functions[l->bridge];

    if (l->numbered) {
        f->subordinate = (uint8_t)(s->next_bus - 1);
        bridge_numbers(s->h, f);
    } else {
        s->next_bus = f->subordinate + 1u;
    }
}

int pci_scan(struct pci_host *h, struct pci_scan_report *report)
{
    struct scan s = {.h = h, .report = report, .depth = 1};
    int err = pci_host_check(h);

    *report = (struct pci_scan_report){0};
    if (err != 0) {
        return err;
    }
    h->count = 0;
    s.next_bus = h->first_bus + 1u;
    s.level[0] = (struct level){.bridge = PCI_NOBODY, .bus = h->first_bus, .limit = h->last_bus};
    bus_list(&s, &s.level[0]);
    while (s.depth > 0) {
        struct level *l = &s.level[s.depth - 1];

        if (l->next < l->end) {
            uint32_t index = l->next++;

            if (h->functions[index].bridge) {
                bridge_enter(&s, l, index);
            }
        } else {
            if (l->bridge != PCI_NOBODY) {
                bridge_leave(&s, l);
            }
            s.depth--;
        }
    }
    return report->dropped != 0 ? -CORDON_ELIMIT : 0;
}
