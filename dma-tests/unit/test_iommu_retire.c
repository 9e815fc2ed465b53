/* The end of translations: what IOMMUs are told, and what happens when they do not answer. */
#include "two_iommus.h"

#define GPA 0x40010000ull
#define PAGE (GPA >> 12)
#define CMD_GVMA 0x81ull
#define CMD_GVMA_PAGE (0x81ull | 1ull << 10)
#define CMD_KIND 0x7ffull /* opcode, func3, AV */

static cordon_device *attached(uint32_t number, uint32_t device_id, uint32_t flags)
{
    return machine_attached(iommu[number], device_id, domain, flags);
}

/* Commands of one kind that an IOMMU has executed since its log was emptied. */
static uint32_t told(uint32_t number, uint64_t kind)
{
    return fake_count(&machine.iommu[number], CMD_KIND, kind);
}

/* ---- what is told ------------------------------------------------------------------------- */

static void test_few_pages_are_told_one_by_one_to_each_view(void **state)
{
    cordon_device *shared = attached(0, 8, 0);
    cordon_device *own = attached(0, 16, CORDON_ATTACH_OWN_VIEW);

    (void)state;
    (void)machine_grant(&machine, domain, GPA, 8);
    for (uint64_t page = PAGE; page < PAGE + 8; page++) {
        assert_int_equal(fake_access(fake, 8, page), 0);
        assert_int_equal(fake_access(fake, 16, page), 0);
    }
    fake->logged = 0;
    assert_int_equal(machine_revoke(domain, GPA + 0x2000, 3), 0);
    for (uint64_t page = PAGE; page < PAGE + 8; page++) {
        bool kept = page < PAGE + 2 || page >= PAGE + 5;

        assert_int_equal(fake_holds_page(fake, domain->view[1].gscid, page), kept);
        assert_int_equal(fake_holds_page(fake, domain->view[2].gscid, page), kept);
    }
    assert_int_equal(told(0, CMD_GVMA_PAGE), 6);
    assert_int_equal(told(0, CMD_GVMA), 0);
    assert_int_equal(fake_count(fake, 0x7f, 2), 1); /* one fence for all of it */
    machine_gone(shared);
    machine_gone(own);
}

static void test_many_pages_are_told_by_gscid(void **state)
{
    cordon_device *dev = attached(0, 8, 0);

    (void)state;
    (void)machine_grant(&machine, domain, GPA, 100);
    assert_int_equal(fake_access(fake, 8, PAGE + 99), 0);
    fake->logged = 0;
    assert_int_equal(machine_revoke(domain, GPA, 99), 0);
    assert_int_equal(told(0, CMD_GVMA), 1);
    assert_int_equal(told(0, CMD_GVMA_PAGE), 0);
    assert_int_equal(fake_count(fake, 0x7f, 2), 1);
    assert_int_equal(machine_revoke(domain, GPA + 99 * 0x1000, 1), 0);
    assert_false(fake_holds_page(fake, domain->view[1].gscid, PAGE + 99));
    machine_gone(dev);
}

static void test_pages_beyond_one_batch_are_told_by_gscid(void **state)
{
    cordon_device *dev = attached(0, 8, 0);

    (void)state;
    (void)machine_grant(&machine, domain, GPA, 100);
    fake->logged = 0;
    assert_int_equal(machine_revoke(domain, GPA, 32), 0);
    assert_int_equal(told(0, CMD_GVMA_PAGE), 32);
    assert_int_equal(machine_revoke(domain, GPA + 0x40000, 33), 0);
    assert_int_equal(told(0, CMD_GVMA_PAGE), 32);
    assert_int_equal(told(0, CMD_GVMA), 1);
    machine_gone(dev);
}

static void test_a_superpage_is_told_by_gscid(void **state)
{
    const uint64_t gpa = 0x40000000;
    cordon_device *dev = attached(0, 8, 0);

    (void)state;
    (void)machine_grant(&machine, domain, gpa, 1024);
    (void)machine_grant(&machine, domain, gpa + 0x400000, 1); /* so that no table goes as well */
    for (uint64_t page = 0; page < 8; page++) {
        assert_int_equal(fake_access(fake, 8, (gpa >> 12) + 64 * page), 0);
    }
    assert_int_equal(machine_revoke(domain, gpa, 1024), 0);
    for (uint64_t page = 0; page < 8; page++) {
        assert_false(fake_holds_page(fake, domain->view[1].gscid, (gpa >> 12) + 64 * page));
    }
    machine_gone(dev);
}

