/* See vpci_bench.h. */
#include "vpci_bench.h"

#include <stdlib.h>

static bool is_iommu(const struct vpci_bench *b, uint64_t hpa)
{
    return hpa - b->m.iommu[0].base < 0x1000;
}

static uint64_t bench_read(void *user, uint64_t hpa, uint32_t width)
{
    struct vpci_bench *b = user;

    return is_iommu(b, hpa) ? fake_read(&b->m.iommu[0], hpa, width)
                            : b->pci.ops.mmio_read(&b->pci, hpa, width);
}

static void bench_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    struct vpci_bench *b = user;

    if (is_iommu(b, hpa)) {
        fake_write(&b->m.iommu[0], hpa, width, value);
    } else {
        b->pci.ops.mmio_write(&b->pci, hpa, width, value);
    }
}

static void bench_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
}

static uint64_t bench_time(void *user)
{
    struct vpci_bench *b = user;

    return b->pci.ops.time_us(&b->pci);
}

/* Both devices, as QEMU makes them. */
static void devices_add(struct vpci_bench *b)
{
    struct fpci_fn *f =
        &b->pci.fn[fpci_add(&b->pci, -1, NVME_DEV, 0, 0x1b36, 0x0010, PCI_CLASS_NVME)];

    fpci_bar(f, 0, 0x4000, PCI_BAR_TYPE_64);
    fpci_cap_pcie(f, 0x80, PCI_EXP_TYPE_INTEGRATED, true);
    fpci_cap_pm(f, 0x60);
    fpci_cap_msix(f, 0x40, 65, 0x2000, 0x3000);
    fpci_ext(f, 0x100, 0x0001, 0);
    fpci_ext(f, 0x200, PCI_EXT_SRIOV, 0x100);
    b->nvme = f;
    f = &b->pci.fn[fpci_add(&b->pci, -1, EDU_DEV, 0, 0x1234, 0x11e8, 0x00ff00)];
    fpci_bar(f, 0, 0x100000, 0);
    fpci_bar(f, 2, 0x100, 0);
    fpci_cap_msi(f, 0x40, 0, PCI_MSI_64);
    b->edu = f;
}

void vbench_discover(struct vpci_bench *b)
{
    struct pci_scan_report s;
    struct pci_place_report p;

    fpci_host(&b->pci, &b->host, b->table, FPCI_MAX);
    b->host.cookie = &b->m.record;
    assert_int_equal(pci_scan(&b->host, &s), 0);
    pci_place(&b->host, &p);
    pci_groups_make(&b->host);
}

static void guest_make(struct vpci_bench *b)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = 1ull << 39};
    struct vpci_config vc = {.cookie = &b->m.record,
                             .ecam = {G_ECAM},
                             .ecam_len = 0x100000,
                             .low = {{G_LOW}, G_LOW_LEN},
                             .high = {{G_HIGH}, G_HIGH_LEN},
                             .avoid_count = 2};

    vc.avoid[0] = (struct vpci_avoid){{G_FILES}, G_FILES_LEN, PCI_WHY_ON_INTERRUPT_FILE};
    vc.avoid[1] = (struct vpci_avoid){{G_UART}, 0x1000, PCI_WHY_ON_DEVICE};
    assert_int_equal(cordon_domain_create(b->m.ctx, &cfg, &b->domain), 0);
    (void)machine_grant(&b->m, b->domain, G_RAM, G_RAM_PAGES);
    vc.domain = b->domain;
    assert_int_equal(vpci_bridge_init(&b->bridge, &vc), 0);
    assert_int_equal(vpci_bridge_bus(&b->bridge, &b->bus), 0);
}

int vbench_setup(void **state)
{
    struct vpci_bench *b = calloc(1, sizeof(*b));

    assert_non_null(b);
    machine_open(&b->m);
    fpci_init(&b->pci);
    b->m.record.ops.user = b;
    b->m.record.ops.mmio_read = bench_read;
    b->m.record.ops.mmio_write = bench_write;
    b->m.record.ops.hart_fence = bench_fence;
    b->m.record.ops.time_us = bench_time;
    devices_add(b);
    vbench_discover(b);
    b->iommu = machine_iommu(&b->m, 0, 0xffff);
    guest_make(b);
    *state = b;
    return 0;
}

