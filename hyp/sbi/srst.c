/* The guest ends itself [SBI 10]. */
#include "sbi/sbi.h"
#include "vm/vm.h"

#define REASON_RESERVED_FIRST 2u
#define REASON_OWN_FIRST 0xE0000000u /* a platform's or SBI implementation's own reasons */

struct sbi_ret sbi_srst(struct vcpu *vcpu, uint64_t fid)
{
    uint64_t type = sbi_arg(vcpu, 0);
    uint64_t reason = sbi_arg(vcpu, 1);

    if (fid != SBI_SRST_RESET) {
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
    if (type > SBI_SRST_WARM_REBOOT || reason > UINT32_MAX ||
        (reason >= REASON_RESERVED_FIRST && reason < REASON_OWN_FIRST)) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    vm_stop(vcpu->vm,
            reason != SBI_SRST_REASON_NONE ? VM_END_FAILED
            : type == SBI_SRST_SHUTDOWN    ? VM_END_SHUTDOWN
                                           : VM_END_REBOOT,
            "the guest asked for %s, reason 0x%lx",
            type == SBI_SRST_SHUTDOWN ? "shutdown" : "reboot: it stays off", reason);
    vcpu_leave(vcpu);
}
