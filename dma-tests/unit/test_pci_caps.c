/* Capability lists: found, bounded, and refused when they are cycles, leave their space or
 * overlap. */
#include "pci_bench.h"

#include "pci/caps.h"
#include "pci/scan.h"

static const struct pci_function *walk(struct pci_bench *b)
{
    struct pci_scan_report r;

    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    assert_int_equal(pci_scan(&b->host, &r), 0);
    return &b->table[0];
}

static void test_finds_each_kind(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_INTEGRATED, true);
    fpci_cap_pm(f, 0x80);
    fpci_cap_msi(f, 0x88, 5, PCI_MSI_64 | PCI_MSI_MASKABLE);
    fpci_cap_msix(f, 0xa0, 8, 0, 0x800);
    fpci_cap_af(f, 0xac);
    fpci_cap_virtio(f, 0xb4, 1, 4, 0, 0x1000);
    fpci_cap_virtio(f, 0xc4, 2, 4, 0x1000, 0x1000);
    fpci_ext(f, 0x100, 0x0001, 0);
    fpci_ext(f, 0x140, PCI_EXT_ACS, 0x100);
    fpci_ext(f, 0xff0, PCI_EXT_SRIOV, 0x140);
    const struct pci_caps *caps = &walk(b)->caps;

    assert_int_equal(b->table[0].broken.why, PCI_WHY_NONE);
    assert_int_equal(caps->pcie, 0x40);
    assert_int_equal(caps->pcie_bytes, PCI_EXP_BYTES_V2);
    assert_int_equal(caps->pm, 0x80);
    assert_int_equal(caps->msi, 0x88);
    assert_int_equal(caps->msi_bytes, 24);
    assert_int_equal(caps->msix, 0xa0);
    assert_int_equal(caps->af, 0xac);
    assert_int_equal(caps->vendor_count, 2);
    assert_int_equal(caps->vendor[0], 0xc4);
    assert_int_equal(caps->vendor[1], 0xb4);
    assert_int_equal(caps->acs, 0x140);
    assert_int_equal(caps->sriov, 0xff0);
    assert_int_equal(caps->ats, 0);
}

static void test_no_list_without_its_status_bit(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pm(f, 0x80);
    fpci_set(f, PCI_COMMAND, 0);
    assert_int_equal(walk(b)->caps.pm, 0);
}

static void refused(struct pci_bench *b, enum pci_why why, uint32_t where)
{
    const struct pci_function *f = walk(b);
    struct pci_caps none = {0};

    assert_int_equal(f->broken.why, why);
    assert_int_equal(f->broken.value, where);
    assert_memory_equal(&f->caps, &none, sizeof(none));
}

static void test_cyclic_list_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pm(f, 0x80);
    fpci_cap(f, 0x60, 0x42);
    fpci_set(f, 0x80, PCI_CAP_PM | 0x6000u); /* back to the one before */
    refused(b, PCI_WHY_CAPS_CYCLE, 0x60);
}

static void test_capability_pointing_at_itself_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap(f, 0x60, 0x42);
    fpci_set(f, 0x60, 0x6042u);
    refused(b, PCI_WHY_CAPS_CYCLE, 0x60);
}

static void test_list_into_the_header_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap(f, 0x60, 0x42);
    fpci_set(f, 0x60, 0x1042u);
    refused(b, PCI_WHY_CAPS_RANGE, 0x10);
}

static void test_capability_longer_than_its_space_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pcie(f, 0xc8, PCI_EXP_TYPE_ENDPOINT, false); /* needs 0x3c, 0x38 are left */
    refused(b, PCI_WHY_CAPS_RANGE, 0xc8);
}

static void test_capability_that_just_fits_is_taken(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pcie(f, 0xc4, PCI_EXP_TYPE_ENDPOINT, false);
    assert_int_equal(walk(b)->caps.pcie, 0xc4);
}

static void test_vendor_length_beyond_its_space_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap(f, 0xf0, PCI_CAP_VENDOR);
    fpci_set(f, 0xf0, PCI_CAP_VENDOR | 0x00110000u);
    refused(b, PCI_WHY_CAPS_RANGE, 0xf0);
}

