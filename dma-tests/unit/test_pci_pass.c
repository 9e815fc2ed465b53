/*
 * Configuration space of a passthrough function: what reads through, what is hidden, what a guest's
 * writes may do to the real one. Written from the specification's offsets.
 */
#include "vpci_bench.h"

#define CAP_PCIE 0x80u
#define CAP_PM 0x60u
#define CAP_MSIX 0x40u
#define CAP_MSI 0x40u

static struct vpci_pass *nvme(struct vpci_bench *b)
{
    return vbench_give(b, 0);
}

static void test_identity_reads_through(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    assert_int_equal(config_read(b, NVME_SLOT, 0x00), fpci_get(b->nvme, 0x00));
    assert_int_equal(config_read(b, NVME_SLOT, 0x08), fpci_get(b->nvme, 0x08));
    assert_int_equal(config_read(b, NVME_SLOT, 0x2c), fpci_get(b->nvme, 0x2c));
    assert_int_equal(guest_read(b, G_ECAM + (NVME_SLOT << 15) + 0x0a, 2), 0x0108);
    assert_int_equal(guest_read(b, G_ECAM + (NVME_SLOT << 15), 8) >> 32, 0x00100000u);
}

static void test_header_is_a_single_function_without_pin_rom_or_errors(void **state)
{
    struct vpci_bench *b = *state;

    fpci_set(b->nvme, 0x0c, 0x80804010u); /* BIST, latency, cache line; one function still */
    fpci_set(b->nvme, PCI_COMMAND, 0xf9b00000u | PCI_STATUS_CAPS);
    (void)nvme(b);
    assert_int_equal(config_read(b, NVME_SLOT, 0x0c), 0);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_COMMAND), PCI_STATUS_CAPS);
    assert_int_equal(config_read(b, NVME_SLOT, 0x3c), 0); /* the real one has pin A */
    assert_int_equal(config_read(b, NVME_SLOT, 0x30), 0);
    assert_int_equal(config_read(b, NVME_SLOT, 0x28), 0);
    assert_int_equal(config_read(b, NVME_SLOT, 0x38), 0);
    config_write(b, NVME_SLOT, 0x3c, 0xffffffffu);
    assert_int_equal(config_read(b, NVME_SLOT, 0x3c), 0xff); /* the line only, and ours */
    assert_int_equal(fpci_get(b->nvme, 0x3c), 0x100);
    config_write(b, NVME_SLOT, 0x0c, 0xffffffffu);
    assert_int_equal(config_read(b, NVME_SLOT, 0x0c), 0xff);
}

static void test_command_lets_only_memory_and_mastering_through(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    b->nvme->commands = 0;
    config_write(b, NVME_SLOT, PCI_COMMAND, 0xffffffffu);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_COMMAND), PCI_STATUS_CAPS | 0x0546);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0xffffu, 0x0406);
    assert_int_equal(b->nvme->commands & ~0x0406u, 0);
    config_command(b, NVME_SLOT, 0); /* the guest's INTx bit falls, the real one stays */
    assert_int_equal(config_read(b, NVME_SLOT, PCI_COMMAND), PCI_STATUS_CAPS);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0xffffu, 0x0400);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + PCI_COMMAND, 1, 0x04);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0xffffu, 0x0404);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + PCI_COMMAND + 2, 2, 0xffff);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_COMMAND), PCI_STATUS_CAPS | 0x0004);
}

static void test_chain_holds_only_what_is_allowed(void **state)
{
    struct vpci_bench *b = *state;
    const uint32_t expected[] = {PCI_CAP_PCIE, PCI_CAP_PM, PCI_CAP_MSIX};

    fpci_cap_af(b->nvme, 0xd0);
    fpci_cap(b->nvme, 0xe0, 0x03);                   /* vital product data */
    fpci_cap_virtio(b->nvme, 0xe8, 1, 0, 0, 0x1000); /* vendor specific, not virtio's */
    vbench_discover(b);
    (void)nvme(b);
    uint32_t at = config_read(b, NVME_SLOT, PCI_CAP_POINTER);

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_not_equal(at, 0);
        assert_int_equal(config_read(b, NVME_SLOT, at) & 0xffu, expected[i]);
        at = config_read(b, NVME_SLOT, at) >> 8 & 0xffu;
    }
    assert_int_equal(at, 0);
    assert_int_equal(config_read(b, NVME_SLOT, 0xd0), 0);
    assert_int_equal(config_read(b, NVME_SLOT, 0xe0), 0);
    assert_int_equal(config_read(b, NVME_SLOT, 0xe8), 0);
}

