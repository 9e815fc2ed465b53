/* The debug console [SBI 12]: the guest's bytes lie anywhere in its own memory, and nowhere
 * else. */
#include <cordon/cordon.h>

#include "sbi/sbi.h"
#include "vm/memory_vm.h"

#define BYTES_A_CALL 4096u /* more is left to the next call, as the specification allows */

/* As much of [gpa, gpa+*len) as is contiguous, written or read; *LEN is cut to that. Returns how
 * much was taken, or -1: no memory of the guest. Without a frame for it the guest ends. */
static int64_t transfer_some(struct vcpu *vcpu, bool write, uint64_t gpa, uint64_t *len)
{
    struct vm *vm = vcpu->vm;
    int64_t taken = -1;
    uint8_t *bytes;
    int err;

    cordon_lock_take(&vm->map_lock);
    cordon_hold(vm->domain); /* the bytes stay where they are while we use them */
    err = vm_memory_at(vm, cordon_gpa_make(gpa), write ? CORDON_READ : CORDON_WRITE, &bytes, len);
    if (err == 0) {
        taken = (int64_t)(write ? vm_console_write(vm, bytes, *len)
                                : uart_take(&vm->uart, bytes, *len));
    }
    if (!write && taken > 0) { /* not through the guest's own tables: said, for dirty logging */
        int told = cordon_log_written(vm->domain, cordon_gpa_make(gpa), (uint64_t)taken);

        cordon_assert(told == 0);
    }
    cordon_let_go(vm->domain);
    cordon_lock_give(&vm->map_lock);
    if (err == -CORDON_ENOMEM) {
        vm_memory_out(vm, cordon_gpa_make(gpa));
        vcpu_leave(vcpu);
    }
    return taken;
}

/* Write from, or read into, the guest's buffer. */
static struct sbi_ret transfer(struct vcpu *vcpu, bool write)
{
    uint64_t want = sbi_arg(vcpu, 0);
    uint64_t gpa = sbi_arg(vcpu, 1);
    uint64_t done = 0;

    if (sbi_arg(vcpu, 2) != 0 || gpa + want < gpa) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    if (want > BYTES_A_CALL) {
        want = BYTES_A_CALL;
    }
    while (done < want) {
        uint64_t len = want - done;
        int64_t taken = transfer_some(vcpu, write, gpa + done, &len);

        if (taken < 0) {
            return done != 0 ? sbi_value(done) : sbi_error(SBI_ERR_INVALID_PARAM);
        }
        done += (uint64_t)taken;
        if ((uint64_t)taken < len) {
            break;
        }
    }
    return sbi_value(done);
}

struct sbi_ret sbi_dbcn(struct vcpu *vcpu, uint64_t fid)
{
    uint8_t byte = (uint8_t)sbi_arg(vcpu, 0);

    switch (fid) {
    case SBI_DBCN_WRITE:
        return transfer(vcpu, true);
    case SBI_DBCN_READ:
        return transfer(vcpu, false);
    case SBI_DBCN_WRITE_BYTE:
        (void)vm_console_write(vcpu->vm, &byte, 1);
        return sbi_value(0);
    default:
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
}
