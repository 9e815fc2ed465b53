/* An IOMMU is taken over, closed and turned off: order, features, depths, refusals. [IOMMU 6.2] */
#include "no_iommu.h"

#define REG_FCTL 0x008u
#define REG_DDTP 0x010u
#define REG_CQB 0x018u
#define REG_FQB 0x028u
#define REG_CQCSR 0x048u
#define REG_FQCSR 0x04cu

#define CMD_GVMA_ALL 0x81ull
#define CMD_VMA_ALL 0x1ull
#define CMD_DDT_ALL 0x3ull
#define CMD_MASK_OP 0x3ffull
#define CMD_IOFENCE 0x2ull

/* Index of the first event from FROM on, or of none: the number of events. */
static uint32_t find(enum fake_event_kind kind, uint32_t reg, uint64_t mask, uint64_t value,
                     uint32_t from)
{
    const struct fake_iommu *f = &machine.iommu[0];
    uint32_t i = from;

    while (i < f->logged &&
           !(f->log[i].kind == kind && f->log[i].reg == reg && (f->log[i].value & mask) == value)) {
        i++;
    }
    return i;
}

static uint32_t find_write(uint32_t reg, uint64_t mask, uint64_t value, uint32_t from)
{
    return find(FAKE_WRITE, reg, mask, value, from);
}

static uint32_t find_command(uint64_t word, uint32_t from)
{
    return find(FAKE_COMMAND, 0, ~0ull, word, from);
}

static void remove_and_close(cordon_iommu *iommu)
{
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(machine.iommu[0].ddtp & 15, 0);
    machine_close(&machine);
}

/* ---- order -------------------------------------------------------------------------------- */

static void test_queues_are_on_before_the_directory(void **state)
{
    cordon_iommu *iommu;
    uint32_t logged;

    (void)state;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    logged = machine.iommu[0].logged;
    assert_true(find_write(REG_CQB, 0, 0, 0) < find_write(REG_CQCSR, 1, 1, 0));
    assert_true(find_write(REG_FQB, 0, 0, 0) < find_write(REG_FQCSR, 1, 1, 0));
    assert_true(find_write(REG_CQCSR, 1, 1, 0) < find_write(REG_DDTP, 15, 4, 0));
    assert_true(find_write(REG_FQCSR, 1, 1, 0) < find_write(REG_DDTP, 15, 4, 0));
    assert_true(find_write(REG_DDTP, 15, 4, 0) < logged);
    remove_and_close(iommu);
}

static void test_caches_are_flushed_before_and_after_the_directory_is_set(void **state)
{
    uint32_t directory;
    cordon_iommu *iommu;

    (void)state;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    directory = find_write(REG_DDTP, 15, 4, 0);
    assert_true(find_command(CMD_DDT_ALL, 0) < directory);
    assert_true(find_command(CMD_VMA_ALL, 0) < directory);
    assert_true(find_command(CMD_GVMA_ALL, 0) < directory);
    assert_true(find_command(CMD_DDT_ALL, directory) < machine.iommu[0].logged);
    assert_true(find_command(CMD_VMA_ALL, directory) < machine.iommu[0].logged);
    assert_true(find_command(CMD_GVMA_ALL, directory) < machine.iommu[0].logged);
    assert_int_equal(machine.iommu[0].log[machine.iommu[0].logged - 1].value & CMD_MASK_OP,
                     CMD_IOFENCE);
    remove_and_close(iommu);
}

static void test_what_firmware_left_on_is_closed_first(void **state)
{
    struct fake_iommu *f = &machine.iommu[0];
    struct cordon_iommu_info info;
    cordon_iommu *iommu;

    (void)state;
    f->ddtp = 4 | (MACHINE_FIRMWARE >> 2);
    f->cq.base = (MACHINE_FIRMWARE >> 2) | 7;
    f->cq.csr = 0x10001;
    f->fq.csr = 0x10003;
    f->capabilities |= FAKE_CAP_ATS;
    f->pq.csr = 0x10001;
    f->fctl = 1; /* big-endian */
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    cordon_iommu_info(iommu, &info);
    assert_int_equal(info.found_mode, 4);
    assert_int_equal(f->log[0].reg, REG_DDTP);
    assert_int_equal(f->log[0].value, MACHINE_FIRMWARE >> 2); /* Off, and the PPN as it was */
    assert_int_equal(f->pq.csr, 0);
    assert_true(find_write(REG_CQCSR, ~0ull, 0, 0) < find_write(REG_FCTL, 0, 0, 0));
    assert_int_equal(f->fctl & 1, 0);
    remove_and_close(iommu);
}