int vbench_teardown(void **state)
{
    struct vpci_bench *b = *state;

    for (int n = 0; n < 2; n++) {
        if (b->pass[n].fn.bridge != NULL) {
            int err = vpci_remove(&b->pass[n].fn);

            assert_true(err == 0 || err == -CORDON_EPENDING);
        }
        assert_int_equal(pci_release(&b->a[n]), 0);
        assert_int_equal(b->a[n].stage, PCI_STAGE_FREE);
    }
    assert_int_equal(b->pci.conflicts, 0);
    vbench_audit(b);
    assert_int_equal(cordon_domain_destroy(b->domain), 0);
    assert_int_equal(cordon_iommu_remove(b->iommu), 0);
    machine_close(&b->m);
    free(b);
    return 0;
}

int vbench_drop(void **state)
{
    struct vpci_bench *b = *state;

    machine_drop(&b->m);
    free(b);
    return 0;
}

struct pci_assign_config vbench_config(struct vpci_bench *b)
{
    static cordon_iommu *iommus[1];

    iommus[0] = b->iommu;
    return (struct pci_assign_config){.ctx = b->m.ctx,
                                      .domain = b->domain,
                                      .iommus = iommus,
                                      .iommu_count = 1,
                                      .guest = GUEST,
                                      .no_reset_allowed = true,
                                      .name = "given"};
}

int vbench_claim(struct vpci_bench *b, uint32_t bdf)
{
    struct pci_refusal why;

    return pci_claim(&b->host, bdf, GUEST, &why);
}

struct vpci_pass *vbench_give(struct vpci_bench *b, int n)
{
    const struct pci_assign_config cfg = vbench_config(b);
    uint32_t bdf = n == 0 ? NVME_BDF : EDU_BDF;

    assert_int_equal(vbench_claim(b, bdf), 0);
    assert_int_equal(pci_assign_begin(&b->a[n], &b->host, bdf, &cfg), 0);
    assert_int_equal(pci_assign_finish(&b->a[n]), 0);
    vpci_pass_init(&b->pass[n], &b->a[n]);
    assert_int_equal(vpci_insert(&b->bridge, n == 0 ? NVME_SLOT : EDU_SLOT, &b->pass[n].fn), 0);
    return &b->pass[n];
}

uint64_t guest_read(struct vpci_bench *b, uint64_t gpa, unsigned width)
{
    const struct vbus_device *dev = vbus_find(&b->bus, cordon_gpa_make(gpa), width);

    assert_non_null(dev);
    return dev->read(dev->state, gpa - dev->gpa.v, width);
}

void guest_write(struct vpci_bench *b, uint64_t gpa, unsigned width, uint64_t value)
{
    const struct vbus_device *dev = vbus_find(&b->bus, cordon_gpa_make(gpa), width);

    assert_non_null(dev);
    dev->write(dev->state, gpa - dev->gpa.v, width, value);
}

uint32_t config_read(struct vpci_bench *b, uint32_t slot, uint32_t offset)
{
    return (uint32_t)guest_read(b, G_ECAM + (slot << 15) + offset, 4);
}

void config_write(struct vpci_bench *b, uint32_t slot, uint32_t offset, uint32_t value)
{
    guest_write(b, G_ECAM + (slot << 15) + offset, 4, value);
}

void config_command(struct vpci_bench *b, uint32_t slot, uint32_t command)
{
    guest_write(b, G_ECAM + (slot << 15) + PCI_COMMAND, 2, command);
}

uint64_t guest_reaches(struct vpci_bench *b, uint64_t gpa)
{
    struct cordon_hit hit;
    int err = cordon_translate(b->domain, 0, cordon_gpa_make(gpa), CORDON_READ, &hit);

    return err == 0 ? hit.hpa.v : 0;
}

bool device_reaches(struct vpci_bench *b, uint32_t device_id, uint64_t gpa)
{
    return fake_access(&b->m.iommu[0], device_id, gpa >> CORDON_PAGE_SHIFT) == 0;
}

void vbench_audit(struct vpci_bench *b)
{
    struct cordon_finding finding;
    int err = cordon_audit(b->m.ctx, &finding);

    if (err != 0) {
        fail_msg("audit: %s", finding.text);
    }
}
