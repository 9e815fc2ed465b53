/*
 * A guest that writes every register of its PCI bus at random, while the map sometimes refuses,
 * resets take their time, and a function may be lost in one. Whatever it does: the real command
 * registers get memory, mastering and "no INTx" and nothing else; a function masters the bus only
 * while it is the guest's and whole; a BAR is mapped exactly where the guest sees it decoded, over
 * nothing else; what is absent reads as all ones; a function that is being reset is left alone.
 */
#include "pci/group.h"
#include "pci/own.h"
#include "pci/place.h"
#include "pci/scan.h"
#include "pci_world.h"
#include <cordon/error.h>

#define GIVEN 3
#define OWN_SLOT 0u

static const uint32_t slot_of[GIVEN] = {1, 8, 31};

static struct world {
    struct fpci fake;
    struct pci_host host;
    struct pci_function table[16];
    struct pci_assignment a[GIVEN];
    struct vpci_pass pass[GIVEN];
    struct own_function own;
    struct vpci_bridge bridge;
    struct vbus bus;
    uint32_t own_calls;
} w;

/* As made once: every run begins with a copy. */
static struct world fresh;
static struct judge fresh_judge;

static int on_range(void *arg, cordon_gpa gpa, uint64_t len)
{
    (void)arg;
    must(gpa.v % CORDON_PAGE_SIZE == 0 && len % CORDON_PAGE_SIZE == 0);
    must(len != 0 && len <= 0x100000 && gpa.v + len > gpa.v);
    w.own_calls++;
    return gpa.v % 3 == 0 ? 0 : -CORDON_EPERM;
}

static int on_report(void *arg, const uint8_t *bytes, uint32_t len)
{
    (void)arg;
    must(len != 0 && len <= OWN_REPORT_BYTES && bytes[len - 1] <= 255);
    w.own_calls++;
    return 0;
}

static void devices_make(void)
{
    struct fpci_fn *f = &w.fake.fn[fpci_add(&w.fake, -1, 9, 0, 0x1b36, 0x0010, PCI_CLASS_NVME)];

    fpci_bar(f, 0, 0x4000, PCI_BAR_TYPE_64);
    fpci_cap_pcie(f, 0x80, PCI_EXP_TYPE_INTEGRATED, true);
    fpci_cap_pm(f, 0x60);
    fpci_cap_msix(f, 0x40, 65, 0x2000, 0x3000);
    f = &w.fake.fn[fpci_add(&w.fake, -1, 17, 0, 0x1234, 0x11e8, 0x00ff00)];
    fpci_bar(f, 0, 0x100000, 0);
    fpci_bar(f, 2, 0x100, 0);
    fpci_cap_msi(f, 0x40, 0, PCI_MSI_64);
    f = &w.fake.fn[fpci_add(&w.fake, -1, 20, 0, 0x1af4, 0x1042, 0x010000)];
    f->kind = FPCI_VIRTIO;
    f->features = UINT64_C(3) << 32;
    fpci_bar(f, 1, 0x1000, 0);
    fpci_bar(f, 4, 0x4000, PCI_BAR_TYPE_64 | PCI_BAR_IS_PREFETCH);
    fpci_bar(f, 0, 0x2000, 0);
    fpci_cap_virtio(f, 0x40, VIRTIO_CAP_TYPE_COMMON, 0, 0, 0x1000);
    fpci_cap_virtio(f, 0x50, VIRTIO_CAP_TYPE_PCI, 0, 0, 4);
    fpci_cap_pcie(f, 0x70, PCI_EXP_TYPE_ENDPOINT, true);
    fpci_cap_msi(f, 0xb0, 3, PCI_MSI_64 | PCI_MSI_MASKABLE);
}

static void guest_make(void)
{
    static struct {
        int unused;
    } domain;
    struct vpci_config vc = {.domain = (cordon_domain *)(void *)&domain,
                             .cookie = &w.fake,
                             .ecam = {W_ECAM},
                             .ecam_len = 0x100000,
                             .low = {{W_LOW}, W_LOW_LEN},
                             .high = {{W_HIGH}, W_HIGH_LEN},
                             .avoid_count = 2};
    const struct own_calls calls = {.give = on_range, .take = on_range, .report = on_report};

    vc.avoid[0] = (struct vpci_avoid){{W_FILES}, 0x2000, PCI_WHY_ON_INTERRUPT_FILE};
    vc.avoid[1] = (struct vpci_avoid){{W_AVOID}, W_AVOID_LEN, PCI_WHY_ON_DEVICE};
    must(vpci_bridge_init(&w.bridge, &vc) == 0);
    must(vpci_bridge_bus(&w.bridge, &w.bus) == 0);
    own_init(&w.own, &calls, 0x100000, false);
    must(vpci_insert(&w.bridge, OWN_SLOT, &w.own.fn) == 0);
}

