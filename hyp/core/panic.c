/* The end: what broke, registers, the way here; then power off with a reason that says failure. */
#include "core/panic.h"

#include <cordon/port.h>
#include <stdarg.h>
#include <stdio.h>

#include "boot/layout.h"
#include "core/console.h"
#include "core/hart.h"
#include "core/poweroff.h"

#define BACKTRACE_MAX 24u

extern char _image_start[], _rodata_start[];

static const char *const register_name[32] = {
    "zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
    "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
    "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
};

static const char *cause_name(uint64_t cause)
{
    static const char *const name[] = {
        [CAUSE_FETCH_MISALIGNED] = "misaligned fetch", [CAUSE_FETCH_ACCESS] = "fetch access fault",
        [CAUSE_ILLEGAL] = "illegal instruction",       [CAUSE_BREAKPOINT] = "breakpoint",
        [CAUSE_LOAD_MISALIGNED] = "misaligned load",   [CAUSE_LOAD_ACCESS] = "load access fault",
        [CAUSE_STORE_MISALIGNED] = "misaligned store", [CAUSE_STORE_ACCESS] = "store access fault",
        [CAUSE_FETCH_PAGE] = "fetch page fault",       [CAUSE_LOAD_PAGE] = "load page fault",
        [CAUSE_STORE_PAGE] = "store page fault",
    };

    if (cause & CAUSE_INTERRUPT) {
        return "interrupt";
    }
    return cause < sizeof(name) / sizeof(name[0]) && name[cause] != NULL ? name[cause]
                                                                         : "exception";
}

/* Which stack's guard ADDRESS is in, in words, or null. */
static const char *guard_of(uint64_t address, uint32_t *index)
{
    uint64_t offset;

    if (address < VA_STACKS || address - VA_STACKS >= (uint64_t)HART_MAX * STACK_SLOT) {
        return NULL;
    }
    *index = (uint32_t)((address - VA_STACKS) / STACK_SLOT);
    offset = (address - VA_STACKS) % STACK_SLOT;
    if (offset < STACK_EMERGENCY) {
        return "emergency stack";
    }
    if (offset >= STACK_EMERGENCY_TOP && offset < STACK_MAIN) {
        return "stack";
    }
    return NULL;
}

static bool is_code(uint64_t address)
{
    return address >= (uint64_t)(uintptr_t)_image_start &&
           address < (uint64_t)(uintptr_t)_rodata_start;
}

/* What on the stack, from SP up to its end, may be an address to return to. */
static void backtrace(uint64_t sp)
{
    const uint64_t *word = (const uint64_t *)(uintptr_t)(sp & ~UINT64_C(7));
    uint32_t told = 0;

    if (!probe_load(word)) {
        word =
            (const uint64_t *)(uintptr_t)((sp | (CORDON_PAGE_SIZE - 1)) + 1); /* past the guard */
    }
    for (uint32_t i = 0; i < STACK_SLOT / 8 && told < BACKTRACE_MAX && probe_load(word); i++) {
        if (is_code(*word)) {
            log_line("  stack %016lx: %016lx", (uint64_t)(uintptr_t)word, *word);
            told++;
        }
        word++;
    }
}

void panic_trap(const struct own_frame *frame, uint64_t cause, uint64_t pc, uint64_t tval)
{
    uint32_t index = 0;
    const char *guard = guard_of(tval, &index);

    console_panic();
    log_line("PANIC on hart %lu: %s (cause %lu) at %016lx, address %016lx", hart_this()->id,
             cause_name(cause), cause & ~CAUSE_INTERRUPT, pc, tval);
    if (guard != NULL) {
        log_line("  the %s of hart %lu has run into its guard", guard, harts[index].id);
    }
    for (unsigned i = 1; i < 32; i += 3) {
        log_line("  %-4s %016lx  %-4s %016lx  %-4s %016lx", register_name[i], frame->x[i],
                 i + 1 < 32 ? register_name[i + 1] : "", i + 1 < 32 ? frame->x[i + 1] : 0,
                 i + 2 < 32 ? register_name[i + 2] : "", i + 2 < 32 ? frame->x[i + 2] : 0);
    }
    backtrace(frame->x[2]);
    poweroff(true);
}

void panic(const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    console_panic();
    log_line("PANIC on hart %lu: %s", hart_this()->id, text);
    backtrace((uint64_t)(uintptr_t)__builtin_frame_address(0));
    poweroff(true);
}

_Noreturn void cordon_port_panic(const char *what, const char *file, int line)
{
    panic("invariant broken: %s (%s:%d)", what, file, line);
}
