/* Resets by registers of the device's own: NVMe, 82574, virtio. */
#include "reset_bench.h"

static struct fpci_fn *e1000e(struct pci_bench *b)
{
    struct fpci_fn *f = device(b, -1);

    f->kind = FPCI_E1000E;
    fpci_set(f, PCI_ID, 0x10d38086u);
    fpci_cap_pm(f, 0x60);
    return f;
}

static void test_e1000e_falls_back_to_its_own_register(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = e1000e(b);
    struct pci_reset r;

    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_DEVICE);
    assert_int_equal(f->resets, 1);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_e1000e_whose_bit_stays_is_a_timeout(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = e1000e(b);
    struct pci_reset r;

    f->reset_hangs = true;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ETIMEOUT);
    assert_int_equal(fpci_get(f, PCI_COMMAND) & 0x7u, 0);
}

static struct fpci_fn *nvme(struct pci_bench *b)
{
    struct fpci_fn *f = device(b, -1);

    f->kind = FPCI_NVME;
    fpci_set(f, PCI_CLASS, PCI_CLASS_NVME << 8);
    f->reg[0x14 / 4] = 1; /* enabled and ready */
    f->reg[0x1c / 4] = 1;
    return f;
}

static void test_nvme_without_flr_is_disabled(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = nvme(b);
    struct pci_reset r;

    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_DEVICE);
    assert_int_equal(f->reg[0x14 / 4] & 1u, 0);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_nvme_that_stays_ready_is_a_timeout(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = nvme(b);
    struct pci_reset r;

    f->reset_hangs = true;
    discover(b);
    uint64_t start = b->fake.now_us;

    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ETIMEOUT);
    assert_true(b->fake.now_us - start < 20000000);
}

static struct fpci_fn *virtio(struct pci_bench *b)
{
    struct fpci_fn *f = device(b, -1);

    f->kind = FPCI_VIRTIO;
    fpci_set(f, PCI_ID, 0x10421af4u);
    fpci_cap_virtio(f, 0x60, VIRTIO_CAP_TYPE_COMMON, 0, 0, 0x1000);
    f->reg[VIRTIO_COMMON_STATUS / 4] = 0xf; /* driving */
    return f;
}

static void test_virtio_without_flr_is_reset_by_its_status_byte(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = virtio(b);
    struct pci_reset r;

    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), 0);
    assert_int_equal(r.kind, PCI_RESET_DEVICE);
    assert_int_equal(f->resets, 1);
    assert_int_equal(f->reg[VIRTIO_COMMON_STATUS / 4] & 0xffu, 0);
    check_restored(b, f, PCI_BDF(0, 9, 0));
}

static void test_virtio_that_keeps_its_status_is_a_timeout(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = virtio(b);
    struct pci_reset r;

    f->reset_hangs = true;
    discover(b);
    assert_int_equal(reset(b, PCI_BDF(0, 9, 0), &r), -CORDON_ETIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_e1000e_falls_back_to_its_own_register, bench_setup),
        cmocka_unit_test_setup(test_e1000e_whose_bit_stays_is_a_timeout, bench_setup),
        cmocka_unit_test_setup(test_nvme_without_flr_is_disabled, bench_setup),
        cmocka_unit_test_setup(test_nvme_that_stays_ready_is_a_timeout, bench_setup),
        cmocka_unit_test_setup(test_virtio_without_flr_is_reset_by_its_status_byte, bench_setup),
        cmocka_unit_test_setup(test_virtio_that_keeps_its_status_is_a_timeout, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
