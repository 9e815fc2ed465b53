/* The audit finds each planted fault in directory, contexts and MSI tables. INV 2, 5, 6. */
#include "core/ctx.h"
#include "one_iommu.h"
#include "riscv/audit.h"

#define DEVICE 0x18u
#define STRANGER 0x19u
#define WINDOW 0x28000000ull
#define FILE(n) cordon_hpa_make(MACHINE_FILES + 0x1000ull * (n))

static cordon_device *dev;

static int setup_device(void **state)
{
    (void)setup(state);
    assert_int_equal(cordon_msi_window(domain, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(domain, 1, FILE(1)), 0);
    dev = machine_attached(iommu, DEVICE, domain, 0);
    return 0;
}

static int teardown_device(void **state)
{
    machine_gone(dev);
    return teardown(state);
}

static uint64_t *word_at(uint64_t hpa)
{
    return fake_ram(fake, hpa, 8);
}

/* Where the words of a context lie: found through the directory's three levels. */
static uint64_t context_of(uint32_t device_id)
{
    uint64_t table = (fake->ddtp & 0x3ffffffffffc00) << 2;

    table = (*word_at(table + 8 * (device_id >> 15)) & 0x3ffffffffffc00) << 2;
    table = (*word_at(table + 8 * (device_id >> 6 & 511)) & 0x3ffffffffffc00) << 2;
    return table + 64 * (device_id & 63);
}

/* With VALUE at HPA, the audit names that word; with the old one, nothing. */
static void planted(uint64_t hpa, uint64_t value, uint32_t invariant)
{
    struct cordon_finding finding = {.text = ""};
    uint64_t old = *word_at(hpa);

    machine_sound(&machine);
    *word_at(hpa) = value;
    assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
    assert_int_equal(finding.invariant, invariant);
    assert_true(finding.word.v == hpa);
    assert_true(finding.value == value);
    assert_true(strlen(finding.text) > 10);
    *word_at(hpa) = old;
    machine_sound(&machine);
}

static void test_a_valid_context_without_a_device_is_found(void **state)
{
    uint64_t at = context_of(STRANGER);
    cordon_device *stranger;

    (void)state;
    planted(at, 1, 5); /* nobody knows it */
    stranger = machine_device(iommu, STRANGER);
    planted(at, 1, 5); /* known, not attached */
    assert_int_equal(cordon_device_remove(stranger), 0);
}

static void test_every_changed_word_of_a_context_is_found(void **state)
{
    uint64_t at = context_of(DEVICE);

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t bit = 0; bit < 64; bit++) {
            if (i == 0 && bit == 0) {
                continue; /* not valid: below */
            }
            planted(at + 8 * i, *word_at(at + 8 * i) ^ 1ull << bit, 6);
        }
    }
    planted(at, 0, 6);
    planted(at + 8, 0, 6); /* second stage Bare */
}

static void test_a_second_stage_of_another_view_is_found(void **state)
{
    uint64_t at = context_of(DEVICE) + 8;
    uint64_t plain = *word_at(at) & ~0xfffffffffffull;

    (void)state;
    planted(at, plain | domain->forest.root[0].v >> 12, 6);
}

static void test_a_directory_that_leads_elsewhere_is_found(void **state)
{
    uint64_t root = (fake->ddtp & 0x3ffffffffffc00) << 2;

    (void)state;
    planted(root, *word_at(root) | 2, 5);                 /* a reserved bit */
    planted(root + 8, 1 | MACHINE_FIRMWARE >> 2, 5);      /* firmware's memory */
    planted(root + 8, 1 | 0x1000000000ull, 5);            /* no memory at all */
    planted(root + 8, 1 | machine.iommu[0].base >> 2, 5); /* registers */
}

static void test_a_changed_ddtp_is_found(void **state)
{
    struct cordon_finding finding;
    uint64_t ddtp = fake->ddtp;
    const uint64_t changed[] = {0, 1, ddtp - 1, ddtp + 0x400};

    (void)state;
    for (size_t i = 0; i < sizeof(changed) / sizeof(changed[0]); i++) {
        fake->ddtp = changed[i];
        assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
        assert_int_equal(finding.invariant, 5);
        assert_true(finding.value == changed[i]);
    }
    fake->ddtp = ddtp;
    machine_sound(&machine);
}

static void test_a_shared_gscid_is_found(void **state)
{
    struct cordon_finding finding;
    uint16_t gscid = domain->view[1].gscid;
    uint64_t *second = word_at(context_of(DEVICE) + 8);

    (void)state;
    domain->view[1].gscid = 2; /* the common view of domain 2, and the context agrees */
    *second ^= (uint64_t)(gscid ^ 2) << 44;
    assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
    assert_int_equal(finding.invariant, 6);
    domain->view[1].gscid = gscid;
    *second ^= (uint64_t)(gscid ^ 2) << 44;
    machine_sound(&machine);
}

static void test_every_changed_msi_entry_is_found(void **state)
{
    uint64_t table = domain->view[1].msi_table.v;

    (void)state;
    planted(table + 16, *word_at(table + 16) + 0x400, 2); /* the next file */
    planted(table + 16, 0, 2);
    planted(table + 32, *word_at(table + 16), 2);
    planted(table, 1, 2);
}

static void test_the_unused_half_of_an_msi_entry_stays_empty(void **state)
{
    struct cordon_finding finding;
    uint64_t table = domain->view[1].msi_table.v;

    (void)state;
    *word_at(table + 24) = 1;
    assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
    assert_int_equal(finding.invariant, 2);
    *word_at(table + 24) = 0;
    machine_sound(&machine);
}

static void test_an_msi_to_a_file_of_another_domain_is_found(void **state)
{
    cordon_domain *other = machine_domain(&machine);
    uint64_t own = domain->view[0].msi_table.v + 16;
    uint64_t copy = domain->view[1].msi_table.v + 16;
    struct cordon_finding finding;
    uint64_t old = *word_at(own);

    (void)state;
    assert_int_equal(cordon_msi_window(other, cordon_gpa_make(WINDOW), 3), 0);
    assert_int_equal(cordon_msi_set(other, 0, FILE(2)), 0);
    *word_at(own) = *word_at(copy) = old + 0x400; /* file 2, and the record agrees */
    assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
    assert_int_equal(finding.invariant, 2);
    assert_int_equal(finding.domain, cordon_domain_number(domain));
    assert_true(finding.word.v == copy);
    *word_at(own) = *word_at(copy) = old | 1ull << 9; /* its own file, a reserved bit */
    assert_int_equal(cordon_audit(machine.ctx, &finding), -CORDON_ECORRUPT);
    *word_at(own) = *word_at(copy) = old;
    machine_sound(&machine);
    assert_int_equal(cordon_domain_destroy(other), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup_device, teardown_device)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_valid_context_without_a_device_is_found),
        T(test_every_changed_word_of_a_context_is_found),
        T(test_a_second_stage_of_another_view_is_found),
        T(test_a_directory_that_leads_elsewhere_is_found),
        T(test_a_changed_ddtp_is_found),
        T(test_a_shared_gscid_is_found),
        T(test_every_changed_msi_entry_is_found),
        T(test_the_unused_half_of_an_msi_entry_stays_empty),
        T(test_an_msi_to_a_file_of_another_domain_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
