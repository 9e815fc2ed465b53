/* Our own function: found, placed, its registers, each command checked before it is carried out. */
#include "vpci_bench.h"

#include <stdlib.h>

#include "pci/own.h"

#define LIMIT UINT64_C(0x400000)
#define BAR G_LOW
#define DONE 2u
#define REFUSED 3u

struct heard {
    uint32_t calls;
    uint32_t command;
    uint64_t gpa, len;
    struct cordon_run_want want;
    uint8_t bytes[OWN_REPORT_BYTES];
    int answer;
    struct vpci_bench *nested; /* write a command from inside one */
    uint32_t nested_status;
};

struct own_bench {
    struct vpci_bench *b;
    struct own_function own;
    struct heard heard;
};

static int hear(struct heard *h, uint32_t command, uint64_t gpa, uint64_t len)
{
    h->calls++;
    h->command = command;
    h->gpa = gpa;
    h->len = len;
    if (h->nested != NULL) {
        guest_write(h->nested, BAR + 0x40, 4, OWN_TAKE);
        h->nested_status = (uint32_t)guest_read(h->nested, BAR + 0x44, 4);
    }
    return h->answer;
}

static int on_give(void *arg, cordon_gpa gpa, uint64_t len)
{
    return hear(arg, OWN_GIVE, gpa.v, len);
}

static int on_take(void *arg, cordon_gpa gpa, uint64_t len)
{
    return hear(arg, OWN_TAKE, gpa.v, len);
}

static int on_run(void *arg, const struct cordon_run_want *want, cordon_gpa *out)
{
    struct heard *h = arg;

    h->want = *want;
    *out = cordon_gpa_make(0x1234567000);
    return hear(h, OWN_RUN, 0, want->len);
}

static int on_report(void *arg, const uint8_t *bytes, uint32_t len)
{
    struct heard *h = arg;

    memcpy(h->bytes, bytes, len);
    return hear(h, OWN_REPORT, 0, len);
}

static int on_query(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *runs, cordon_hpa *first)
{
    *runs = 3;
    *first = cordon_hpa_make(0xabcd000);
    return hear(arg, OWN_QUERY, gpa.v, len);
}

static int on_discard(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *freed)
{
    *freed = 0x7000;
    return hear(arg, OWN_DISCARD, gpa.v, len);
}

static int on_fill(void *arg, cordon_gpa gpa, uint64_t len)
{
    return hear(arg, OWN_FILL, gpa.v, len);
}

static int on_pin(void *arg, cordon_gpa gpa, uint64_t len, bool pinned)
{
    return hear(arg, pinned ? OWN_PIN : OWN_UNPIN, gpa.v, len);
}

static int setup_with(void **state, bool show_hpa, bool all)
{
    struct own_bench *o = calloc(1, sizeof(*o));
    struct own_calls calls = {.arg = &o->heard, .give = on_give, .take = on_take};

    if (all) {
        calls.run = on_run;
        calls.report = on_report;
        calls.query = on_query;
        calls.discard = on_discard;
        calls.fill = on_fill;
        calls.pin = on_pin;
    }
    assert_int_equal(vbench_setup((void **)&o->b), 0);
    own_init(&o->own, &calls, LIMIT, show_hpa);
    assert_int_equal(vpci_insert(&o->b->bridge, 0, &o->own.fn), 0);
    config_write(o->b, 0, PCI_BAR(0), (uint32_t)BAR);
    config_command(o->b, 0, PCI_COMMAND_MEMORY);
    *state = o;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, false, true);
}

static int setup_showing(void **state)
{
    return setup_with(state, true, true);
}

static int setup_two(void **state)
{
    return setup_with(state, false, false);
}

static int teardown(void **state)
{
    struct own_bench *o = *state;

    assert_int_equal(vpci_remove(&o->own.fn), 0);
    assert_int_equal(vbench_teardown((void **)&o->b), 0);
    free(o);
    return 0;
}

static uint64_t reg(struct own_bench *o, uint64_t offset, unsigned width)
{
    return guest_read(o->b, BAR + offset, width);
}

static void set(struct own_bench *o, uint64_t offset, uint64_t value)
{
    guest_write(o->b, BAR + offset, 8, value);
}

