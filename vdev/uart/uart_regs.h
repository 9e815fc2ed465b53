/* Registers and bits of the NS16550A [PC16550D data sheet, 8.0]. */
#ifndef VDEV_UART_UART_REGS_H
#define VDEV_UART_UART_REGS_H

enum uart_reg {
    UART_DATA = 0, /* RBR when read, THR when written; DLL with DLAB */
    UART_IER = 1,  /* DLM with DLAB */
    UART_IIR = 2,  /* FCR when written */
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7
};

#define IER_RX 0x01u
#define IER_THRE 0x02u
#define IER_LINE 0x04u
#define IER_MODEM 0x08u
#define IER_MASK 0x0Fu

/* Identification, highest priority first. */
#define IIR_NONE 0x01u
#define IIR_RX 0x04u
#define IIR_RX_TIMEOUT 0x0Cu
#define IIR_THRE 0x02u
#define IIR_MODEM 0x00u
#define IIR_FIFOS 0xC0u

#define FCR_ENABLE 0x01u
#define FCR_CLEAR_RX 0x02u
#define FCR_TRIGGER_SHIFT 6u
#define FCR_KEPT (FCR_ENABLE | 0xC8u)

#define LCR_DLAB 0x80u

#define MCR_DTR 0x01u
#define MCR_RTS 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u
#define MCR_LOOP 0x10u
#define MCR_MASK 0x1Fu

#define LSR_DATA 0x01u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_CTS 0x10u
#define MSR_DSR 0x20u
#define MSR_RI 0x40u
#define MSR_DCD 0x80u

#endif
