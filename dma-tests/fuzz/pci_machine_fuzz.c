/*
 * Devices that say anything: configuration spaces made of chance, bridges among them, resets that
 * hang or swap. Scan, placement, groups and assignment must end; nothing masters the bus unless it
 * was assigned; no two BARs share a page, and all lie inside the windows.
 */
#include "pci/group.h"
#include "pci/place.h"
#include "pci/scan.h"
#include "pci_world.h"
#include <cordon/error.h>
#include <string.h>

#define FUNCTIONS 12
#define GUEST 1u

static struct {
    struct fpci fake;
    struct pci_host host;
    struct pci_function table[FUNCTIONS];
} w;

/* A few dwords of configuration space as the input says: what they read, and what sticks. */
static void config_scramble(struct fpci_fn *f, struct input *in)
{
    uint32_t words = input_byte(in) % 24;

    for (uint32_t i = 0; i < words; i++) {
        uint32_t at = input_byte(in) * 4u;

        if ((input_byte(in) & 3u) == 0) {
            at |= 0x400u; /* extended space now and then */
        }
        at &= 0xffcu;
        if (at == PCI_COMMAND || at == PCI_BUSES) {
            continue; /* honest where the judge looks: see the unit tests for the liars */
        }
        fpci_set(f, at, input_u32(in));
        if ((input_byte(in) & 1u) != 0) {
            fpci_sticks(f, at, input_u32(in));
        }
    }
}

static void capabilities_add(struct fpci_fn *f, struct input *in)
{
    uint8_t which = input_byte(in);
    uint32_t at = 0x40u + (input_byte(in) & 0x3cu);

    if ((which & 1u) != 0) {
        fpci_cap_pcie(f, at, input_byte(in) & 0xfu, (which & 0x80u) != 0);
    }
    if ((which & 2u) != 0) {
        fpci_cap_pm(f, 0x40u + (input_byte(in) & 0xbcu));
        f->pm_resets = (which & 0x40u) != 0;
    }
    if ((which & 4u) != 0) {
        fpci_cap_msi(f, 0x40u + (input_byte(in) & 0x7cu), which >> 5, PCI_MSI_64);
    }
    if ((which & 8u) != 0) {
        fpci_cap_af(f, 0x40u + (input_byte(in) & 0xbcu));
    }
    if ((which & 16u) != 0) {
        fpci_ext(f, 0x100, input_byte(in) & 0x1fu, 0);
        fpci_sticks(f, 0x104, 0xffff0000u);
        fpci_set(f, 0x104, input_byte(in));
    }
}

/* Where firmware put a BAR: anywhere, or in a crowded corner of the window. */
static uint32_t firmware_place(struct input *in)
{
    uint32_t at = input_u32(in) & ~0xfu;

    return (at & 0x80u) != 0 ? at : (uint32_t)FPCI_LOW + (at & 0x3f00u);
}

static void endpoint_add(int parent, struct input *in)
{
    uint8_t how = input_byte(in);
    int index = fpci_add(&w.fake, parent, input_byte(in) & 31u, how & 7u, 0x1234 + (how & 1u),
                         0x11e8, (how & 2u) != 0 ? PCI_CLASS_NVME : 0x020000);
    struct fpci_fn *f = &w.fake.fn[index];

    f->kind = (how & 2u) != 0 ? FPCI_NVME : FPCI_PLAIN;
    for (uint32_t n = 0; n < PCI_BAR_COUNT; n += 2) {
        uint8_t shift = input_byte(in);

        if ((shift & 0x80u) != 0) {
            fpci_bar(f, n, UINT64_C(16) << (shift & 31u),
                     (shift & 0x40u) != 0 ? PCI_BAR_TYPE_64 | PCI_BAR_IS_PREFETCH : 0);
            fpci_set(f, PCI_BAR(n), firmware_place(in) | fpci_get(f, PCI_BAR(n)));
        }
    }
    fpci_set(f, PCI_COMMAND, input_byte(in) & 7u);
    fpci_set(f, PCI_HEADER, (how & 8u) != 0 ? PCI_HEADER_MULTI : 0);
    capabilities_add(f, in);
    f->reset_hangs = (how & 0xf0u) == 0x10u;
    f->reset_swaps = (how & 0xf0u) == 0x20u;
    if ((how & 0xc0u) == 0xc0u) {
        config_scramble(f, in);
        memset(f->bar_len, 0, sizeof(f->bar_len)); /* its BARs may be anything: it decodes none */
    }
}

static bool same_place(int a, int b)
{
    return w.fake.fn[a].parent == w.fake.fn[b].parent && w.fake.fn[a].devfn == w.fake.fn[b].devfn;
}

static void machine_make(struct input *in)
{
    int parents[FUNCTIONS] = {-1};
    int count = 1;
    uint32_t functions = 1 + input_byte(in) % (FUNCTIONS + 2);

    fpci_init(&w.fake);
    w.fake.last_bus = input_byte(in);
    for (uint32_t i = 0; i < functions; i++) {
        uint8_t what = input_byte(in);
        int parent = parents[(what >> 2) % count];

        if ((what & 3u) == 0 && count < FUNCTIONS) {
            int bridge = fpci_bridge(&w.fake, parent, input_byte(in) & 31u, 0);
            struct fpci_fn *f = &w.fake.fn[bridge];

            fpci_set(f, PCI_BUSES, input_u32(in));
            fpci_set(f, PCI_BRIDGE_MEMORY, input_u32(in) & 0xfff0fff0u);
            capabilities_add(f, in);
            parents[count++] = bridge;
        } else {
            endpoint_add(parent, in);
        }
        for (int j = 0; j + 1 < w.fake.count; j++) {
            if (same_place(j, w.fake.count - 1)) { /* one function a place */
                w.fake.count--;
                count -= (what & 3u) == 0 && count > 1 ? 1 : 0;
                break;
            }
        }
    }
}

