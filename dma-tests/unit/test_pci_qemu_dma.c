/*
 * A passthrough NVMe from claim to release on QEMU's own devices and IOMMU: the guest's accesses go
 * through the virtual bus, its registers through the G-stage, its DMA through the device view. No
 * address of the guest is one of the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pci/assign.h"
#include "pci/group.h"
#include "pci/pass.h"
#include "pci/place.h"
#include "pci/scan.h"
#include "qtest_machine.h"
#include <cordon/cordon.h>

#define BDF PCI_BDF(0, 9, 0)
#define SLOT 8u
#define G_ECAM UINT64_C(0x10000000)
#define G_LOW UINT64_C(0x20000000)
#define G_RAM UINT64_C(0xc0000000)
#define G_PAGES 8u
#define G_BAR G_LOW
#define TURNS 20000

/* NVMe registers, command and completion [NVMe Base 3.1, 3.3, 5.17] */
#define CC 0x14u
#define CSTS 0x1cu
#define AQA 0x24u
#define ASQ 0x28u
#define ACQ 0x30u
#define DOORBELL_SQ 0x1000u
#define DOORBELL_CQ 0x1004u
#define IDENTIFY 0x06u

struct world {
    struct qtest_machine q;
    struct pci_host host;
    struct pci_function table[8];
    cordon_ctx *ctx;
    cordon_iommu *iommu;
    cordon_domain *domain;
    cordon_hpa page[G_PAGES];
    struct vbus bus;
    struct vpci_bridge bridge;
    struct pci_assignment a;
    struct vpci_pass pass;
    uint32_t sq_tail, cq_head;
};

static const char *const devices[] = {"-blockdev",
                                      "null-co,node-name=d0,size=67108864,read-zeroes=on",
                                      "-device", "nvme,drive=d0,serial=cordon-test,addr=9", NULL};

static void machine_make(struct world *w)
{
    const struct cordon_extent bank = {{QTEST_RAM}, QTEST_RAM_LEN};
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = &w->q,
                                      .ram_offset = (uint64_t)(uintptr_t)w->q.ram - QTEST_RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 14,
                                      .seed = 3};
    const struct cordon_iommu_config ic = {
        .size = sizeof(ic), .base = {QTEST_IOMMU}, .max_device_id = 0xffff};
    struct pci_scan_report s;
    struct pci_place_report p;
    struct pci_host *h = &w->host;

    assert_int_equal(cordon_ctx_create(&cfg, &w->ctx), 0);
    *h = (struct pci_host){.cookie = &w->q,
                           .ecam = {QTEST_ECAM},
                           .last_bus = 255,
                           .window_count = 2,
                           .rid_mask = 0xffffffffu,
                           .map_count = 1,
                           .functions = w->table,
                           .capacity = 8};
    h->window[0] = (struct pci_window){QTEST_LOW, {QTEST_LOW}, QTEST_LOW_LEN, 0};
    h->window[1] = (struct pci_window){QTEST_HIGH, {QTEST_HIGH}, QTEST_HIGH_LEN, PCI_WINDOW_64};
    h->map[0] = (struct pci_iommu_map){.length = 0xffff};
    assert_int_equal(pci_scan(h, &s), 0);
    pci_place(h, &p);
    pci_groups_make(h);
    assert_int_equal(cordon_iommu_add(w->ctx, &ic, &w->iommu), 0);
}

/* A guest with RAM in single frames, not in order. */
static void guest_make(struct world *w)
{
    const struct cordon_domain_config dc = {.size = sizeof(dc), .gpa_limit = UINT64_C(1) << 32};
    struct vpci_config vc = {
        .cookie = &w->q, .ecam = {G_ECAM}, .ecam_len = 0x100000, .low = {{G_LOW}, 0x10000000}};
    struct cordon_extent extents[G_PAGES];
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .gpa = {G_RAM},
                                 .len = G_PAGES * CORDON_PAGE_SIZE,
                                 .perms = CORDON_RWX,
                                 .extents = extents,
                                 .extent_count = G_PAGES};

    assert_int_equal(cordon_domain_create(w->ctx, &dc, &w->domain), 0);
    for (size_t i = 0; i < G_PAGES; i++) {
        const struct cordon_run_want want = {.size = sizeof(want), .len = 2 * CORDON_PAGE_SIZE};
        cordon_hpa hpa;

        assert_int_equal(cordon_run_alloc(w->ctx, &want, &hpa), 0);
        w->page[G_PAGES - 1 - i] = hpa; /* its neighbour stays the caller's: a canary */
        memset(w->q.ram + (hpa.v - QTEST_RAM) + CORDON_PAGE_SIZE, 0xa5, CORDON_PAGE_SIZE);
    }
    for (size_t i = 0; i < G_PAGES; i++) {
        extents[i] = (struct cordon_extent){w->page[i], CORDON_PAGE_SIZE};
    }
    assert_int_equal(cordon_change(w->domain, &op, 1), 0);
    vc.domain = w->domain;
    assert_int_equal(vpci_bridge_init(&w->bridge, &vc), 0);
    assert_int_equal(vpci_bridge_bus(&w->bridge, &w->bus), 0);
}