/* Run a command; returns its ERROR, after STATUS was checked against it. */
static uint32_t run(struct own_bench *o, uint32_t command)
{
    guest_write(o->b, BAR + 0x40, 4, command);
    uint32_t error = (uint32_t)reg(o, 0x48, 4);

    assert_int_equal(reg(o, 0x44, 4), error == 0 || error == CORDON_EPENDING ? DONE : REFUSED);
    return error;
}

static void test_is_found_in_configuration_space(void **state)
{
    struct own_bench *o = *state;

    assert_int_equal(config_read(o->b, 0, 0x00), 0x0001c04d);
    assert_int_equal(config_read(o->b, 0, 0x08), 0x08800001);
    assert_int_equal(config_read(o->b, 0, 0x2c), 0x0001c04d);
    assert_int_equal(config_read(o->b, 0, 0x34), 0);
    assert_int_equal(config_read(o->b, 0, 0x3c), 0);
    config_write(o->b, 0, PCI_BAR(0), 0xffffffffu);
    assert_int_equal(config_read(o->b, 0, PCI_BAR(0)), 0xfffff000u);
    for (uint32_t at = 0x40; at < 0x1000; at += 4) {
        config_write(o->b, 0, at, 0xffffffffu);
        assert_int_equal(config_read(o->b, 0, at), 0);
    }
}

static void test_bar_answers_where_it_is_placed_and_only_while_enabled(void **state)
{
    struct own_bench *o = *state;

    assert_int_equal(reg(o, 0, 4), 0x4e445243);
    assert_int_equal(guest_reaches(o->b, BAR), 0); /* trapped, not mapped */
    config_command(o->b, 0, 0);
    assert_int_equal(reg(o, 0, 4), 0xffffffffu);
    config_write(o->b, 0, PCI_BAR(0), (uint32_t)G_LOW + 0x7000);
    config_command(o->b, 0, PCI_COMMAND_MEMORY);
    assert_int_equal(reg(o, 0, 4), 0xffffffffu);
    assert_int_equal(guest_read(o->b, G_LOW + 0x7000, 4), 0x4e445243);
    assert_int_equal(guest_read(o->b, G_LOW + 0x8000, 4), 0xffffffffu);
    config_write(o->b, 0, PCI_BAR(0), (uint32_t)G_RAM); /* not onto RAM either */
    assert_false(o->own.fn.bar[0].decoded);
    assert_int_equal(o->own.fn.stats.last.why, PCI_WHY_ON_RAM);
}

static void test_identifies_itself(void **state)
{
    struct own_bench *o = *state;

    assert_int_equal(reg(o, 0x00, 8), UINT64_C(0x000100014e445243));
    assert_int_equal(reg(o, 0x08, 4), 0x3fe);
    assert_int_equal(reg(o, 0x0c, 4), OWN_REPORT_BYTES);
    assert_int_equal(reg(o, 0x60, 8), LIMIT);
    assert_int_equal(reg(o, 0x44, 4), 0);
    for (uint64_t at = 0x68; at < 0x800; at += 8) {
        set(o, at, UINT64_MAX);
        assert_int_equal(reg(o, at, 8), 0);
    }
    set(o, 0xc00, UINT64_MAX);
    assert_int_equal(reg(o, 0xc00, 8), 0);
}

static void test_arguments_are_written_in_parts(void **state)
{
    struct own_bench *o = *state;

    guest_write(o->b, BAR + 0x10, 4, 0x89abcdef);
    guest_write(o->b, BAR + 0x14, 4, 0x01234567);
    assert_int_equal(reg(o, 0x10, 8), 0x0123456789abcdef);
    guest_write(o->b, BAR + 0x12, 2, 0x5555);
    guest_write(o->b, BAR + 0x17, 1, 0x77);
    assert_int_equal(reg(o, 0x10, 8), 0x772345675555cdef);
    assert_int_equal(reg(o, 0x15, 1), 0x45);
}

static void test_give_and_take_pass_on_what_was_asked(void **state)
{
    struct own_bench *o = *state;

    set(o, 0x10, 0x80004000);
    set(o, 0x18, 0x3000);
    assert_int_equal(run(o, OWN_GIVE), 0);
    assert_int_equal(o->heard.command, OWN_GIVE);
    assert_int_equal(o->heard.gpa, 0x80004000);
    assert_int_equal(o->heard.len, 0x3000);
    assert_int_equal(run(o, OWN_TAKE), 0);
    assert_int_equal(o->heard.command, OWN_TAKE);
    o->heard.answer = -CORDON_EPENDING;
    assert_int_equal(run(o, OWN_GIVE), CORDON_EPENDING);
    o->heard.answer = -CORDON_ENOENT;
    assert_int_equal(run(o, OWN_GIVE), CORDON_ENOENT);
    assert_int_equal(o->heard.calls, 4);
}

