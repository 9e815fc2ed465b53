/*
 * A UART without time: each byte sent is gone at once, so THR is always empty, and received bytes
 * below the trigger level count as timed out at once [PC16550D, 8.0 to 8.6].
 */
#include "uart/uart.h"

#include "uart/uart_regs.h"

/* Lines as the modem would drive them: always ready, no ring. In loop mode they follow MCR. */
static uint8_t uart_modem_lines(const struct uart *u)
{
    uint32_t lines = 0;

    if (!(u->mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    lines |= u->mcr & MCR_RTS ? MSR_CTS : 0;
    lines |= u->mcr & MCR_DTR ? MSR_DSR : 0;
    lines |= u->mcr & MCR_OUT1 ? MSR_RI : 0;
    lines |= u->mcr & MCR_OUT2 ? MSR_DCD : 0;
    return (uint8_t)lines;
}

static bool uart_trigger_reached(const struct uart *u)
{
    static const uint8_t trigger[4] = {1, 4, 8, 14};

    return !(u->fcr & FCR_ENABLE) || u->ring_count >= trigger[u->fcr >> FCR_TRIGGER_SHIFT];
}

/* The identification of the most urgent interrupt that is enabled. There are no line errors. */
static uint8_t uart_identify(const struct uart *u)
{
    if ((u->ier & IER_RX) && u->ring_count != 0) {
        return uart_trigger_reached(u) ? IIR_RX : IIR_RX_TIMEOUT;
    }
    if ((u->ier & IER_THRE) && u->thre_pending) {
        return IIR_THRE;
    }
    if ((u->ier & IER_MODEM) && u->msr_delta != 0) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

static void uart_update_wire(struct uart *u)
{
    bool level = uart_identify(u) != IIR_NONE;

    if (level != u->level) {
        u->level = level;
        u->wire.set(u->wire.arg, u->source, level);
    }
}

static bool uart_ring_put(struct uart *u, uint8_t byte)
{
    if (u->ring_count == UART_RING_BYTES) {
        return false;
    }
    u->ring[(u->ring_first + u->ring_count) % UART_RING_BYTES] = byte;
    u->ring_count++;
    return true;
}

static uint8_t uart_ring_take(struct uart *u)
{
    uint8_t byte = 0;

    if (u->ring_count != 0) {
        byte = u->ring[u->ring_first];
        u->ring_first = (u->ring_first + 1) % UART_RING_BYTES;
        u->ring_count--;
    }
    return byte;
}

/* A byte in loop mode comes back; one that finds no room there is gone, as on an overrun. */
static void uart_send(struct uart *u, uint8_t byte)
{
    if (u->mcr & MCR_LOOP) {
        (void)uart_ring_put(u, byte);
    } else {
        u->sink.put(u->sink.arg, byte);
    }
    u->thre_pending = true;
}

/* Enabling the THRE interrupt while THR is empty raises it: drivers start sending by that. */
static void uart_write_ier(struct uart *u, uint8_t value)
{
    uint8_t risen = (uint8_t)(value & ~u->ier);

    u->ier = value & IER_MASK;
    if (risen & IER_THRE) {
        u->thre_pending = true;
    }
}

static void uart_write_fcr(struct uart *u, uint8_t value)
{
    bool toggled = ((value ^ u->fcr) & FCR_ENABLE) != 0;

    if (toggled || (value & FCR_CLEAR_RX)) {
        u->ring_count = 0;
    }
    u->fcr = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static void uart_write_mcr(struct uart *u, uint8_t value)
{
    uint8_t before = uart_modem_lines(u);
    uint32_t changed, ring_ended;

    u->mcr = value & MCR_MASK;
    changed = (uint32_t)(before ^ uart_modem_lines(u));
    ring_ended = changed & before & MSR_RI;
    u->msr_delta |= (uint8_t)(((changed & ~MSR_RI) | ring_ended) >> 4);
}

static uint8_t uart_read_iir(struct uart *u)
{
    uint8_t id = uart_identify(u);

    if (id == IIR_THRE) {
        u->thre_pending = false;
    }
    return (uint8_t)(id | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0));
}

static uint8_t uart_read_msr(struct uart *u)
{
    uint8_t value = (uint8_t)(uart_modem_lines(u) | u->msr_delta);

    u->msr_delta = 0;
    return value;
}

static uint8_t uart_read_reg(struct uart *u, enum uart_reg reg)
{
    bool dlab = (u->lcr & LCR_DLAB) != 0;

    switch (reg) {
    case UART_DATA:
        return dlab ? u->dll : uart_ring_take(u);
    case UART_IER:
        return dlab ? u->dlm : u->ier;
    case UART_IIR:
        return uart_read_iir(u);
    case UART_LCR:
        return u->lcr;
    case UART_MCR:
        return u->mcr;
    case UART_LSR:
        return (uint8_t)(LSR_THRE | LSR_TEMT | (u->ring_count != 0 ? LSR_DATA : 0));
    case UART_MSR:
        return uart_read_msr(u);
    case UART_SCR:
        return u->scr;
    }
    return 0;
}

static void uart_write_reg(struct uart *u, enum uart_reg reg, uint8_t value)
{
    bool dlab = (u->lcr & LCR_DLAB) != 0;

    switch (reg) {
    case UART_DATA:
        if (dlab) {
            u->dll = value;
        } else {
            uart_send(u, value);
        }
        break;
    case UART_IER:
        if (dlab) {
            u->dlm = value;
        } else {
            uart_write_ier(u, value);
        }
        break;
    case UART_IIR:
        uart_write_fcr(u, value);
        break;
    case UART_LCR:
        u->lcr = value;
        break;
    case UART_MCR:
        uart_write_mcr(u, value);
        break;
    case UART_SCR:
        u->scr = value;
        break;
    case UART_LSR:
    case UART_MSR:
        break;
    }
}

void uart_init(struct uart *u, const struct vdev_sink *sink, const struct vdev_wire *wire,
               uint32_t source)
{
    *u = (struct uart){.sink = *sink, .wire = *wire, .source = source, .thre_pending = true};
    cordon_lock_init(&u->lock);
}

size_t uart_input(struct uart *u, const uint8_t *bytes, size_t len)
{
    size_t taken = 0;

    cordon_lock_take(&u->lock);
    while (taken < len && uart_ring_put(u, bytes[taken])) {
        taken++;
    }
    uart_update_wire(u);
    cordon_lock_give(&u->lock);
    return taken;
}

size_t uart_take(struct uart *u, uint8_t *bytes, size_t len)
{
    size_t taken = 0;

    cordon_lock_take(&u->lock);
    while (taken < len && u->ring_count != 0) {
        bytes[taken++] = uart_ring_take(u);
    }
    uart_update_wire(u);
    cordon_lock_give(&u->lock);
    return taken;
}

uint64_t uart_read(void *state, uint64_t offset, unsigned width)
{
    struct uart *u = state;
    uint8_t value;

    (void)width;
    if (offset > UART_SCR) {
        return 0;
    }
    cordon_lock_take(&u->lock);
    value = uart_read_reg(u, (enum uart_reg)offset);
    uart_update_wire(u);
    cordon_lock_give(&u->lock);
    return value;
}

void uart_write(void *state, uint64_t offset, unsigned width, uint64_t value)
{
    struct uart *u = state;

    (void)width;
    if (offset > UART_SCR) {
        return;
    }
    cordon_lock_take(&u->lock);
    uart_write_reg(u, (enum uart_reg)offset, (uint8_t)value);
    uart_update_wire(u);
    cordon_lock_give(&u->lock);
}