static void device_give(struct world *w)
{
    cordon_iommu *iommus[] = {w->iommu};
    const struct pci_assign_config cfg = {.ctx = w->ctx,
                                          .domain = w->domain,
                                          .iommus = iommus,
                                          .iommu_count = 1,
                                          .guest = 1,
                                          .name = "nvme"};
    struct pci_refusal why;

    assert_int_equal(pci_claim(&w->host, BDF, 1, &why), 0);
    assert_int_equal(pci_assign_begin(&w->a, &w->host, BDF, &cfg), 0);
    assert_int_equal(pci_assign_finish(&w->a), 0);
    vpci_pass_init(&w->pass, &w->a);
    assert_int_equal(vpci_insert(&w->bridge, SLOT, &w->pass.fn), 0);
}

static int setup(void **state)
{
    static struct world world;

    memset(&world, 0, sizeof(world));
    *state = &world;
    if (qtest_open(&world.q, devices)) {
        machine_make(&world);
        guest_make(&world);
        device_give(&world);
    }
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    qtest_close(&w->q);
    return 0;
}

static struct world *need(void **state)
{
    struct world *w = *state;

    if (w->q.pid == 0) {
        print_message("no QEMU here: left out\n");
        skip();
    }
    return w;
}

/* ---- what the guest does -------------------------------------------------------------------- */

static uint64_t config(struct world *w, uint64_t reg, unsigned width)
{
    const struct vbus_device *dev =
        vbus_find(&w->bus, cordon_gpa_make(G_ECAM + (SLOT << 15) + reg), width);

    return dev->read(dev->state, (SLOT << 15) + reg, width);
}

static void config_set(struct world *w, uint64_t reg, unsigned width, uint64_t value)
{
    const struct vbus_device *dev =
        vbus_find(&w->bus, cordon_gpa_make(G_ECAM + (SLOT << 15) + reg), width);

    dev->write(dev->state, (SLOT << 15) + reg, width, value);
}

/* A register of the device, where the guest's hart would reach it. */
static uint64_t register_hpa(struct world *w, uint64_t reg)
{
    struct cordon_hit hit;

    assert_int_equal(cordon_translate(w->domain, 0, cordon_gpa_make(G_BAR + reg), CORDON_RW, &hit),
                     0);
    return hit.hpa.v;
}

static uint32_t reg_get(struct world *w, uint64_t reg)
{
    return (uint32_t)w->q.ops.mmio_read(&w->q, register_hpa(w, reg), 4);
}

static void reg_set(struct world *w, uint64_t reg, unsigned width, uint64_t value)
{
    w->q.ops.mmio_write(&w->q, register_hpa(w, reg), width, value);
}

static uint8_t *page(struct world *w, uint32_t n)
{
    return w->q.ram + (w->page[n].v - QTEST_RAM);
}

static uint64_t page_gpa(uint32_t n)
{
    return G_RAM + n * CORDON_PAGE_SIZE;
}

