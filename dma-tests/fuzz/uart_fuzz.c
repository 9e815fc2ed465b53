/*
 * The UART under any sequence of accesses, beside a second account of it: what was sent leaves once
 * and in order, what was received is read once and in order, and the wire is high exactly while an
 * enabled interrupt has a cause.
 */
#include <string.h>

#include "fuzz.h"
#include "uart/uart.h"

#define QUEUE 4096

static struct {
    struct uart uart;
    /* What should be, kept apart from the model. */
    uint8_t queue[QUEUE];
    size_t first, count; /* received and not yet read */
    uint8_t ier, lcr, mcr, fcr;
    bool thre, modem;
    bool wire;
    bool sent_now;
    uint8_t sent_byte;
} t;

static void on_sent(void *arg, uint8_t byte)
{
    (void)arg;
    must(!t.sent_now);
    t.sent_now = true;
    t.sent_byte = byte;
}

static void on_wire(void *arg, uint32_t source, bool level)
{
    (void)arg;
    must(source == 1);
    must(level != t.wire);
    t.wire = level;
}

static bool dlab(void)
{
    return (t.lcr & 0x80) != 0;
}

static void queue_put(uint8_t byte)
{
    t.queue[(t.first + t.count) % QUEUE] = byte;
    t.count++;
}

static void write_data(uint8_t value)
{
    bool loop = (t.mcr & 0x10) != 0;

    t.thre = true;
    if (loop && t.count < UART_RING_BYTES) {
        queue_put(value);
    }
    must(t.sent_now == !loop);
    must(loop || t.sent_byte == value);
}

static uint8_t lines(uint8_t mcr)
{
    return mcr & 0x10 ? (uint8_t)((mcr & 2) << 3 | (mcr & 1) << 5 | (mcr & 4) << 4 | (mcr & 8) << 4)
                      : 0xB0;
}

static void write_mcr(uint8_t value)
{
    uint8_t before = lines(t.mcr), after = lines(value & 0x1F);

    t.mcr = value & 0x1F;
    if (((before ^ after) & 0xB0) != 0 || (before & 0x40 & ~after) != 0) {
        t.modem = true;
    }
}

static void do_write(unsigned reg, uint8_t value)
{
    t.sent_now = false;
    uart_write(&t.uart, reg, 1, value);
    if (reg == 0 && !dlab()) {
        write_data(value);
        return;
    }
    must(!t.sent_now);
    if (reg == 1 && !dlab()) {
        t.thre = t.thre || (value & ~t.ier & 2) != 0;
        t.ier = value & 0x0F;
    } else if (reg == 2) {
        if (((value ^ t.fcr) & 1) != 0 || (value & 2) != 0) {
            t.count = 0;
        }
        t.fcr = value & 1 ? value : 0;
    } else if (reg == 3) {
        t.lcr = value;
    } else if (reg == 4) {
        write_mcr(value);
    }
}

static bool cause(void)
{
    return ((t.ier & 1) != 0 && t.count != 0) || ((t.ier & 2) != 0 && t.thre) ||
           ((t.ier & 8) != 0 && t.modem);
}

static void check_iir(uint8_t iir)
{
    must((iir >> 6) == (t.fcr & 1 ? 3 : 0));
    must((iir & 1) == !cause());
    if ((t.ier & 1) != 0 && t.count != 0) {
        must((iir & 0x0F) == 4 || (iir & 0x0F) == 0x0C);
    } else if ((t.ier & 2) != 0 && t.thre) {
        must((iir & 0x0F) == 2);
        t.thre = false;
    }
}

static void do_read(unsigned reg)
{
    uint64_t value = uart_read(&t.uart, reg, 1);

    must(value <= 0xFF);
    if (reg == 0 && !dlab()) {
        must(value == (t.count != 0 ? t.queue[t.first] : 0));
        if (t.count != 0) {
            t.first = (t.first + 1) % QUEUE;
            t.count--;
        }
    } else if (reg == 2) {
        check_iir((uint8_t)value);
    } else if (reg == 5) {
        must(value == (0x60u | (t.count != 0)));
    } else if (reg == 6) {
        must((value & 0xF0) == lines(t.mcr));
        must(((value & 0x0F) != 0) == t.modem);
        t.modem = false;
    } else if (reg > 7) {
        must(value == 0);
    }
}

static void do_input(struct input *in)
{
    uint8_t bytes[256];
    size_t len = input_byte(in), room = UART_RING_BYTES - t.count;

    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(i * 13 + len);
    }
    must(uart_input(&t.uart, bytes, len) == (len < room ? len : room));
    for (size_t i = 0; i < (len < room ? len : room); i++) {
        queue_put(bytes[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct vdev_sink sink = {.put = on_sent};
    struct vdev_wire wire = {.set = on_wire};

    memset(&t, 0, sizeof t);
    t.thre = true;
    uart_init(&t.uart, &sink, &wire, 1);
    while (in.left != 0) {
        uint8_t op = input_byte(&in);
        unsigned reg = op >> 2 & 0x0F;

        switch (op & 3) {
        case 0:
        case 1:
            do_write(reg, input_byte(&in));
            break;
        case 2:
            do_read(reg);
            break;
        default:
            do_input(&in);
            break;
        }
        must(t.wire == cause());
    }
    return 0;
}