static void test_a_directory_from_firmware_leads_no_device_any_more(void **state)
{
    struct fake_iommu *f = &machine.iommu[0];
    cordon_iommu *iommu;
    uint64_t *dc = fake_ram(f, MACHINE_FIRMWARE, 64);

    (void)state;
    f->ddtp = 2 | MACHINE_FIRMWARE >> 2; /* one level, one valid context */
    memset(dc, 0, 0x1000);
    dc[0] = 1;
    dc[1] = 8ull << 60 | 5ull << 44;
    assert_int_equal(fake_access(f, 0, 0x10), 0);
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    assert_int_equal(fake_access(f, 0, 0x10), 258);
    assert_false(fake_holds_page(f, 5, 0x10));
    remove_and_close(iommu);
}

/* ---- what it finds ------------------------------------------------------------------------ */

static void test_the_fewest_levels_that_cover_the_widest_id_are_used(void **state)
{
    static const struct {
        bool extended;
        uint32_t max_device_id;
        uint32_t levels;
    } cases[] = {
        {true, 0, 1},       {true, 0x3f, 1},     {true, 0x40, 2},      {true, 0x7fff, 2},
        {true, 0x8000, 3},  {true, 0xffffff, 3}, {false, 0x7f, 1},     {false, 0x80, 2},
        {false, 0xffff, 2}, {false, 0x10000, 3}, {false, 0xffffff, 3},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cordon_iommu_info info;
        cordon_iommu *iommu;

        machine.iommu[0].capabilities =
            FAKE_CAPABILITIES & ~(cases[i].extended ? 0 : FAKE_CAP_MSI_FLAT);
        assert_int_equal(machine_try_iommu(&machine, 0, cases[i].max_device_id, &iommu), 0);
        cordon_iommu_info(iommu, &info);
        assert_int_equal(info.directory_levels, cases[i].levels);
        assert_int_equal(info.extended, cases[i].extended);
        assert_int_equal(machine.iommu[0].ddtp & 15, cases[i].levels + 1);
        assert_int_equal(cordon_iommu_remove(iommu), 0);
    }
    machine_close(&machine);
}

static void test_a_deeper_directory_serves_where_the_smallest_is_not_offered(void **state)
{
    struct cordon_iommu_info info;
    cordon_iommu *iommu;

    (void)state;
    machine.iommu[0].ddtp_modes = 0x13; /* Off, Bare, 3LVL */
    assert_int_equal(machine_try_iommu(&machine, 0, 5, &iommu), 0);
    cordon_iommu_info(iommu, &info);
    assert_int_equal(info.directory_levels, 3);
    remove_and_close(iommu);
}

static void test_each_mode_is_told_by_its_own_bit(void **state)
{
    static const struct {
        uint64_t capabilities;
        uint32_t modes;
    } cases[] = {
        {1ull << 17, CORDON_MODE_SV39X4},
        {FAKE_CAP_SV48X4, CORDON_MODE_SV48X4},
        {FAKE_CAP_SV57X4, CORDON_MODE_SV57X4},
        {1ull << 17 | FAKE_CAP_SV57X4, CORDON_MODE_SV39X4 | CORDON_MODE_SV57X4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cordon_iommu_info info;
        cordon_iommu *iommu;

        machine.iommu[0].capabilities = (FAKE_CAPABILITIES & ~(7ull << 17)) | cases[i].capabilities;
        assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
        cordon_iommu_info(iommu, &info);
        assert_int_equal(info.modes, cases[i].modes);
        assert_int_equal(cordon_iommu_remove(iommu), 0);
    }
    machine_close(&machine);
}

static void test_a_shorter_queue_is_used_when_the_hardware_has_no_longer_one(void **state)
{
    cordon_iommu *iommu;

    (void)state;
    machine.iommu[0].log2_max = 2;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    assert_int_equal(machine.iommu[0].cq.base & 31, 1);
    assert_int_equal(machine.iommu[0].fq.base & 31, 1);
    remove_and_close(iommu);
}

/* ---- interrupts --------------------------------------------------------------------------- */

static void test_its_interrupts_are_wires_where_it_has_them(void **state)
{
    cordon_iommu *iommu;

    (void)state;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    assert_int_equal(machine.iommu[0].fctl, 2);
    assert_int_equal(machine.iommu[0].icvec, 0x3210);
    assert_int_equal(machine.iommu[0].fq.csr & 3, 3); /* fqen, fie */
    assert_int_equal(machine.iommu[0].cq.csr & 3, 1); /* commands are waited for */
    remove_and_close(iommu);
}

static void test_its_messages_are_masked_where_it_has_no_wires(void **state)
{
    cordon_iommu *iommu;

    (void)state;
    machine.iommu[0].capabilities = FAKE_CAPABILITIES & ~FAKE_CAP_IGS;
    machine.iommu[0].icvec_bits = 2;
    machine.iommu[0].fctl_fixed = 7;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    assert_int_equal(machine.iommu[0].fctl, 0);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(machine.iommu[0].msi_ctl[i], 1);
    }
    assert_int_equal(machine.iommu[0].fq.csr & 3, 1);
    remove_and_close(iommu);
}

