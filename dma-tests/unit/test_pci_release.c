/* Release: the reverse of assignment, with proof that DMA is over, and resumed where it had to
 * stop. */
#include "assign_bench.h"

static void test_release_resets_and_takes_the_context(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    const struct cordon_memory_stats before = machine_stats(&b->m);

    assert_int_equal(assign(b, 0), 0);
    pci_master(&b->host, b->a[0].f, true);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(b->nvme->resets, 2);
    check_nothing_given(b, &before);
    assert_int_equal(assign(b, 0), 0); /* again */
}

static void test_frames_wait_for_the_reset_of_a_device_that_keeps_addresses(void **state)
{
    struct vpci_bench *b = *state;
    struct cordon_memory_stats s;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    assert_int_equal(assign(b, 0), 0);
    assert_int_equal(machine_revoke(b->domain, G_RAM, 1), -CORDON_EPENDING);
    s = machine_stats(&b->m);
    assert_int_equal(s.revoking, CORDON_PAGE_SIZE);
    b->nvme->reset_hangs = true;
    assert_int_equal(pci_release(&b->a[0]), -CORDON_ETIMEOUT);
    assert_int_equal(b->a[0].stage, PCI_STAGE_LEAVING);
    assert_int_equal(b->a[0].why.why, PCI_WHY_RESET_TIMEOUT);
    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    s = machine_stats(&b->m);
    assert_int_equal(s.revoking, CORDON_PAGE_SIZE); /* nobody gets it */
    b->nvme->reset_hangs = false;
    b->nvme->busy_until = 0;
    assert_int_equal(pci_release(&b->a[0]), 0);
    s = machine_stats(&b->m);
    assert_int_equal(s.revoking, 0);
}

static void test_release_without_the_iommus_word_is_finished_later(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, EDU_BDF), 0);
    assert_int_equal(assign(b, 1), 0);
    fake_answer_none(&b->m.iommu[0]);
    assert_int_equal(pci_release(&b->a[1]), -CORDON_EPENDING);
    assert_int_equal(b->a[1].stage, PCI_STAGE_LEAVING);
    assert_int_equal(commands_of(b->edu), 0);
    fake_answer_all(&b->m.iommu[0]);
    assert_int_equal(pci_release(&b->a[1]), 0);
    assert_int_equal(b->a[1].stage, PCI_STAGE_FREE);
}

static void test_release_before_the_end_of_assignment(void **state)
{
    struct vpci_bench *b = *state;

    assert_int_equal(vbench_claim(b, NVME_BDF), 0);
    assert_int_equal(begin(b, 0), 0);
    assert_int_equal(pci_release(&b->a[0]), 0);
    assert_int_equal(b->nvme->early, 0);
    assert_false(b->a[0].f->assigned);
    assert_int_equal(pci_release(&b->a[0]), 0); /* nothing to do */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, vbench_setup, vbench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_release_resets_and_takes_the_context),
        TEST(test_frames_wait_for_the_reset_of_a_device_that_keeps_addresses),
        TEST(test_release_without_the_iommus_word_is_finished_later),
        TEST(test_release_before_the_end_of_assignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
