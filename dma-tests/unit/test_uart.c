/* The NS16550A model as a driver sees it: registers at their offsets, and the wire's level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "uart/uart.h"

/* Offsets and bits from the data sheet, written out again: the model's header is no judge. */
enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define THR RBR
#define FCR IIR
#define NO_INT 0x01
#define THRE_INT 0x02
#define RX_INT 0x04
#define RX_TIMEOUT 0x0C

static struct {
    struct uart uart;
    uint8_t out[64];
    size_t out_len;
    bool wire;
    unsigned wire_calls;
    uint32_t wire_source;
} t;

static void put(void *arg, uint8_t byte)
{
    assert_ptr_equal(arg, &t.out);
    assert_true(t.out_len < sizeof t.out);
    t.out[t.out_len++] = byte;
}

static void wire(void *arg, uint32_t source, bool level)
{
    assert_ptr_equal(arg, &t.wire);
    assert_int_not_equal(t.wire, level);
    t.wire = level;
    t.wire_calls++;
    t.wire_source = source;
}

static int start(void **state)
{
    struct vdev_sink sink = {.arg = &t.out, .put = put};
    struct vdev_wire line = {.arg = &t.wire, .set = wire};

    (void)state;
    memset(&t, 0, sizeof t);
    uart_init(&t.uart, &sink, &line, 7);
    return 0;
}

static uint8_t rd(unsigned reg)
{
    uint64_t value = uart_read(&t.uart, reg, 1);

    assert_true(value <= 0xFF);
    return (uint8_t)value;
}

static void wr(unsigned reg, uint8_t value)
{
    uart_write(&t.uart, reg, 1, value);
}

static void feed(const char *text)
{
    assert_int_equal(uart_input(&t.uart, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void test_reset_state_is_idle_and_ready_to_send(void **state)
{
    (void)state;
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(IIR), NO_INT);
    assert_int_equal(rd(IER), 0);
    assert_int_equal(rd(MSR), 0xB0);
    assert_int_equal(rd(RBR), 0);
    assert_int_equal(t.wire_calls, 0);
}

static void test_bytes_leave_in_order_and_unchanged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 64; i++) {
        wr(THR, (uint8_t)(i * 5));
    }
    assert_int_equal(t.out_len, 64);
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(t.out[i], (uint8_t)(i * 5));
    }
    assert_int_equal(rd(LSR), 0x60);
}

static void test_enabling_thre_raises_it_each_time_and_iir_takes_it(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        wr(IER, 0x02);
        assert_true(t.wire);
        assert_int_equal(rd(IIR), THRE_INT);
        assert_false(t.wire);
        assert_int_equal(rd(IIR), NO_INT);
        wr(IER, 0x00);
    }
    wr(IER, 0x02);
    assert_int_equal(rd(IIR), THRE_INT);
    wr(IER, 0x02); /* no rising edge of the enable: nothing new */
    assert_int_equal(rd(IIR), NO_INT);
    assert_int_equal(t.wire_source, 7);
}

static void test_a_sent_byte_raises_thre_again(void **state)
{
    (void)state;
    wr(IER, 0x02);
    assert_int_equal(rd(IIR), THRE_INT);
    wr(THR, 'x');
    assert_true(t.wire);
    assert_int_equal(rd(IIR), THRE_INT);
    assert_false(t.wire);
}

static void test_received_bytes_come_in_order_and_hold_the_wire(void **state)
{
    (void)state;
    wr(FCR, 0x01);
    wr(IER, 0x01);
    assert_false(t.wire);
    feed("ab");
    assert_true(t.wire);
    assert_int_equal(rd(LSR), 0x61);
    assert_int_equal(rd(RBR), 'a');
    assert_true(t.wire);
    assert_int_equal(rd(RBR), 'b');
    assert_false(t.wire);
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(RBR), 0);
}

static void test_what_is_taken_by_another_way_is_gone_and_drops_the_wire(void **state)
{
    uint8_t bytes[4] = {0};

    (void)state;
    wr(IER, 0x01);
    feed("abc");
    assert_int_equal(uart_take(&t.uart, bytes, 2), 2);
    assert_memory_equal(bytes, "ab\0", 4);
    assert_true(t.wire);
    assert_int_equal(rd(RBR), 'c');
    feed("d");
    assert_int_equal(uart_take(&t.uart, bytes, sizeof bytes), 1);
    assert_int_equal(bytes[0], 'd');
    assert_false(t.wire);
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(uart_take(&t.uart, bytes, sizeof bytes), 0);
}