static void test_extended_space_is_empty(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    assert_int_not_equal(fpci_get(b->nvme, 0x200), 0);
    for (uint32_t at = 0x100; at < 0x1000; at += 4) {
        config_write(b, NVME_SLOT, at, 0xffffffffu);
        assert_int_equal(config_read(b, NVME_SLOT, at), 0);
    }
}

static void test_power_state_is_always_d0(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PM) >> 16, 3); /* version only: no PME, D1, D2 */
    config_write(b, NVME_SLOT, CAP_PM + 4, 0xffffffffu);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PM + 4), PCI_PM_NO_SOFT_RESET);
    assert_int_equal(fpci_get(b->nvme, CAP_PM + 4) & PCI_PM_STATE, 0);
}

static void test_msix_control_goes_through_and_its_places_do_not_move(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_write(b, NVME_SLOT, CAP_MSIX, 0xffffffffu);
    assert_int_equal(fpci_get(b->nvme, CAP_MSIX) >> 16, 0xc040);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_MSIX), 0xc0400011u);
    config_write(b, NVME_SLOT, CAP_MSIX + 4, 0xffffffffu);
    config_write(b, NVME_SLOT, CAP_MSIX + 8, 0xffffffffu);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_MSIX + 4), 0x2000);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_MSIX + 8), 0x3000);
    assert_int_equal(fpci_get(b->nvme, CAP_MSIX + 4), 0x2000);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + CAP_MSIX + 2, 2, 0x8000);
    assert_int_equal(fpci_get(b->nvme, CAP_MSIX) >> 16, 0x8040);
}

static void test_msix_outside_its_bars_is_hidden(void **state)
{
    struct vpci_bench *b = *state;
    const uint32_t word[][2] = {
        {0x3c00, 0x3000}, /* 65 entries: over the end of 16 KiB */
        {0x2000, 0x4000}, /* pending bits after the end */
        {0x2000, 0x3ff8}, /* 65 pending bits: over it */
        {0x2001, 0x3000}, /* the upper half of BAR 0 */
        {0x2006, 0x3000}, /* no such BAR */
    };

    for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
        fpci_set(b->nvme, CAP_MSIX + 4, word[i][0]);
        fpci_set(b->nvme, CAP_MSIX + 8, word[i][1]);
        pci_unclaim(&b->host, NVME_BDF);
        (void)nvme(b);
        assert_int_equal(config_read(b, NVME_SLOT, CAP_MSIX), 0);
        assert_int_equal(vpci_remove(&b->pass[0].fn), 0);
        assert_int_equal(pci_release(&b->a[0]), 0);
    }
    fpci_set(b->nvme, CAP_MSIX + 4, 0x2000);
    fpci_set(b->nvme, CAP_MSIX + 8, 0x3ff0);
    pci_unclaim(&b->host, NVME_BDF);
    (void)nvme(b);
    assert_int_not_equal(config_read(b, NVME_SLOT, CAP_MSIX), 0);
}

static void test_msi_address_and_data_go_through(void **state)
{
    struct vpci_bench *b = *state;

    (void)vbench_give(b, 1);
    config_write(b, EDU_SLOT, CAP_MSI + 4, (uint32_t)G_FILES + 0x1003);
    config_write(b, EDU_SLOT, CAP_MSI + 8, 0);
    config_write(b, EDU_SLOT, CAP_MSI + 12, 0xabcd0033u);
    config_write(b, EDU_SLOT, CAP_MSI, 0xffffffffu);
    assert_int_equal(fpci_get(b->edu, CAP_MSI + 4), G_FILES + 0x1000);
    assert_int_equal(fpci_get(b->edu, CAP_MSI + 12), 0x33);
    assert_int_equal(config_read(b, EDU_SLOT, CAP_MSI + 4), G_FILES + 0x1000);
    assert_int_equal(config_read(b, EDU_SLOT, CAP_MSI + 12), 0x33);
    assert_int_equal(fpci_get(b->edu, CAP_MSI) & PCI_MSI_ENABLE, PCI_MSI_ENABLE);
    assert_int_equal(fpci_get(b->edu, CAP_MSI) & PCI_MSI_VECTORS, 0); /* it can do one */
    assert_int_equal(config_read(b, EDU_SLOT, CAP_MSI) & 0xffffu, PCI_CAP_MSI);
}

