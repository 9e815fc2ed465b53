/* A guest's console: whole lines out, with its name in front; what is typed in, to one guest. */
#include <string.h>

#include "core/console.h"
#include "core/csr.h"
#include "vm/vm.h"

#define KEY_SWITCH 0x1du /* Ctrl-] */
#define POLL_BYTES 64u
#define LINES_A_CALL                                                             \
    16u /* more is left to the next call: output is slow, and holds up who waits \
         */

static uint32_t focus;

/* The caller holds the line's lock. */
static void let_out(struct vm *vm, bool complete)
{
    console_emit(vm_name(vm), vm->line, vm->line_len, complete);
    vm->line_len = 0;
}

/* True if that let a line out. */
static bool put(struct vm *vm, uint8_t byte)
{
    if (byte == '\n') {
        let_out(vm, true);
        return true;
    }
    if (byte == '\r' || byte == '\0') {
        return false;
    }
    vm->line[vm->line_len++] = (char)byte;
    if (vm->line_len == VM_LINE_BYTES) {
        let_out(vm, false);
        return true;
    }
    return false;
}

/* To the end of a line, or of all. Returns how many bytes that was. */
static uint64_t put_line(struct vm *vm, const uint8_t *bytes, uint64_t len)
{
    uint64_t done = 0;

    cordon_lock_take(&vm->line_lock);
    for (bool ended = false; done < len && !ended; done++) {
        ended = put(vm, bytes[done]);
    }
    vm->line_time = hart_time();
    cordon_lock_give(&vm->line_lock);
    return done;
}

uint64_t vm_console_write(struct vm *vm, const uint8_t *bytes, uint64_t len)
{
    uint64_t done = 0;

    for (uint32_t lines = 0; done < len && lines < LINES_A_CALL; lines++) {
        done += put_line(vm, bytes + done, len - done);
    }
    return done;
}

void vm_console_flush(struct vm *vm, uint64_t time)
{
    /* A line that somebody is busy with is not a stale one; the end of a guest waits for it. */
    if (time == 0) {
        cordon_lock_take(&vm->line_lock);
    } else if (!cordon_lock_try(&vm->line_lock)) {
        return;
    }
    if (vm->line_len != 0 && (time == 0 || vm->line_time < time)) {
        let_out(vm, time == 0);
    }
    cordon_lock_give(&vm->line_lock);
}

bool vm_input(struct vm *vm, const uint8_t *bytes, size_t len, size_t *taken)
{
    if (!vm_hold(vm)) {
        return false;
    }
    *taken = uart_input(&vm->uart, bytes, len);
    vm_let_go(vm);
    return true;
}

static void switch_focus(void)
{
    for (uint32_t i = 1; i <= vm_count; i++) {
        uint32_t next = (focus + i) % vm_count;

        if (atomic_load(&vms[next].state) == VM_RUNNING) {
            focus = next;
            log_line("the console is %s's", vm_name(&vms[next]));
            return;
        }
    }
}

/* What does not fit is dropped, as a UART without flow control does. */
void vm_console_poll(void)
{
    size_t taken;

    for (uint32_t i = 0; i < POLL_BYTES; i++) {
        int key = console_read_byte();
        uint8_t byte = (uint8_t)key;

        if (key < 0) {
            return;
        }
        if (byte == KEY_SWITCH) {
            switch_focus();
        } else if (focus < vm_count) {
            (void)vm_input(&vms[focus], &byte, 1, &taken);
        }
    }
}
