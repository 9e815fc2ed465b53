/* Starting, stopping and suspending harts of the guest [SBI 9]. */
#include <cordon/cordon.h>

#include "sbi/sbi.h"
#include "vm/vm.h"

/* A page that has not been touched yet is executable all the same. */
static bool may_execute(const struct vcpu *vcpu, uint64_t address)
{
    struct cordon_region_info region;

    return cordon_region_find(vcpu->vm->domain, cordon_gpa_make(address), false, &region) == 0 &&
           (region.perms & CORDON_EXEC) != 0;
}

static struct sbi_ret start(struct vcpu *vcpu)
{
    uint64_t id = sbi_arg(vcpu, 0);
    uint64_t address = sbi_arg(vcpu, 1);

    if (id >= vcpu->vm->config->vcpus) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    if (!may_execute(vcpu, address)) {
        return sbi_error(SBI_ERR_INVALID_ADDRESS);
    }
    return vm_vcpu_start(&vcpu->vm->vcpu[id], address, sbi_arg(vcpu, 2))
               ? sbi_value(0)
               : sbi_error(SBI_ERR_ALREADY_AVAILABLE);
}

static struct sbi_ret status(const struct vcpu *vcpu)
{
    uint64_t id = sbi_arg(vcpu, 0);

    if (id >= vcpu->vm->config->vcpus) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    switch (atomic_load_explicit(&vcpu->vm->vcpu[id].state, memory_order_acquire)) {
    case VCPU_STARTED:
        return sbi_value(SBI_HSM_STARTED);
    case VCPU_START_PENDING:
        return sbi_value(SBI_HSM_START_PENDING);
    case VCPU_SUSPENDED:
        return sbi_value(SBI_HSM_SUSPENDED);
    default:
        return sbi_value(SBI_HSM_STOPPED);
    }
}

/* Wait, as wfi does, for an interrupt of the guest or of ours; the guest may be woken early. */
static struct sbi_ret suspend(struct vcpu *vcpu)
{
    uint64_t type = sbi_arg(vcpu, 0);
    uint64_t address = sbi_arg(vcpu, 1);

    if (type != SBI_SUSPEND_RETENTIVE && type != SBI_SUSPEND_NON_RETENTIVE) {
        return sbi_error(type > UINT32_MAX ? SBI_ERR_INVALID_PARAM : SBI_ERR_NOT_SUPPORTED);
    }
    if (type == SBI_SUSPEND_NON_RETENTIVE && !may_execute(vcpu, address)) {
        return sbi_error(SBI_ERR_INVALID_ADDRESS);
    }
    atomic_store(&vcpu->state, VCPU_SUSPENDED);
    hart_wait_for_interrupt();
    if (type == SBI_SUSPEND_NON_RETENTIVE) {
        vm_vcpu_restart(vcpu, address, sbi_arg(vcpu, 2));
    }
    atomic_store(&vcpu->state, VCPU_STARTED);
    return sbi_value(0);
}

struct sbi_ret sbi_hsm(struct vcpu *vcpu, uint64_t fid)
{
    switch (fid) {
    case SBI_HSM_START:
        return start(vcpu);
    case SBI_HSM_STOP:
        vcpu_leave(vcpu);
    case SBI_HSM_STATUS:
        return status(vcpu);
    case SBI_HSM_SUSPEND:
        return suspend(vcpu);
    default:
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
}