static void test_ranges_are_checked_before_anything_is_called(void **state)
{
    struct own_bench *o = *state;
    const uint32_t commands[] = {OWN_GIVE, OWN_TAKE, OWN_QUERY, OWN_DISCARD,
                                 OWN_FILL, OWN_PIN,  OWN_UNPIN};
    const struct {
        uint64_t gpa, len;
        uint32_t error;
    } row[] = {
        {0x80000800, 0x1000, CORDON_EALIGN},
        {0x80000000, 0x1001, CORDON_EALIGN},
        {0x80000000, 0, CORDON_ERANGE},
        {UINT64_MAX - 0xfff, 0x2000, CORDON_ERANGE},
        {0x80000000, LIMIT + 0x1000, CORDON_ELIMIT},
        {0x80000000, UINT64_C(1) << 63, CORDON_ELIMIT},
    };

    for (size_t c = 0; c < sizeof(commands) / sizeof(commands[0]); c++) {
        for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
            set(o, 0x10, row[i].gpa);
            set(o, 0x18, row[i].len);
            assert_int_equal(run(o, commands[c]), row[i].error);
        }
    }
    assert_int_equal(o->heard.calls, 0);
    set(o, 0x18, LIMIT);
    set(o, 0x10, 0);
    assert_int_equal(run(o, OWN_GIVE), 0);
}

