/*
 * A UART as Linux's 8250 driver drives it: the registers of the National PC16550D (NS16550A), one
 * byte apart, without a baud rate. What is sent leaves at once; what is received waits in a ring.
 *
 * The wire is level-triggered: it is high while the identification register names an interrupt.
 * Received bytes are never dropped here: uart_input says how many it took.
 */
#ifndef VDEV_UART_UART_H
#define VDEV_UART_UART_H

#include <cordon/lock.h>

#include "bus/bus.h"

#define UART_LEN UINT64_C(0x1000) /* bytes of address space; eight of them are registers */
#define UART_RING_BYTES 1024u     /* received bytes that wait; a power of two */

struct uart {
    struct cordon_lock lock;
    struct vdev_wire wire;
    struct vdev_sink sink;
    uint32_t source; /* number of the wire */
    uint8_t ier, fcr, lcr, mcr, scr, dll, dlm;
    uint8_t msr_delta; /* MSR bits 3:0: what has changed since MSR was read */
    bool thre_pending; /* THR became empty, and nobody has been told */
    bool level;        /* what the wire was last set to */
    uint32_t ring_first, ring_count;
    uint8_t ring[UART_RING_BYTES];
};

/* A UART after reset. SINK takes what the guest sends, in order, with the UART's lock held. WIRE's
 * line SOURCE carries its interrupt and is low at this moment. */
void uart_init(struct uart *u, const struct vdev_sink *sink, const struct vdev_wire *wire,
               uint32_t source);

/* Give the guest up to LEN bytes to read; returns how many there was room for. From any hart. */
size_t uart_input(struct uart *u, const uint8_t *bytes, size_t len);

/* Take up to LEN bytes out of what waits, as the guest does when it reads: for a guest that has
 * another way to ask for its input. Returns how many there were. From any hart. */
size_t uart_take(struct uart *u, uint8_t *bytes, size_t len);

/* The two functions of struct vbus_device; STATE is the struct uart. One register an access: its
 * low byte, whatever the width. */
uint64_t uart_read(void *state, uint64_t offset, unsigned width);
void uart_write(void *state, uint64_t offset, unsigned width, uint64_t value);

#endif