static void test_input_without_enable_waits_silently(void **state)
{
    (void)state;
    feed("q");
    assert_false(t.wire);
    assert_int_equal(rd(IIR), NO_INT);
    wr(IER, 0x01);
    assert_true(t.wire);
    assert_int_equal(rd(RBR), 'q');
}

static void test_iir_tells_trigger_from_timeout(void **state)
{
    static const struct {
        uint8_t fcr;
        unsigned trigger;
    } rows[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xC1, 14}};

    (void)state;
    for (size_t row = 0; row < 4; row++) {
        start(NULL);
        wr(FCR, rows[row].fcr);
        wr(IER, 0x01);
        for (unsigned n = 1; n <= 16; n++) {
            feed("z");
            assert_int_equal(rd(IIR), 0xC0 | (n >= rows[row].trigger ? RX_INT : RX_TIMEOUT));
        }
    }
}

static void test_receive_outranks_thre_which_outranks_modem(void **state)
{
    (void)state;
    wr(MCR, 0x10);
    wr(MCR, 0x12); /* loop: CTS follows RTS, so the modem status has changed */
    wr(IER, 0x0B);
    feed("r");
    assert_int_equal(rd(IIR), RX_INT);
    assert_int_equal(rd(RBR), 'r');
    assert_int_equal(rd(IIR), THRE_INT);
    assert_int_equal(rd(IIR), 0x00);
    assert_true(t.wire);
    assert_int_equal(rd(MSR) & 0x0F, 0x0B); /* DCD and DSR fell with the loop, CTS has changed */
    assert_false(t.wire);
    assert_int_equal(rd(MSR) & 0x0F, 0x00);
}

static void test_reading_iir_takes_thre_only_when_it_names_it(void **state)
{
    (void)state;
    wr(IER, 0x03);
    feed("k");
    assert_int_equal(rd(IIR), RX_INT);
    assert_int_equal(rd(RBR), 'k');
    assert_int_equal(rd(IIR), THRE_INT);
}

static void test_fifo_bits_show_in_iir_and_clearing_empties(void **state)
{
    (void)state;
    assert_int_equal(rd(IIR), 0x01);
    wr(FCR, 0x01);
    assert_int_equal(rd(IIR), 0xC1);
    feed("old");
    wr(FCR, 0x03);
    assert_int_equal(rd(LSR) & 1, 0);
    feed("old");
    wr(FCR, 0x00); /* leaving FIFO mode clears as well */
    assert_int_equal(rd(LSR) & 1, 0);
    assert_int_equal(rd(IIR), 0x01);
    wr(FCR, 0xE8); /* the other bits count only with the enable bit */
    assert_int_equal(rd(IIR), 0x01);
}

static void test_fcr_without_change_keeps_input(void **state)
{
    (void)state;
    wr(FCR, 0x01);
    feed("keep");
    wr(FCR, 0x81);
    assert_int_equal(rd(RBR), 'k');
}

static void test_divisor_hides_data_and_enable(void **state)
{
    (void)state;
    wr(IER, 0x05);
    wr(LCR, 0x83);
    wr(RBR, 0x34);
    wr(IER, 0x12);
    assert_int_equal(t.out_len, 0);
    assert_int_equal(rd(RBR), 0x34);
    assert_int_equal(rd(IER), 0x12);
    wr(LCR, 0x03);
    assert_int_equal(rd(IER), 0x05);
    assert_int_equal(rd(LCR), 0x03);
    feed("d");
    wr(LCR, 0x80);
    assert_int_equal(rd(RBR), 0x34);
    wr(LCR, 0x00);
    assert_int_equal(rd(RBR), 'd');
}

static void test_ier_keeps_four_bits_and_scratch_all(void **state)
{
    (void)state;
    wr(IER, 0xF0);
    assert_int_equal(rd(IER), 0x00);
    wr(IER, 0xFF);
    assert_int_equal(rd(IER), 0x0F);
    wr(SCR, 0xA5);
    assert_int_equal(rd(SCR), 0xA5);
    wr(MCR, 0xFF);
    assert_int_equal(rd(MCR), 0x1F);
}