static void test_every_iommu_that_serves_the_domain_is_told_and_no_other(void **state)
{
    cordon_domain *other = machine_domain(&machine);
    cordon_device *first = attached(0, 8, 0);
    cordon_device *second;
    cordon_device *stranger = machine_device(iommu[1], 16);

    (void)state;
    assert_int_equal(cordon_device_attach(other, stranger, 0), 0);
    (void)machine_grant(&machine, domain, GPA, 8);
    machine.iommu[1].logged = 0;
    assert_int_equal(machine_revoke(domain, GPA, 1), 0);
    assert_int_equal(machine.iommu[1].logged, 0);
    second = attached(1, 8, 0);
    assert_int_equal(fake_access(&machine.iommu[0], 8, PAGE + 1), 0);
    assert_int_equal(fake_access(&machine.iommu[1], 8, PAGE + 1), 0);
    assert_int_equal(machine_revoke(domain, GPA + 0x1000, 1), 0);
    assert_false(fake_holds_page(&machine.iommu[0], domain->view[1].gscid, PAGE + 1));
    assert_false(fake_holds_page(&machine.iommu[1], domain->view[1].gscid, PAGE + 1));
    machine_gone(first);
    machine_gone(second);
    machine_gone(stranger);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

static void test_a_detached_device_is_forgotten_with_all_that_was_translated_for_it(void **state)
{
    cordon_device *dev = attached(0, 8, 0);
    uint16_t gscid = domain->view[1].gscid;

    (void)state;
    assert_int_equal(fake_access(fake, 8, PAGE), 0);
    fake->logged = 0;
    machine_gone(dev);
    assert_int_equal(fake_access(fake, 8, PAGE), 258);
    assert_false(fake_holds_page(fake, gscid, PAGE));
    assert_int_equal(fake_count(fake, ~0ull, 0x3ull | 1ull << 33 | 8ull << 40), 1);
    assert_int_equal(fake_count(fake, ~0ull, 0x1ull | 1ull << 33 | (uint64_t)gscid << 44), 1);
    assert_int_equal(fake_count(fake, ~0ull, 0x81ull | 1ull << 33 | (uint64_t)gscid << 44), 1);
    assert_int_equal(domain->view[1].gscid, 0);
}

static void test_the_last_device_of_a_shared_view_takes_it_along(void **state)
{
    cordon_device *first = attached(0, 8, 0);
    cordon_device *second = attached(0, 16, 0);
    uint64_t root = domain->forest.root[1].v;

    (void)state;
    machine_gone(first);
    assert_int_equal(fake_access(fake, 16, PAGE), 0);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(root)), CORDON_FRAME_TABLE);
    machine_gone(second);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(root)), CORDON_FRAME_FREE);
}

/* ---- no answer ---------------------------------------------------------------------------- */

static void test_frames_stay_revoking_until_the_iommu_has_answered(void **state)
{
    cordon_device *dev = attached(0, 8, 0);
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    assert_int_equal(fake_access(fake, 8, PAGE), 0);
    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, GPA, 4), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    assert_int_equal(cordon_retire(domain), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    assert_true(fake_holds_page(fake, domain->view[1].gscid, PAGE));
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_false(fake_holds_page(fake, domain->view[1].gscid, PAGE));
    machine_gone(dev);
}

