/*
 * The scan, placement, groups and resets against devices that others wrote: QEMU's NVMe, e1000e,
 * igb, edu, virtio, a root port and a conventional bridge. Left out, loudly, where there is no
 * QEMU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "pci/assign.h"
#include "pci/group.h"
#include "pci/place.h"
#include "pci/scan.h"
#include "pci/virtio.h"
#include "qtest_machine.h"
#include <cordon/device.h>
#include <cordon/error.h>

#define FUNCTIONS 32

static const char *const devices[] = {
    "-blockdev", "null-co,node-name=d0,size=67108864,read-zeroes=on",
    "-device",   "nvme,drive=d0,serial=one,addr=9",
    "-device",   "e1000e,addr=0xa",
    "-device",   "igb,addr=0xb",
    "-device",   "edu,addr=0x1f",
    "-device",   "virtio-rng-pci,addr=0xc,disable-legacy=on,iommu_platform=on",
    "-device",   "virtio-rng-pci,addr=0xd,disable-legacy=on",
    "-device",   "pcie-root-port,id=rp,addr=0xe,chassis=1",
    "-device",   "e1000e,bus=rp,addr=0",
    "-device",   "pcie-pci-bridge,id=old,addr=0xf",
    "-device",   "edu,bus=old,addr=9",
    NULL,
};

struct world {
    struct qtest_machine q;
    struct pci_host host;
    struct pci_function table[FUNCTIONS];
    struct pci_scan_report scan;
    struct pci_place_report place;
};

static struct world world;

static int setup(void **state)
{
    struct world *w = &world;
    struct pci_host *h = &w->host;

    memset(w, 0, sizeof(*w));
    *state = w;
    if (!qtest_open(&w->q, devices)) {
        print_message("no QEMU here: left out\n");
        return 0;
    }
    *h = (struct pci_host){.cookie = &w->q,
                           .ecam = {QTEST_ECAM},
                           .last_bus = 255,
                           .window_count = 2,
                           .rid_mask = 0xffffffffu,
                           .map_count = 2,
                           .functions = w->table,
                           .capacity = FUNCTIONS};
    h->window[0] = (struct pci_window){QTEST_LOW, {QTEST_LOW}, QTEST_LOW_LEN, 0};
    h->window[1] = (struct pci_window){QTEST_HIGH, {QTEST_HIGH}, QTEST_HIGH_LEN, PCI_WINDOW_64};
    h->map[1] = (struct pci_iommu_map){.length = 0xffff}; /* as its device tree says */
    assert_int_equal(pci_scan(h, &w->scan), 0);
    pci_place(h, &w->place);
    pci_groups_make(h);
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
        skip();
    }
    return w;
}

static struct pci_function *find(struct world *w, uint32_t bdf, uint16_t vendor, uint16_t device)
{
    struct pci_function *f = pci_find(&w->host, bdf);

    assert_non_null(f);
    assert_int_equal(f->vendor, vendor);
    assert_int_equal(f->device, device);
    assert_int_equal(f->broken.why, PCI_WHY_NONE);
    return f;
}

static void test_finds_every_device(void **state)
{
    struct world *w = need(state);

    find(w, PCI_BDF(0, 9, 0), 0x1b36, 0x0010);
    find(w, PCI_BDF(0, 10, 0), 0x8086, 0x10d3);
    find(w, PCI_BDF(0, 11, 0), 0x8086, 0x10c9);
    find(w, PCI_BDF(0, 31, 0), 0x1234, 0x11e8);
    assert_true(find(w, PCI_BDF(0, 14, 0), 0x1b36, 0x000c)->bridge);
    assert_true(find(w, PCI_BDF(0, 15, 0), 0x1b36, 0x000e)->bridge);
    find(w, PCI_BDF(1, 0, 0), 0x8086, 0x10d3);
    find(w, PCI_BDF(2, 9, 0), 0x1234, 0x11e8);
    assert_int_equal(w->scan.buses, 3);
    assert_int_equal(w->scan.bridges, 2);
    assert_int_equal(w->scan.renumbered, 2);
    assert_int_equal(w->scan.masters, 0);
    assert_int_equal(w->place.unplaced, 0);
}

static void test_capabilities_are_those_of_the_devices(void **state)
{
    struct world *w = need(state);
    const struct pci_function *nvme = find(w, PCI_BDF(0, 9, 0), 0x1b36, 0x0010);
    const struct pci_function *igb = find(w, PCI_BDF(0, 11, 0), 0x8086, 0x10c9);
    const struct pci_function *edu = find(w, PCI_BDF(0, 31, 0), 0x1234, 0x11e8);

    assert_true(nvme->caps.pcie != 0 && nvme->caps.msix != 0);
    assert_true(igb->caps.sriov != 0 && igb->caps.msix != 0 && igb->caps.pm != 0);
    assert_true(edu->caps.pcie == 0 && edu->caps.pm == 0 && edu->caps.msi != 0);
    assert_true(find(w, PCI_BDF(0, 14, 0), 0x1b36, 0x000c)->caps.acs != 0);
}