static void test_run_is_checked_and_answers_a_gpa(void **state)
{
    struct own_bench *o = *state;
    const struct {
        uint64_t len, align, boundary, highest;
        uint32_t error;
    } row[] = {
        {0, 0, 0, 0, CORDON_ERANGE},
        {0x1800, 0, 0, 0, CORDON_EALIGN},
        {LIMIT + 0x1000, 0, 0, 0, CORDON_ELIMIT},
        {0x1000, 0x800, 0, 0, CORDON_EALIGN},
        {0x1000, 0x3000, 0, 0, CORDON_EALIGN},
        {0x2000, 0, 0x1000, 0, CORDON_ERANGE},
        {0x2000, 0, 0x3000, 0, CORDON_EALIGN},
        {0x2000, 0, 0, 0x1ffe, CORDON_ERANGE},
        {0x2000, 0x200000, 0x2000, 0x1fff, 0},
        {LIMIT, 0, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        set(o, 0x18, row[i].len);
        set(o, 0x20, row[i].align);
        set(o, 0x28, row[i].boundary);
        set(o, 0x30, row[i].highest);
        assert_int_equal(run(o, OWN_RUN), row[i].error);
        assert_int_equal(reg(o, 0x50, 8), row[i].error == 0 ? 0x1234567000 : 0);
        if (row[i].error == 0) {
            assert_int_equal(o->heard.want.align, row[i].align);
            assert_int_equal(o->heard.want.boundary, row[i].boundary);
            assert_int_equal(o->heard.want.highest, row[i].highest);
            assert_int_equal(o->heard.want.size, sizeof(struct cordon_run_want));
        }
    }
    assert_int_equal(o->heard.calls, 2);
    o->heard.answer = -CORDON_ENOMEM;
    assert_int_equal(run(o, OWN_RUN), CORDON_ENOMEM);
    assert_int_equal(reg(o, 0x50, 8), 0);
}

static void test_report_sends_the_buffers_bytes(void **state)
{
    struct own_bench *o = *state;

    for (uint32_t i = 0; i < OWN_REPORT_BYTES; i += 4) {
        guest_write(o->b, BAR + 0x800 + i, 4, (i & 0xffu) * 0x01010101u);
    }
    guest_write(o->b, BAR + 0x801, 1, 0x42);
    assert_int_equal(reg(o, 0x800, 2), 0x4200);
    set(o, 0x18, 0);
    assert_int_equal(run(o, OWN_REPORT), CORDON_ERANGE);
    set(o, 0x18, OWN_REPORT_BYTES + 1);
    assert_int_equal(run(o, OWN_REPORT), CORDON_ERANGE);
    assert_int_equal(o->heard.calls, 0);
    set(o, 0x18, OWN_REPORT_BYTES);
    assert_int_equal(run(o, OWN_REPORT), 0);
    assert_int_equal(o->heard.len, OWN_REPORT_BYTES);
    assert_int_equal(o->heard.bytes[1], 0x42);
    assert_int_equal(o->heard.bytes[8], 8);
    assert_int_equal(o->heard.bytes[OWN_REPORT_BYTES - 1], 0xfc);
}

static void test_pages_are_dropped_filled_and_pinned(void **state)
{
    struct own_bench *o = *state;

    set(o, 0x10, G_RAM);
    set(o, 0x18, 0x2000);
    for (uint32_t command = OWN_DISCARD; command <= OWN_UNPIN; command++) {
        assert_int_equal(run(o, command), 0);
        assert_int_equal(o->heard.command, command);
        assert_int_equal(o->heard.gpa, G_RAM);
        assert_int_equal(o->heard.len, 0x2000);
        assert_int_equal(reg(o, 0x50, 8), command == OWN_DISCARD ? 0x7000 : 0);
    }
    assert_int_equal(o->heard.calls, 4);
    o->heard.answer = -CORDON_EPERM;
    assert_int_equal(run(o, OWN_FILL), CORDON_EPERM);
}

static void test_query_hides_host_addresses(void **state)
{
    struct own_bench *o = *state;

    set(o, 0x10, G_RAM);
    set(o, 0x18, 0x2000);
    assert_int_equal(run(o, OWN_QUERY), 0);
    assert_int_equal(reg(o, 0x50, 8), 3);
    assert_int_equal(reg(o, 0x58, 8), 0);
}

static void test_query_shows_host_addresses_only_by_policy(void **state)
{
    struct own_bench *o = *state;

    set(o, 0x10, G_RAM);
    set(o, 0x18, 0x2000);
    assert_int_equal(run(o, OWN_QUERY), 0);
    assert_int_equal(reg(o, 0x58, 8), 0xabcd000);
    o->heard.answer = -CORDON_EFAULT;
    assert_int_equal(run(o, OWN_QUERY), CORDON_EFAULT);
    assert_int_equal(reg(o, 0x58, 8), 0);
}

static void test_unknown_or_unoffered_commands_are_refused(void **state)
{
    struct own_bench *o = *state;

    assert_int_equal(reg(o, 0x08, 4), 0x6);
    set(o, 0x18, 0x1000);
    assert_int_equal(run(o, OWN_RUN), CORDON_ENOTSUP);
    assert_int_equal(run(o, OWN_REPORT), CORDON_ENOTSUP);
    for (uint32_t command = OWN_QUERY; command < OWN_COMMAND_END; command++) {
        assert_int_equal(run(o, command), CORDON_ENOTSUP);
    }
    assert_int_equal(run(o, 0), CORDON_EINVAL);
    assert_int_equal(run(o, OWN_COMMAND_END), CORDON_EINVAL);
    assert_int_equal(run(o, 0xffffffffu), CORDON_EINVAL);
    assert_int_equal(o->heard.calls, 0);
    guest_write(o->b, BAR + 0x40, 2, OWN_GIVE); /* too narrow to be a command */
    assert_int_equal(o->heard.calls, 0);
}

static void test_command_meanwhile_is_dropped(void **state)
{
    struct own_bench *o = *state;

    set(o, 0x18, 0x1000);
    o->heard.nested = o->b;
    assert_int_equal(run(o, OWN_GIVE), 0);
    assert_int_equal(o->heard.calls, 1);
    assert_int_equal(o->heard.nested_status, 1); /* busy */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_is_found_in_configuration_space),
        TEST(test_bar_answers_where_it_is_placed_and_only_while_enabled),
        TEST(test_identifies_itself),
        TEST(test_arguments_are_written_in_parts),
        TEST(test_give_and_take_pass_on_what_was_asked),
        TEST(test_ranges_are_checked_before_anything_is_called),
        TEST(test_run_is_checked_and_answers_a_gpa),
        TEST(test_report_sends_the_buffers_bytes),
        TEST(test_pages_are_dropped_filled_and_pinned),
        TEST(test_query_hides_host_addresses),
        cmocka_unit_test_setup_teardown(test_query_shows_host_addresses_only_by_policy,
                                        setup_showing, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_or_unoffered_commands_are_refused, setup_two,
                                        teardown),
        TEST(test_command_meanwhile_is_dropped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