/* What Linux's autoconfiguration asks: in loop mode, OUT2 and RTS come back as DCD and CTS. */
static void test_loop_mode_leads_lines_and_data_back(void **state)
{
    (void)state;
    wr(MCR, 0x1A);
    assert_int_equal(rd(MSR) & 0xF0, 0x90);
    wr(MCR, 0x15);
    assert_int_equal(rd(MSR) & 0xF0, 0x60);
    wr(THR, 'L');
    assert_int_equal(t.out_len, 0);
    assert_int_equal(rd(RBR), 'L');
    wr(MCR, 0x00);
    wr(THR, 'M');
    assert_int_equal(t.out_len, 1);
}

static void test_ring_indicator_counts_only_when_it_ends(void **state)
{
    (void)state;
    wr(MCR, 0x10);
    (void)rd(MSR);
    wr(MCR, 0x14);
    assert_int_equal(rd(MSR), 0x40);
    wr(MCR, 0x10);
    assert_int_equal(rd(MSR), 0x04);
}

static void test_input_stops_when_full_and_nothing_is_lost(void **state)
{
    uint8_t bytes[UART_RING_BYTES + 10];
    size_t taken;

    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    assert_int_equal(uart_input(&t.uart, bytes, 3), 3);
    assert_int_equal(rd(RBR), bytes[0]); /* so that the ring wraps */
    taken = uart_input(&t.uart, bytes + 3, sizeof bytes - 3);
    assert_int_equal(taken, UART_RING_BYTES - 2);
    assert_int_equal(uart_input(&t.uart, bytes, 1), 0);
    for (size_t i = 1; i < 3 + taken; i++) {
        assert_int_equal(rd(LSR) & 1, 1);
        assert_int_equal(rd(RBR), bytes[i]);
    }
    assert_int_equal(rd(LSR) & 1, 0);
}

static void test_read_only_and_absent_registers_ignore_writes(void **state)
{
    (void)state;
    wr(LSR, 0xFF);
    wr(MSR, 0xFF);
    assert_int_equal(rd(LSR), 0x60);
    assert_int_equal(rd(MSR), 0xB0);
    for (uint64_t offset = 8; offset < UART_LEN; offset += 8) {
        uart_write(&t.uart, offset, 8, UINT64_MAX);
        assert_int_equal(uart_read(&t.uart, offset, 8), 0);
    }
    assert_int_equal(t.out_len, 0);
    assert_int_equal(rd(IER), 0);
}

static void test_wide_accesses_are_one_register(void **state)
{
    (void)state;
    uart_write(&t.uart, THR, 4, 0x11223344);
    assert_int_equal(t.out_len, 1);
    assert_int_equal(t.out[0], 0x44);
    assert_int_equal(uart_read(&t.uart, 4, 4), 0);
    uart_write(&t.uart, MCR, 4, 0xFFFFFF03);
    assert_int_equal(uart_read(&t.uart, MCR, 4), 0x03);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, start)
    const struct CMUnitTest tests[] = {
        TEST(test_reset_state_is_idle_and_ready_to_send),
        TEST(test_bytes_leave_in_order_and_unchanged),
        TEST(test_enabling_thre_raises_it_each_time_and_iir_takes_it),
        TEST(test_a_sent_byte_raises_thre_again),
        TEST(test_received_bytes_come_in_order_and_hold_the_wire),
        TEST(test_what_is_taken_by_another_way_is_gone_and_drops_the_wire),
        TEST(test_input_without_enable_waits_silently),
        TEST(test_iir_tells_trigger_from_timeout),
        TEST(test_receive_outranks_thre_which_outranks_modem),
        TEST(test_reading_iir_takes_thre_only_when_it_names_it),
        TEST(test_fifo_bits_show_in_iir_and_clearing_empties),
        TEST(test_fcr_without_change_keeps_input),
        TEST(test_divisor_hides_data_and_enable),
        TEST(test_ier_keeps_four_bits_and_scratch_all),
        TEST(test_loop_mode_leads_lines_and_data_back),
        TEST(test_ring_indicator_counts_only_when_it_ends),
        TEST(test_input_stops_when_full_and_nothing_is_lost),
        TEST(test_read_only_and_absent_registers_ignore_writes),
        TEST(test_wide_accesses_are_one_register),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