/* ---- failures in turn --------------------------------------------------------------------- */

static void test_each_allocation_that_fails_leaves_nothing_behind(void **state)
{
    cordon_iommu *iommu = NULL;
    uint32_t failures = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    while (err != 0) {
        const struct cordon_memory_stats before = machine_stats(&machine);

        machine.record.allocations = 0;
        machine.record.fail_at = failures + 1;
        err = machine_try_iommu(&machine, 0, 0xffff, &iommu);
        machine.record.fail_at = 0;
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(machine_stats(&machine).table, before.table);
            assert_int_equal(machine.iommu[0].ddtp & 15, 0);
            failures++;
        }
    }
    assert_true(failures >= 4); /* the IOMMU, its two queues, the fence's word, the directory */
    remove_and_close(iommu);
}

/* It uses no memory: no directory, no queue, and nothing that would turn one on is under way. */
static bool is_off(const struct fake_iommu *f)
{
    return (f->ddtp & 15) == 0 && !f->ddtp_answer.busy && !f->cq.answer.busy &&
           !f->fq.answer.busy && ((f->cq.csr | f->fq.csr) & 0x10000) == 0;
}

static void test_each_answer_that_never_comes_ends_the_bring_up(void **state)
{
    cordon_iommu *iommu = NULL;
    int err = -CORDON_ETIMEOUT;
    uint32_t n = 0;

    (void)state;
    machine_drop(&machine);
    while (err != 0) {
        uint64_t table;

        n++;
        machine_open(&machine);
        table = machine_stats(&machine).table;
        machine.iommu[0].ddtp = 4 | MACHINE_FIRMWARE >> 2;
        machine.iommu[0].cq.csr = 0x10001;
        machine.iommu[0].fq.csr = 0x10001;
        machine.iommu[0].never_at = n;
        err = machine_try_iommu(&machine, 0, 0xffff, &iommu);
        assert_int_equal(machine.iommu[0].violations, 0);
        if (err != 0) {
            assert_int_equal(err, -CORDON_ETIMEOUT);
            assert_true(machine.iommu[0].ddtp_answer.stuck || (machine.iommu[0].ddtp & 15) == 0);
            assert_true(machine_stats(&machine).table == table || !is_off(&machine.iommu[0]));
            assert_true(machine_stats(&machine).table > table || is_off(&machine.iommu[0]));
            fake_answer_all(&machine.iommu[0]);
            assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu),
                             0); /* it can be tried again */
            assert_int_equal(cordon_iommu_remove(iommu), 0);
            machine_drop(&machine);
        }
    }
    assert_true(n > 7); /* ddtp twice, both queues off and on, fences */
    fake_answer_all(&machine.iommu[0]);
    remove_and_close(iommu);
}

static void test_a_slow_iommu_comes_up_all_the_same(void **state)
{
    cordon_iommu *iommu;

    (void)state;
    machine.iommu[0].delay = 10;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), 0);
    remove_and_close(iommu);
}

static void test_a_clock_that_stands_still_ends_no_wait_too_late(void **state)
{
    cordon_iommu *iommu = NULL;

    (void)state;
    machine.tick_us = 0;
    machine.iommu[0].never_from = 1;
    assert_int_equal(machine_try_iommu(&machine, 0, 0xffff, &iommu), -CORDON_ETIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queues_are_on_before_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_caches_are_flushed_before_and_after_the_directory_is_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_firmware_left_on_is_closed_first, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_directory_from_firmware_leads_no_device_any_more,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_fewest_levels_that_cover_the_widest_id_are_used,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_deeper_directory_serves_where_the_smallest_is_not_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_mode_is_told_by_its_own_bit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_shorter_queue_is_used_when_the_hardware_has_no_longer_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_its_interrupts_are_wires_where_it_has_them, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_its_messages_are_masked_where_it_has_no_wires, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_each_allocation_that_fails_leaves_nothing_behind,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_answer_that_never_comes_ends_the_bring_up, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_iommu_comes_up_all_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_that_stands_still_ends_no_wait_too_late, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