static void world_make(void)
{
    static cordon_iommu *iommus[1];
    struct pci_assign_config cfg = {
        .iommus = iommus, .iommu_count = 1, .guest = 1, .no_reset_allowed = true};
    struct pci_scan_report s;
    struct pci_place_report p;
    struct pci_refusal why;

    w.bus.count = 0;
    w.own_calls = 0;
    judge_reset();
    fpci_init(&w.fake);
    w.fake.last_bus = 0;
    devices_make();
    fpci_host(&w.fake, &w.host, w.table, 16);
    must(pci_scan(&w.host, &s) == 0);
    pci_place(&w.host, &p);
    pci_groups_make(&w.host);
    guest_make();
    cfg.domain = w.bridge.cfg.domain;
    for (uint32_t i = 0; i < GIVEN; i++) {
        must(pci_claim(&w.host, w.table[i].bdf, 1, &why) == 0);
        must(pci_assign_begin(&w.a[i], &w.host, w.table[i].bdf, &cfg) == 0);
        must(pci_assign_finish(&w.a[i]) == 0);
        vpci_pass_init(&w.pass[i], &w.a[i]);
        must(vpci_insert(&w.bridge, slot_of[i], &w.pass[i].fn) == 0);
        w.fake.fn[i].commands = 0;
    }
}

static void world_begin(void)
{
    static bool made;

    if (!made) {
        world_make();
        fresh = w;
        fresh_judge = judge;
        made = true;
    }
    w = fresh;
    judge = fresh_judge;
    judge_attach_all();
}

static uint64_t guest_read(uint64_t gpa, unsigned width)
{
    const struct vbus_device *dev = vbus_find(&w.bus, cordon_gpa_make(gpa), width);

    must(dev != NULL);
    return dev->read(dev->state, gpa - dev->gpa.v, width);
}

static void guest_write(uint64_t gpa, unsigned width, uint64_t value)
{
    const struct vbus_device *dev = vbus_find(&w.bus, cordon_gpa_make(gpa), width);

    must(dev != NULL);
    dev->write(dev->state, gpa - dev->gpa.v, width, value);
}

static void check_function(uint32_t i)
{
    const struct fpci_fn *real = &w.fake.fn[i];
    uint32_t command = fpci_get(real, PCI_COMMAND) & 0xffffu;

    must((real->commands & ~0x0406u) == 0);
    if ((command & PCI_COMMAND_MASTER) != 0) {
        must(w.a[i].stage == PCI_STAGE_ASSIGNED);
        must((w.pass[i].fn.command & PCI_COMMAND_MASTER) != 0);
    }
    must(w.a[i].stage == PCI_STAGE_LOST || real->reset_hangs || real->early == 0);
}

