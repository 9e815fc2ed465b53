/* The console that people read, and the hypervisor's own lines in memory. */
#include "core/console.h"

#include <cordon/lock.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "core/sbi_call.h"

#define PANIC_TRIES 10000000u
#define WRITE_TRIES 1000000u

static const char our_name[] = "cordon";

static struct {
    struct cordon_lock lock;
    atomic_bool panic;
    bool has_dbcn;
    const char *open; /* author of the line that is not ended yet, or null */
    char out[CONSOLE_LINE_BYTES];
    size_t out_len;
    char in[8];
    char ring[CONSOLE_RING_BYTES];
    uint64_t ring_written;
} console;

void console_init(void)
{
    console.has_dbcn = sbi_firmware_has(SBI_DBCN);
}

void console_panic(void)
{
    atomic_store(&console.panic, true);
}

/* Whoever panics may hold the lock itself: wait a while, then write all the same. */
static void take(void)
{
    struct cordon_lock *l = &console.lock;
    uint_fast32_t mine = atomic_fetch_add(&l->next, 1);

    for (uint32_t i = 0; atomic_load(&l->now) != mine; i++) {
        if (atomic_load(&console.panic) && i > PANIC_TRIES) {
            return;
        }
    }
}

static void give(void)
{
    cordon_lock_give(&console.lock);
}

/* Everything in OUT to the firmware. */
static void flush(void)
{
    size_t at = 0;

    for (uint32_t i = 0; at < console.out_len && i < WRITE_TRIES; i++) {
        if (console.has_dbcn) {
            struct sbi_ret ret = sbi_call(SBI_DBCN, SBI_DBCN_WRITE, console.out_len - at,
                                          memory_hpa(console.out + at).v, 0, 0, 0);

            if (ret.error != 0) {
                break;
            }
            at += (size_t)ret.value;
        } else {
            (void)sbi_call(SBI_LEGACY_PUTCHAR, 0, (uint8_t)console.out[at], 0, 0, 0, 0);
            at++;
        }
    }
    console.out_len = 0;
}

static void put(const char *text, size_t len)
{
    while (len != 0) {
        size_t room = sizeof(console.out) - console.out_len;
        size_t now = len < room ? len : room;

        memcpy(console.out + console.out_len, text, now);
        console.out_len += now;
        text += now;
        len -= now;
        if (console.out_len == sizeof(console.out)) {
            flush();
        }
    }
}

static void keep(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        console.ring[console.ring_written++ % CONSOLE_RING_BYTES] = text[i];
    }
}

void console_emit(const char *who, const char *text, size_t len, bool complete)
{
    take();
    if (console.open != who) {
        if (console.open != NULL) {
            put("\r\n", 2);
        }
        put("[", 1);
        put(who, strlen(who));
        put("] ", 2);
    }
    put(text, len);
    if (complete) {
        put("\r\n", 2);
    }
    console.open = complete ? NULL : who;
    flush();
    if (who == our_name) {
        keep(text, len);
        keep("\n", 1);
    }
    give();
}

void log_line(const char *format, ...)
{
    char line[CONSOLE_LINE_BYTES];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (len < 0) {
        return;
    }
    console_emit(our_name, line, (size_t)len < sizeof(line) ? (size_t)len : sizeof(line) - 1, true);
}

int console_read_byte(void)
{
    int byte = -1;

    if (!console.has_dbcn) {
        return -1;
    }
    take();
    struct sbi_ret ret = sbi_call(SBI_DBCN, SBI_DBCN_READ, 1, memory_hpa(console.in).v, 0, 0, 0);

    if (ret.error == 0 && ret.value == 1) {
        byte = ((const volatile uint8_t *)console.in)[0];
    }
    give();
    return byte;
}

size_t console_ring_read(char *out, size_t len)
{
    uint64_t have;

    take();
    have = console.ring_written < CONSOLE_RING_BYTES ? console.ring_written : CONSOLE_RING_BYTES;
    if (len > have) {
        len = have;
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = console.ring[(console.ring_written - len + i) % CONSOLE_RING_BYTES];
    }
    give();
    return len;
}