static void test_msi_vectors_are_cut_to_what_the_function_can(void **state)
{
    struct vpci_bench *b = *state;

    fpci_set(b->edu, PCI_CAP_POINTER, 0);
    fpci_cap_msi(b->edu, 0x40, 2, PCI_MSI_MASKABLE); /* four vectors, 32 bits, masks */
    vbench_discover(b);
    (void)vbench_give(b, 1);
    config_write(b, EDU_SLOT, 0x40, 5u << 20);
    assert_int_equal(fpci_get(b->edu, 0x40) & PCI_MSI_VECTORS, 2u << 20);
    config_write(b, EDU_SLOT, 0x40, 1u << 20);
    assert_int_equal(fpci_get(b->edu, 0x40) & PCI_MSI_VECTORS, 1u << 20);
    config_write(b, EDU_SLOT, 0x48, 0x12345678u);
    assert_int_equal(fpci_get(b->edu, 0x48), 0x5678);
    config_write(b, EDU_SLOT, 0x4c, 0xfu);
    assert_int_equal(fpci_get(b->edu, 0x4c), 0xf);
    fpci_set(b->edu, 0x50, 0x5u);
    fpci_sticks(b->edu, 0x50, 0xffffffffu);
    config_write(b, EDU_SLOT, 0x50, 0xffffffffu); /* pending bits are read only */
    assert_int_equal(config_read(b, EDU_SLOT, 0x50), 0x5);
}

static void test_pcie_is_an_integrated_endpoint_that_can_be_reset(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PCIE) >> 16, 0x92);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PCIE + 4),
                     PCI_EXP_DEVCAP_FLR | PCI_EXP_DEVCAP_ROLE_ERRORS);
    uint32_t real = fpci_get(b->nvme, CAP_PCIE + 8);

    config_write(b, NVME_SLOT, CAP_PCIE + 8, 0xffff7fffu); /* all but the reset */
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PCIE + 8), 0x79ff);
    assert_int_equal(fpci_get(b->nvme, CAP_PCIE + 8), real);
    b->nvme->config[CAP_PCIE + 10] |= 0x20; /* requests pending: the guest may know */
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PCIE + 8) >> 16, 0x20);
    for (uint32_t at = CAP_PCIE + 12; at < CAP_PCIE + 0x3c; at += 4) {
        config_write(b, NVME_SLOT, at, 0xffffffffu);
        assert_int_equal(config_read(b, NVME_SLOT, at), 0);
    }
}

static void test_virtio_capabilities_read_as_they_are_but_for_the_window(void **state)
{
    struct vpci_bench *b = *state;

    b->edu->kind = FPCI_VIRTIO;
    b->edu->features = UINT64_C(3) << 32;
    fpci_set(b->edu, PCI_ID, 0x10421af4u);
    fpci_cap_virtio(b->edu, 0x60, VIRTIO_CAP_TYPE_COMMON, 0, 0, 0x1000);
    fpci_cap_virtio(b->edu, 0xb0, VIRTIO_CAP_TYPE_PCI, 2, 0, 4);
    fpci_cap_virtio(b->edu, 0x80, 2, 0, 0x3000, 0x1000);
    fpci_cap_af(b->edu, 0xa0);
    vbench_discover(b);
    (void)vbench_give(b, 1);
    assert_int_equal(config_read(b, EDU_SLOT, 0x60) & ~0xff00u, fpci_get(b->edu, 0x60) & ~0xff00u);
    assert_int_equal(config_read(b, EDU_SLOT, 0x64), 0);
    assert_int_equal(config_read(b, EDU_SLOT, 0x6c), 0x1000);
    assert_int_equal(config_read(b, EDU_SLOT, 0x88), 0x3000);
    config_write(b, EDU_SLOT, 0x88, 0);
    assert_int_equal(config_read(b, EDU_SLOT, 0x88), 0x3000);
    assert_int_equal(config_read(b, EDU_SLOT, 0xb0), 0);
    uint32_t found = 0;

    for (uint32_t at = config_read(b, EDU_SLOT, PCI_CAP_POINTER); at != 0;
         at = config_read(b, EDU_SLOT, at) >> 8 & 0xffu) {
        found += (config_read(b, EDU_SLOT, at) & 0xffu) == PCI_CAP_VENDOR;
        assert_int_not_equal(at, 0xb0);
    }
    assert_int_equal(found, 2);
}