/* Each decoded BAR is in the map, at its place and to its own pages, and nothing else is. */
static void check_bars(void)
{
    uint32_t mapped = 0;

    for (uint32_t i = 0; i < GIVEN; i++) {
        const struct vpci_function *f = &w.pass[i].fn;

        for (uint32_t n = 0; n < PCI_BAR_COUNT; n++) {
            const struct vpci_bar *bar = &f->bar[n];

            if (bar->decoded) {
                mapped++;
                must(judge_has(bar->at, bar->len, w.table[i].bar[n].hpa.v));
                must((fpci_get(&w.fake.fn[i], PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0);
            }
        }
    }
    must(mapped == judge_mmio_count());
}

/* No two decoded BARs of the bus meet, our own function's included. */
static void check_apart(void)
{
    const struct vpci_bar *seen[VPCI_SLOTS * PCI_BAR_COUNT];
    size_t count = 0;

    for (uint32_t n = 0; n < VPCI_SLOTS * PCI_BAR_COUNT; n++) {
        const struct vpci_function *f = w.bridge.slot[n / PCI_BAR_COUNT];
        const struct vpci_bar *bar = f != NULL ? &f->bar[n % PCI_BAR_COUNT] : NULL;

        if (bar == NULL || !bar->decoded) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            must(bar->at >= seen[i]->at + seen[i]->len || seen[i]->at >= bar->at + bar->len);
        }
        seen[count++] = bar;
    }
}

static void check_absent(uint32_t slot)
{
    bool there = slot == OWN_SLOT;

    for (uint32_t i = 0; i < GIVEN; i++) {
        there = there || slot == slot_of[i];
    }
    if (!there) {
        must(guest_read(W_ECAM + (slot << 15), 4) == 0xffffffffu);
    }
    must(guest_read(W_ECAM + (slot << 15) + (1u << 12), 4) == 0xffffffffu);
}

/* Values that mean something more often than chance would have it. */
static uint64_t value_from(struct input *in)
{
    static const uint64_t bases[] = {W_LOW,    W_HIGH,  W_RAM, W_FILES,    W_ECAM,
                                     W_INSIDE, W_AVOID, 0,     UINT64_MAX, UINT64_C(0x100000000)};
    uint8_t how = input_byte(in);

    if (how < 48) {
        return how % 12;
    }
    uint64_t value = input_u32(in);

    if (how < 160) {
        uint64_t base = bases[how % (sizeof(bases) / sizeof(bases[0]))];

        return base + (value & 0x3fu) * (how < 104 ? 0x1000 : 0x100000);
    }
    return how < 208 ? value : value << 32 | input_u32(in);
}

/* Registers of our own function, where its BAR stands now. */
static uint64_t own_address(uint32_t reg, bool often, unsigned width)
{
    uint64_t at = w.own.fn.bar[0].decoded ? w.own.fn.bar[0].at : W_LOW;
    uint32_t offset = often ? OWN_REG_GPA + reg % 7 * 8 : reg << 4; /* arguments and COMMAND */

    return at + (offset & 0xfffu & ~(width - 1));
}

/* Configuration space of a slot: any register, or those that move BARs. */
static uint64_t config_address(uint32_t slot, uint32_t reg, bool often, unsigned width)
{
    static const uint32_t moving[] = {PCI_COMMAND, PCI_COMMAND, PCI_BAR(0), PCI_BAR(0),
                                      PCI_BAR(1),  PCI_BAR(2),  PCI_BAR(4), PCI_BAR(5)};

    if (often) {
        reg = moving[reg & 7u];
    } else if (reg == 0xffu) {
        reg = PCI_EXT_START + 4;
    }
    return W_ECAM + (slot << 15) + (reg & ~(width - 1));
}

static void one_access(struct input *in)
{
    static const unsigned widths[] = {4, 8, 2, 1};
    static const uint32_t slots[] = {0, 1, 8, 31};
    uint8_t kind = input_byte(in);
    bool often = (kind & 0x10u) != 0;
    unsigned width = widths[often ? kind & 1u : kind & 3u];
    uint32_t slot = slots[kind >> 2 & 3u];
    uint32_t reg = input_byte(in);
    uint64_t gpa = (kind & 0xe0u) == 0xe0u ? own_address(reg, often, width)
                                           : config_address(slot, reg, often, width);

    if (vbus_find(&w.bus, cordon_gpa_make(gpa), width) == NULL) {
        return; /* our function's BAR stands beside the windows */
    }
    guest_write(gpa, width, value_from(in));
    (void)guest_read(gpa, width);
    check_absent(input_byte(in) & 31u);
}

static void one_step(struct input *in)
{
    uint8_t what = input_byte(in);

    if (what < 0xf0) {
        one_access(in);
    } else if (what < 0xf8) {
        w.fake.now_us += UINT64_C(1) << (what & 7u) << 12;
    } else if (what < 0xfe) {
        static const int errors[] = {-CORDON_ENOMEM, -CORDON_EPENDING, -CORDON_EPERM};

        judge.fail_next = 1 + input_byte(in) % 4;
        judge.fail_as = errors[what % 3];
    } else if (what == 0xfe) {
        w.fake.fn[input_byte(in) % GIVEN].reset_hangs = true;
    }
    for (uint32_t i = 0; i < GIVEN; i++) {
        check_function(i);
    }
    check_bars();
    check_apart();
    must(w.fake.conflicts == 0);
}

/* Everything can be taken back, whatever the guest did. */
static void world_end(void)
{
    judge.fail_next = 0;
    for (uint32_t i = 0; i < GIVEN; i++) {
        w.fake.fn[i].reset_hangs = false;
        w.fake.fn[i].busy_until = 0;
        must(vpci_remove(&w.pass[i].fn) == 0);
        must(pci_release(&w.a[i]) == 0);
        must((fpci_get(&w.fake.fn[i], PCI_COMMAND) & 7u) == 0);
    }
    must(vpci_remove(&w.own.fn) == 0);
    must(judge_mmio_count() == 0 && judge.resources == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    world_begin();
    for (int i = 0; i < 200 && in.left != 0; i++) {
        one_step(&in);
    }
    world_end();
    return 0;
}
