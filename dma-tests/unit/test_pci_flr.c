/* A reset that the guest asks for: a real one, that blocks nobody, and drains what waited. */
#include "vpci_bench.h"

#define CAP_PCIE 0x80u
#define CAP_MSIX 0x40u

static struct vpci_pass *nvme(struct vpci_bench *b)
{
    return vbench_give(b, 0);
}

static void test_flr_is_a_real_reset_with_everything_taken_back(void **state)
{
    struct vpci_bench *b = *state;
    struct vpci_pass *p = nvme(b);

    config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_command(b, NVME_SLOT, 0x6);
    config_write(b, NVME_SLOT, CAP_MSIX, 0x80000000u);
    assert_int_equal(b->nvme->resets, 1);
    guest_write(b, G_ECAM + (NVME_SLOT << 15) + CAP_PCIE + 8, 2, 0xa810);
    assert_int_equal(b->nvme->resets, 2);
    assert_int_equal(p->resets, 1);
    assert_int_equal(guest_reaches(b, G_LOW), 0);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), PCI_ABSENT); /* not yet */
    config_command(b, NVME_SLOT, 0x6);                               /* nor heard */
    b->pci.now_us += 200000;
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), fpci_get(b->nvme, PCI_ID));
    assert_int_equal(config_read(b, NVME_SLOT, PCI_COMMAND), PCI_STATUS_CAPS);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_BAR(0)), 4);
    assert_int_equal(config_read(b, NVME_SLOT, CAP_PCIE + 8), 0x2810);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 7u, 0);
    assert_int_equal(fpci_get(b->nvme, CAP_MSIX) >> 31, 0);
    assert_int_equal(fpci_bar_address(b->nvme, 0), b->a[0].f->bar[0].bus);
    assert_int_equal(b->nvme->early, 0);
    assert_true(device_reaches(b, NVME_BDF, G_RAM)); /* still the guest's */
    config_write(b, NVME_SLOT, PCI_BAR(0), (uint32_t)G_LOW);
    config_command(b, NVME_SLOT, 0x6);
    assert_int_equal(guest_reaches(b, G_LOW), b->a[0].f->bar[0].hpa.v);
}

static void test_flr_drains_frames_that_waited(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_command(b, NVME_SLOT, 0x4);
    assert_int_equal(machine_revoke(b->domain, G_RAM, 2), -CORDON_EPENDING);
    assert_int_equal(machine_stats(&b->m).revoking, 2 * CORDON_PAGE_SIZE);
    config_write(b, NVME_SLOT, CAP_PCIE + 8, PCI_EXP_DEVCTL_FLR);
    assert_int_equal(machine_stats(&b->m).revoking, 2 * CORDON_PAGE_SIZE);
    b->pci.now_us += 200000;
    (void)config_read(b, NVME_SLOT, PCI_ID);
    assert_int_equal(machine_stats(&b->m).revoking, 0);
}

static void test_function_lost_in_its_reset_stays_off_the_bus(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_command(b, NVME_SLOT, 0x6);
    b->nvme->reset_hangs = true;
    config_write(b, NVME_SLOT, CAP_PCIE + 8, PCI_EXP_DEVCTL_FLR);
    for (int i = 0; i < 10; i++) {
        b->pci.now_us += 300000;
        assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), PCI_ABSENT);
        config_command(b, NVME_SLOT, 0x6);
    }
    assert_int_equal(b->a[0].stage, PCI_STAGE_LOST);
    b->nvme->reset_hangs = false;
    b->nvme->busy_until = 0;
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0x4u, 0);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), PCI_ABSENT);
    assert_int_equal(vpci_remove(&b->pass[0].fn), 0);
    assert_int_equal(pci_release(&b->a[0]), 0); /* the release's own reset brings it back */
}

static void test_release_during_a_guests_reset_waits_for_it(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_write(b, NVME_SLOT, CAP_PCIE + 8, PCI_EXP_DEVCTL_FLR);
    assert_int_equal(vpci_remove(&b->pass[0].fn), 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(b->nvme->resets, 2);
    assert_int_equal(b->nvme->early, 0);
}

static void test_function_without_reset_offers_none(void **state)
{
    struct vpci_bench *b = *state;

    fpci_cap_pcie(b->edu, 0x80, PCI_EXP_TYPE_ENDPOINT, false);
    vbench_discover(b);
    (void)vbench_give(b, 1);
    assert_int_equal(config_read(b, EDU_SLOT, 0x84) & PCI_EXP_DEVCAP_FLR, 0);
    config_write(b, EDU_SLOT, 0x88, 0xffff);
    assert_int_not_equal(config_read(b, EDU_SLOT, PCI_ID), PCI_ABSENT);
    assert_int_equal(b->edu->resets, 0);
}

static void test_quarantine_is_at_once_and_for_good(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_command(b, NVME_SLOT, 0x6);
    assert_true(device_reaches(b, NVME_BDF, G_RAM));
    vpci_lock(&b->bridge);
    assert_int_equal(pci_quarantine(&b->a[0]), 0);
    vpci_unlock(&b->bridge);
    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0x4u, 0);
    config_command(b, NVME_SLOT, 0x6);
    config_write(b, NVME_SLOT, CAP_PCIE + 8, PCI_EXP_DEVCTL_FLR);
    assert_int_equal(config_read(b, NVME_SLOT, PCI_ID), PCI_ABSENT);
    assert_int_equal(fpci_get(b->nvme, PCI_COMMAND) & 0x4u, 0);
    assert_int_equal(b->nvme->resets, 1);
    assert_int_equal(vpci_remove(&b->pass[0].fn), 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(b->nvme->resets, 2);
    assert_int_equal(pci_quarantine(&b->a[0]), -CORDON_EINVAL);
    vbench_audit(b);
}

static void test_quarantine_during_a_reset_leaves_the_function_alone(void **state)
{
    struct vpci_bench *b = *state;

    (void)nvme(b);
    config_write(b, NVME_SLOT, CAP_PCIE + 8, PCI_EXP_DEVCTL_FLR);
    assert_int_equal(pci_quarantine(&b->a[0]), 0);
    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    assert_int_equal(vpci_remove(&b->pass[0].fn), 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(b->nvme->resets, 2);
    assert_int_equal(b->nvme->early, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_flr_is_a_real_reset_with_everything_taken_back),
        TEST(test_flr_drains_frames_that_waited),
        TEST(test_function_lost_in_its_reset_stays_off_the_bus),
        TEST(test_release_during_a_guests_reset_waits_for_it),
        TEST(test_function_without_reset_offers_none),
        TEST(test_quarantine_during_a_reset_leaves_the_function_alone),
        TEST(test_quarantine_is_at_once_and_for_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