static void check_off_the_bus(void)
{
    for (int i = 0; i < w.fake.count; i++) {
        const struct fpci_fn *f = &w.fake.fn[i];
        uint32_t bdf = f->devfn;
        bool found = f->parent < 0 && (f->devfn & 7u) == 0;

        if (found && pci_find(&w.host, bdf) != NULL && w.fake.now_us >= f->busy_until) {
            must((fpci_get(f, PCI_COMMAND) & PCI_COMMAND_MASTER) == 0);
        }
    }
    for (uint32_t i = 0; i < w.host.count; i++) {
        const struct pci_function *f = &w.table[i];

        must(f->assigned || f->broken.why == PCI_WHY_MASTER_STUCK ||
             (pci_read(&w.host, f->bdf, PCI_COMMAND) & PCI_COMMAND_MASTER) == 0 ||
             pci_read(&w.host, f->bdf, PCI_ID) == PCI_ABSENT);
    }
}

static void check_places(void)
{
    for (uint32_t i = 0; i < w.host.count * PCI_BAR_COUNT; i++) {
        const struct pci_bar *a = &w.table[i / PCI_BAR_COUNT].bar[i % PCI_BAR_COUNT];

        if ((a->flags & PCI_BAR_PLACED) == 0) {
            continue;
        }
        must(a->len >= 16 && (a->len & (a->len - 1)) == 0);
        must((a->bus & (a->len - 1)) == 0 && (a->hpa.v & (CORDON_PAGE_SIZE - 1)) == 0);
        must((a->hpa.v >= FPCI_LOW && a->hpa.v + a->len <= FPCI_LOW + FPCI_LOW_LEN) ||
             (a->hpa.v >= FPCI_HIGH && a->hpa.v + a->len <= FPCI_HIGH + FPCI_HIGH_LEN));
        for (uint32_t j = 0; j < i; j++) {
            const struct pci_bar *b = &w.table[j / PCI_BAR_COUNT].bar[j % PCI_BAR_COUNT];

            must((b->flags & PCI_BAR_PLACED) == 0 || a->hpa.v + pci_page_len(a->len) <= b->hpa.v ||
                 b->hpa.v + pci_page_len(b->len) <= a->hpa.v);
        }
    }
}

static void check_parents(void)
{
    for (uint32_t i = 0; i < w.host.count; i++) {
        const struct pci_function *f = &w.table[i];

        must(f->parent == PCI_NOBODY || (f->parent < i && w.table[f->parent].bridge));
        must(f->group <= i && w.table[f->group].group == f->group);
        for (uint32_t j = 0; j < i; j++) {
            must(w.table[j].bdf != f->bdf);
        }
    }
}

/* Give away whatever can be given, and take it back. */
static void assign_all(void)
{
    static cordon_iommu *iommus[1];
    const struct pci_assign_config cfg = {
        .iommus = iommus, .iommu_count = 1, .guest = GUEST, .no_reset_allowed = true};
    struct pci_refusal why;

    for (uint32_t i = 0; i < w.host.count; i++) {
        int err = pci_claim(&w.host, w.table[i].bdf, GUEST, &why);

        must(err == 0 || why.why != PCI_WHY_NONE);
    }
    for (uint32_t i = 0; i < w.host.count; i++) {
        struct pci_assignment a = {.stage = PCI_STAGE_FREE};
        int err;

        judge_reset();
        if (pci_assign_begin(&a, &w.host, w.table[i].bdf, &cfg) != 0) {
            must(a.stage == PCI_STAGE_FREE && a.why.why != PCI_WHY_NONE);
            must(!w.table[i].assigned);
            continue;
        }
        err = pci_assign_finish(&a);
        must(err == 0 ? a.stage == PCI_STAGE_ASSIGNED : a.why.why != PCI_WHY_NONE);
        if (err == 0) {
            pci_master(&w.host, a.f, true);
            err = pci_release(&a);
            must(err == 0 || a.stage == PCI_STAGE_LEAVING);
            must(a.stage == PCI_STAGE_LEAVING || judge.resources == 0);
            w.table[i].assigned = false;
        }
        must(!w.table[i].assigned);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct pci_scan_report s;
    struct pci_place_report p;

    machine_make(&in);
    fpci_host(&w.fake, &w.host, w.table, FUNCTIONS);
    int err = pci_scan(&w.host, &s);

    must(err == 0 || err == -CORDON_ELIMIT);
    must(s.functions == w.host.count && (s.dropped != 0) == (err != 0));
    check_off_the_bus();
    pci_place(&w.host, &p);
    check_places();
    pci_groups_make(&w.host);
    check_parents();
    assign_all();
    check_off_the_bus();
    return 0;
}
