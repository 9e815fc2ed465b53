/*
 * The console that people read: lines of the hypervisor and of the guests, each with its author in
 * front, through the firmware's debug console [SBI 2.0, 12]. What the hypervisor says is also kept
 * in memory.
 */
#ifndef HYP_CORE_CONSOLE_H
#define HYP_CORE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_RING_BYTES 65536u
#define CONSOLE_LINE_BYTES 512u

/* Ask the firmware what it has. */
void console_init(void);

/*
 * Write TEXT as said by WHO (a string that lives for ever; its address is the author). COMPLETE
 * ends the line; otherwise it stays open, and goes on where it stopped if the same author writes
 * next.
 */
void console_emit(const char *who, const char *text, size_t len, bool complete);

/* A byte that somebody typed, or -1. */
int console_read_byte(void);

/* A line of the hypervisor. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on no lock is awaited for ever: a panic is being told. */
void console_panic(void);

/* The last LEN bytes or fewer that the hypervisor said; returns how many. */
size_t console_ring_read(char *out, size_t len);

#endif