/* A bit has one meaning only, so that no write reaches two places. */
static void test_every_bit_of_a_word_has_one_kind(void **state)
{
    struct vpci_bench *b = *state;
    const struct vpci_pass *pass[] = {nvme(b), vbench_give(b, 1)};

    for (int n = 0; n < 2; n++) {
        for (uint32_t i = 0; i < PASS_WORDS; i++) {
            const struct pass_word *w = &pass[n]->word[i];

            assert_int_equal(w->fixed & w->live, 0);
            assert_int_equal(w->fixed & w->soft, 0);
            assert_int_equal(w->live & w->soft, 0);
            assert_int_equal(w->hard & ~w->live, 0);
            assert_int_equal(w->first & ~w->soft, 0);
        }
    }
}

/* Every register at random: the real function keeps what policy says. */
static void test_random_writes_keep_the_real_function_within_policy(void **state)
{
    struct vpci_bench *b = *state;
    const uint32_t slots[] = {NVME_SLOT, EDU_SLOT, 3};
    const unsigned widths[] = {1, 2, 4, 8};
    uint64_t seed = 4711;
    struct fpci_fn before = *b->nvme;

    (void)nvme(b);
    (void)vbench_give(b, 1);
    b->nvme->commands = 0;
    b->edu->commands = 0;
    for (int i = 0; i < 60000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        unsigned width = widths[seed >> 62];
        uint64_t at = ((seed >> 33) & 0x1ffu) / width * width;
        uint64_t value = seed ^ seed >> 29;
        uint64_t gpa = G_ECAM + (slots[(seed >> 50) % 3] << 15) + at;

        if ((seed >> 20) % 5 == 0) {
            value = (seed >> 21) % 2 != 0 ? UINT64_MAX : 0;
        }
        guest_write(b, gpa, width, value);
        (void)guest_read(b, gpa, width);
        b->pci.now_us += 20000;
        assert_int_equal(config_read(b, 3, (uint32_t)at & ~3u), PCI_ABSENT);
    }
    assert_int_equal((b->nvme->commands | b->edu->commands) & ~0x406u, 0);
    assert_int_equal(b->pci.conflicts, 0);
    b->pci.now_us += 200000;
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), 0x00101b36);
    for (uint32_t at = 0; at < 0x1000; at++) { /* what no one may write is as it was */
        bool may = (at >= 0x04 && at < 0x08) || (at >= 0x10 && at < 0x18) ||
                   (at >= CAP_MSIX && at < CAP_MSIX + 4);

        assert_true(may || b->nvme->config[at] == before.config[at]);
    }
    assert_int_equal(fpci_bar_address(b->nvme, 0), b->a[0].f->bar[0].bus);
    vbench_audit(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identity_reads_through),
        TEST(test_header_is_a_single_function_without_pin_rom_or_errors),
        TEST(test_command_lets_only_memory_and_mastering_through),
        TEST(test_chain_holds_only_what_is_allowed),
        TEST(test_extended_space_is_empty),
        TEST(test_power_state_is_always_d0),
        TEST(test_msix_control_goes_through_and_its_places_do_not_move),
        TEST(test_msix_outside_its_bars_is_hidden),
        TEST(test_msi_address_and_data_go_through),
        TEST(test_msi_vectors_are_cut_to_what_the_function_can),
        TEST(test_pcie_is_an_integrated_endpoint_that_can_be_reset),
        TEST(test_virtio_capabilities_read_as_they_are_but_for_the_window),
        TEST(test_every_bit_of_a_word_has_one_kind),
        TEST(test_random_writes_keep_the_real_function_within_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