/* Queues in pages 0 and 1, and the controller enabled. */
static void nvme_start(struct world *w)
{
    config_set(w, PCI_BAR(0), 4, G_BAR);
    config_set(w, PCI_BAR(1), 4, 0);
    config_set(w, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    memset(page(w, 0), 0, CORDON_PAGE_SIZE);
    memset(page(w, 1), 0, CORDON_PAGE_SIZE);
    w->sq_tail = 0;
    w->cq_head = 0;
    reg_set(w, AQA, 4, 7u << 16 | 7u);
    reg_set(w, ASQ, 8, page_gpa(0));
    reg_set(w, ACQ, 8, page_gpa(1));
    reg_set(w, CC, 4, 4u << 20 | 6u << 16 | 1u);
    for (int i = 0; i < TURNS && (reg_get(w, CSTS) & 1u) == 0; i++) {
    }
    assert_int_equal(reg_get(w, CSTS) & 3u, 1);
}

/* Identify the controller into GPA; true if a completion came, its status in OUT. */
static bool identify(struct world *w, uint64_t gpa, uint32_t *out)
{
    uint32_t command[16] = {IDENTIFY | 0x77u << 16};
    volatile uint32_t *done = (volatile uint32_t *)(void *)(page(w, 1) + w->cq_head * 16);

    command[6] = (uint32_t)gpa;
    command[7] = (uint32_t)(gpa >> 32);
    command[10] = 1;
    memcpy(page(w, 0) + w->sq_tail * 64, command, sizeof(command));
    w->sq_tail++;
    reg_set(w, DOORBELL_SQ, 4, w->sq_tail);
    for (int i = 0; i < TURNS && (done[3] & 0x10000u) == 0; i++) {
        (void)reg_get(w, CSTS);
    }
    *out = done[3] >> 17;
    w->cq_head++;
    return (done[3] & 0x1ffffu) == 0x10077u;
}

static void check_canaries(struct world *w)
{
    for (uint32_t n = 0; n < G_PAGES; n++) {
        for (uint32_t i = 0; i < CORDON_PAGE_SIZE; i++) {
            assert_int_equal(page(w, n)[CORDON_PAGE_SIZE + i], 0xa5);
        }
    }
}

static void check_audit(struct world *w)
{
    struct cordon_finding finding;

    if (cordon_audit(w->ctx, &finding) != 0) {
        fail_msg("audit: %s", finding.text);
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void test_dma_lands_in_the_guests_own_frame(void **state)
{
    struct world *w = need(state);
    uint32_t status = 1;

    nvme_start(w);
    assert_true(identify(w, page_gpa(5), &status));
    assert_int_equal(status, 0);
    assert_memory_equal(page(w, 5) + 4, "cordon-test", 11);
    check_canaries(w);
    check_audit(w);
}

static void test_dma_outside_the_guest_is_refused_and_told(void **state)
{
    struct world *w = need(state);
    struct cordon_fault fault;
    const uint64_t wrong[] = {w->page[5].v + CORDON_PAGE_SIZE, page_gpa(G_PAGES), QTEST_IOMMU,
                              G_BAR};

    nvme_start(w);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint32_t status = 0;

        assert_true(identify(w, wrong[i], &status)); /* whatever it says of that */
        check_canaries(w);
        assert_true(cordon_faults_poll(w->iommu, 100000) > 0);
        assert_int_equal(cordon_faults_take(w->iommu, &fault, 1), 1);
        assert_int_equal(fault.device_id, BDF);
        assert_int_equal(fault.iova.v & ~0xfffu, wrong[i]);
        assert_string_equal(fault.device, "nvme");
        while (cordon_faults_take(w->iommu, &fault, 1) != 0) {
        }
    }
}

static void test_without_mastering_nothing_moves(void **state)
{
    struct world *w = need(state);
    uint32_t status;

    nvme_start(w);
    memset(page(w, 5), 0x11, CORDON_PAGE_SIZE);
    config_set(w, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_false(identify(w, page_gpa(5), &status));
    assert_int_equal(page(w, 5)[4], 0x11);
}

static void test_guests_reset_stops_the_controller(void **state)
{
    struct world *w = need(state);
    uint64_t at = config(w, PCI_CAP_POINTER, 1);

    nvme_start(w);
    while ((config(w, at, 1)) != PCI_CAP_PCIE) {
        at = config(w, at + 1, 1);
        assert_int_not_equal(at, 0);
    }
    assert_int_not_equal(config(w, at + 4, 4) & PCI_EXP_DEVCAP_FLR, 0);
    config_set(w, at + 8, 2, PCI_EXP_DEVCTL_FLR);
    assert_int_equal(config(w, PCI_ID, 4), PCI_ABSENT); /* 100 ms long, and the guest goes on */
    uint64_t start = w->q.ops.time_us(&w->q);

    while (config(w, PCI_ID, 4) == PCI_ABSENT) {
        assert_true(w->q.ops.time_us(&w->q) - start < 5000000);
    }
    assert_true(w->q.ops.time_us(&w->q) - start >= 90000);
    assert_int_equal(config(w, PCI_COMMAND, 2), 0);
    config_set(w, PCI_BAR(0), 4, G_BAR);
    config_set(w, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    assert_int_equal(reg_get(w, CC) & 1u, 0);
    uint32_t status = 1;

    nvme_start(w); /* and works again */
    assert_true(identify(w, page_gpa(6), &status));
    assert_memory_equal(page(w, 6) + 4, "cordon-test", 11);
}

static void test_release_leaves_nothing(void **state)
{
    struct world *w = need(state);
    uint32_t status;
    struct cordon_frame_info info;

    nvme_start(w);
    assert_true(identify(w, page_gpa(5), &status));
    assert_int_equal(vpci_remove(&w->pass.fn), 0);
    assert_int_equal(pci_release(&w->a), 0);
    check_audit(w);
    assert_int_equal(pci_read(&w->host, BDF, PCI_COMMAND) & 7u, 0);
    assert_int_equal(cordon_domain_destroy(w->domain), 0);
    assert_int_equal(cordon_frame_query(w->ctx, w->page[5], &info), 0);
    assert_int_equal(info.state, CORDON_FRAME_FREE);
    assert_int_equal(cordon_iommu_remove(w->iommu), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dma_lands_in_the_guests_own_frame),
        TEST(test_dma_outside_the_guest_is_refused_and_told),
        TEST(test_without_mastering_nothing_moves),
        TEST(test_guests_reset_stops_the_controller),
        TEST(test_release_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