static void test_overlapping_capabilities_are_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_msix(f, 0x68, 1, 0, 0);
    fpci_cap_msi(f, 0x60, 0, PCI_MSI_64); /* 14 bytes: its data stands in the other's head */
    fpci_set(f, 0x68, fpci_get(f, 0x68));
    refused(b, PCI_WHY_CAPS_OVERLAP, 0x68);
}

static void test_extended_cycle_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_ENDPOINT, false);
    fpci_ext(f, 0x100, 0x0001, 0);
    fpci_ext(f, 0x200, PCI_EXT_ACS, 0x100);
    fpci_set(f, 0x200, PCI_EXT_ACS | 0x10010000u);
    refused(b, PCI_WHY_CAPS_CYCLE, 0x100);
}

static void test_extended_pointer_below_its_space_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_ENDPOINT, false);
    fpci_set(f, 0x100, PCI_EXT_ACS | 0x04010000u);
    refused(b, PCI_WHY_CAPS_RANGE, 0x40);
}

static void test_conventional_function_has_no_extended_space(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_cap_pm(f, 0x40);
    fpci_ext(f, 0x100, PCI_EXT_ACS, 0);
    assert_int_equal(walk(b)->caps.acs, 0);
}

static void test_close_turns_off_only_the_enables(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    const uint32_t at[] = {0x100, 0x120, 0x140, 0x160};
    const uint32_t id[] = {PCI_EXT_ATS, PCI_EXT_PRI, PCI_EXT_PASID, PCI_EXT_SRIOV};
    const uint32_t word[] = {PCI_ATS_WORD, PCI_PRI_WORD, PCI_PASID_WORD, PCI_SRIOV_WORD};
    const uint32_t enable[] = {PCI_ATS_ENABLE, PCI_PRI_ENABLE, PCI_PASID_ENABLE,
                               PCI_SRIOV_ENABLE | PCI_SRIOV_MEMORY};

    fpci_cap_pcie(f, 0x40, PCI_EXP_TYPE_ENDPOINT, false);
    for (int i = 0; i < 4; i++) {
        fpci_ext(f, at[i], id[i], i > 0 ? at[i - 1] : 0);
        fpci_set(f, at[i] + word[i], enable[i]);
        fpci_sticks(f, at[i] + word[i], 0xffffffffu);
    }
    fpci_set(f, 0x120 + PCI_PRI_WORD, PCI_PRI_ENABLE | 0x01000000u); /* a status bit beside it */
    fpci_sticks(f, 0x120 + PCI_PRI_WORD, 0xffffu);
    fpci_clears(f, 0x120 + PCI_PRI_WORD, 0x01000000u);
    (void)walk(b);
    pci_caps_close(&b->host, &b->table[0]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fpci_get(f, at[i] + word[i]) & enable[i], 0);
    }
    assert_int_equal(fpci_get(f, 0x120 + PCI_PRI_WORD), 0x01000000u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finds_each_kind, bench_setup),
        cmocka_unit_test_setup(test_no_list_without_its_status_bit, bench_setup),
        cmocka_unit_test_setup(test_cyclic_list_is_refused, bench_setup),
        cmocka_unit_test_setup(test_capability_pointing_at_itself_is_refused, bench_setup),
        cmocka_unit_test_setup(test_list_into_the_header_is_refused, bench_setup),
        cmocka_unit_test_setup(test_capability_longer_than_its_space_is_refused, bench_setup),
        cmocka_unit_test_setup(test_capability_that_just_fits_is_taken, bench_setup),
        cmocka_unit_test_setup(test_vendor_length_beyond_its_space_is_refused, bench_setup),
        cmocka_unit_test_setup(test_overlapping_capabilities_are_refused, bench_setup),
        cmocka_unit_test_setup(test_extended_cycle_is_refused, bench_setup),
        cmocka_unit_test_setup(test_extended_pointer_below_its_space_is_refused, bench_setup),
        cmocka_unit_test_setup(test_conventional_function_has_no_extended_space, bench_setup),
        cmocka_unit_test_setup(test_close_turns_off_only_the_enables, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