static void test_an_iommu_that_another_domain_woke_up_has_forgotten_ours_too(void **state)
{
    cordon_domain *other = machine_domain(&machine);
    cordon_device *dev = attached(0, 8, 0);
    cordon_device *theirs = machine_device(iommu[0], 16);
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    assert_int_equal(cordon_device_attach(other, theirs, 0), 0);
    (void)machine_grant(&machine, other, GPA, 4);
    assert_int_equal(fake_access(fake, 8, PAGE), 0);
    fake_answer_none(fake);
    assert_int_equal(machine_revoke(domain, GPA, 4), -CORDON_EPENDING);
    fake_answer_all(fake);
    assert_int_equal(machine_revoke(other, GPA, 1), 0);
    assert_false(fake_holds_page(fake, domain->view[1].gscid, PAGE));
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    machine_gone(dev);
    machine_gone(theirs);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

static void test_a_detach_without_an_answer_keeps_view_and_gscid(void **state)
{
    cordon_device *dev = attached(0, 8, CORDON_ATTACH_OWN_VIEW);
    cordon_device *next = machine_device(iommu[1], 16);
    uint64_t root = domain->forest.root[1].v;
    uint16_t gscid = domain->view[1].gscid;
    cordon_hpa hpa = machine_grant(&machine, domain, GPA, 4);

    (void)state;
    assert_int_equal(fake_access(fake, 8, PAGE), 0);
    fake_answer_none(fake);
    assert_int_equal(cordon_device_detach(dev), -CORDON_EPENDING);
    assert_int_equal(fake_access(fake, 8, PAGE), 0); /* still in its cache: that is why */
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(root)), CORDON_FRAME_TABLE);
    assert_int_equal(cordon_device_remove(dev), -CORDON_EBUSY);
    assert_int_equal(cordon_device_attach(domain, dev, 0), -CORDON_EBUSY);
    assert_int_equal(cordon_device_attach(domain, next, CORDON_ATTACH_OWN_VIEW), 0);
    assert_true(domain->view[next->view].gscid != gscid);
    assert_true(domain->forest.root[next->view].v != root);
    assert_int_equal(machine_revoke(domain, GPA, 4), -CORDON_EPENDING);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_REVOKING);
    machine_sound(&machine);
    fake_answer_all(fake);
    assert_int_equal(cordon_retire(domain), 0);
    assert_int_equal(machine_frame_state(&machine, hpa), CORDON_FRAME_FREE);
    assert_int_equal(machine_frame_state(&machine, cordon_hpa_make(root)), CORDON_FRAME_FREE);
    assert_int_equal(fake_access(fake, 8, PAGE), 258);
    assert_int_equal(cordon_device_remove(dev), 0);
    machine_gone(next);
}

static void test_a_domain_whose_device_is_not_confirmed_lives_on(void **state)
{
    cordon_domain *d = machine_domain(&machine);
    cordon_device *dev = machine_device(iommu[0], 8);
    uint32_t number = cordon_domain_number(d);
    cordon_domain *next;

    (void)state;
    assert_int_equal(cordon_device_attach(d, dev, 0), 0);
    fake_answer_none(fake);
    assert_int_equal(cordon_device_detach(dev), -CORDON_EPENDING);
    assert_int_equal(cordon_domain_destroy(d), -CORDON_EPENDING);
    next = machine_domain(&machine);
    assert_true(cordon_domain_number(next) != number); /* nor its GSCIDs */
    fake_answer_all(fake);
    assert_int_equal(cordon_domain_destroy(d), 0);
    assert_int_equal(cordon_domain_destroy(next), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
}

static void test_an_attach_without_an_answer_changes_nothing(void **state)
{
    const struct cordon_memory_stats before = machine_stats(&machine);
    cordon_device *dev = machine_device(iommu[0], 8);

    (void)state;
    fake_answer_none(fake);
    assert_int_equal(cordon_device_attach(domain, dev, 0), -CORDON_ETIMEOUT);
    assert_int_equal(domain->forest.views, 1);
    assert_null(domain->devices);
    fake_answer_all(fake);
    assert_int_equal(fake_access(fake, 8, PAGE), 258);
    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    machine_gone(dev);
    assert_true(machine_stats(&machine).table <= before.table + 2 * CORDON_PAGE_SIZE);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_few_pages_are_told_one_by_one_to_each_view),
        T(test_many_pages_are_told_by_gscid),
        T(test_pages_beyond_one_batch_are_told_by_gscid),
        T(test_a_superpage_is_told_by_gscid),
        T(test_every_iommu_that_serves_the_domain_is_told_and_no_other),
        T(test_a_detached_device_is_forgotten_with_all_that_was_translated_for_it),
        T(test_the_last_device_of_a_shared_view_takes_it_along),
        T(test_frames_stay_revoking_until_the_iommu_has_answered),
        T(test_an_iommu_that_another_domain_woke_up_has_forgotten_ours_too),
        T(test_a_detach_without_an_answer_keeps_view_and_gscid),
        T(test_a_domain_whose_device_is_not_confirmed_lives_on),
        T(test_an_attach_without_an_answer_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