/* Registers with known contents, read where placement says they are. */
static void test_bars_are_where_they_were_placed(void **state)
{
    struct world *w = need(state);
    const struct pci_host *h = &w->host;
    const struct {
        uint32_t bdf, bar, offset, value;
        uint64_t len;
    } row[] = {
        {PCI_BDF(0, 31, 0), 0, 0x0, 0x010000edu, 0x100000},
        {PCI_BDF(2, 9, 0), 0, 0x0, 0x010000edu, 0x100000},
        {PCI_BDF(0, 9, 0), 0, 0x8, 0x00010400u, 0x4000},
        {PCI_BDF(0, 10, 0), 0, 0x8, 0, 0x20000},
        {PCI_BDF(1, 0, 0), 0, 0x8, 0, 0x20000},
    };

    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        const struct pci_function *f = pci_find(h, row[i].bdf);
        const struct pci_bar *bar = &f->bar[row[i].bar];

        assert_int_equal(bar->len, row[i].len);
        pci_command(h, f->bdf, 0, PCI_COMMAND_MEMORY);
        uint32_t value = pci_bar_read32(h, bar, row[i].offset);

        pci_command(h, f->bdf, PCI_COMMAND_MEMORY, 0);
        assert_int_not_equal(value, PCI_ABSENT);
        if (row[i].value != 0) {
            assert_int_equal(value, row[i].value);
        }
        assert_int_equal(pci_bar_read32(h, bar, row[i].offset), PCI_ABSENT); /* off again */
    }
}

static void test_groups_follow_bridges(void **state)
{
    struct world *w = need(state);
    struct pci_refusal why;

    assert_int_equal(pci_claim(&w->host, PCI_BDF(1, 0, 0), 1, &why), 0);
    assert_int_equal(pci_group_check(&w->host, pci_find(&w->host, PCI_BDF(1, 0, 0)), &why), 0);
    assert_int_equal(pci_claim(&w->host, PCI_BDF(2, 9, 0), 1, &why), 0);
    assert_int_equal(pci_group_check(&w->host, pci_find(&w->host, PCI_BDF(2, 9, 0)), &why),
                     -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_ALIAS);
}

static enum pci_reset_kind reset(struct world *w, uint32_t bdf)
{
    struct pci_reset r;
    int err = pci_reset_begin(&r, &w->host, pci_find(&w->host, bdf));

    if (err == 0) {
        err = pci_reset_wait(&r);
    }
    assert_true(err == 0 || err == -CORDON_ENOTSUP);
    return r.kind;
}

static void test_resets_are_those_that_work(void **state)
{
    struct world *w = need(state);

    assert_int_equal(reset(w, PCI_BDF(0, 9, 0)), PCI_RESET_FLR);
    assert_int_equal(reset(w, PCI_BDF(0, 11, 0)), PCI_RESET_FLR);
    assert_int_equal(reset(w, PCI_BDF(0, 10, 0)), PCI_RESET_DEVICE); /* its D3hot resets nothing */
    assert_int_equal(reset(w, PCI_BDF(0, 31, 0)), PCI_RESET_NONE);
    assert_int_equal(reset(w, PCI_BDF(0, 12, 0)), PCI_RESET_DEVICE); /* no FLR on the root bus */
}

/* What the device was told is gone, and its BAR is back. */
static void test_e1000e_forgets_in_its_reset(void **state)
{
    struct world *w = need(state);
    const struct pci_host *h = &w->host;
    struct pci_function *f = pci_find(h, PCI_BDF(0, 10, 0));
    const uint64_t multicast = 0x5200;

    pci_command(h, f->bdf, 0, PCI_COMMAND_MEMORY);
    pci_bar_write32(h, &f->bar[0], multicast, 0x12345678u);
    assert_int_equal(pci_bar_read32(h, &f->bar[0], multicast), 0x12345678u);
    assert_int_equal(reset(w, f->bdf), PCI_RESET_DEVICE);
    pci_command(h, f->bdf, 0, PCI_COMMAND_MEMORY);
    assert_int_equal(pci_bar_read32(h, &f->bar[0], multicast), 0);
    pci_command(h, f->bdf, PCI_COMMAND_MEMORY, 0);
}

static void test_virtio_is_asked_whether_it_obeys(void **state)
{
    struct world *w = need(state);
    struct pci_refusal why = {.why = PCI_WHY_NONE};

    assert_int_equal(pci_virtio_check(&w->host, pci_find(&w->host, PCI_BDF(0, 12, 0)), &why), 0);
    assert_int_equal(pci_virtio_check(&w->host, pci_find(&w->host, PCI_BDF(0, 13, 0)), &why),
                     -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_VIRTIO_BYPASS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_every_device),
        cmocka_unit_test(test_capabilities_are_those_of_the_devices),
        cmocka_unit_test(test_bars_are_where_they_were_placed),
        cmocka_unit_test(test_groups_follow_bridges),
        cmocka_unit_test(test_resets_are_those_that_work),
        cmocka_unit_test(test_e1000e_forgets_in_its_reset),
        cmocka_unit_test(test_virtio_is_asked_whether_it_obeys),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
