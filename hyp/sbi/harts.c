/* Calls about other harts of the guest: IPI and RFENCE [SBI 3.1, 7, 8]. */
#include "core/hart.h"
#include "sbi/sbi.h"
#include "vm/vm.h"

bool sbi_hart_mask(const struct vcpu *vcpu, uint64_t mask, uint64_t base, uint32_t *out)
{
    uint32_t count = vcpu->vm->config->vcpus;
    uint32_t all = (1u << count) - 1;

    if (base == UINT64_MAX) {
        *out = all;
        return true;
    }
    if (mask == 0) {
        *out = 0;
        return base < count;
    }
    if (base >= count || (mask & ~(uint64_t)(all >> base)) != 0) {
        return false;
    }
    *out = (uint32_t)mask << base;
    return true;
}

struct sbi_ret sbi_ipi(struct vcpu *vcpu, uint64_t fid)
{
    uint32_t targets;

    if (fid != 0) {
        return sbi_error(SBI_ERR_NOT_SUPPORTED);
    }
    if (!sbi_hart_mask(vcpu, sbi_arg(vcpu, 0), sbi_arg(vcpu, 1), &targets)) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    for (uint32_t i = 0; i < vcpu->vm->config->vcpus; i++) {
        struct vcpu *target = &vcpu->vm->vcpu[i];

        if (!(targets >> i & 1)) {
            continue;
        }
        if (target == vcpu) {
            csr_set(CSR_HVIP, IRQ_VSSI);
        } else {
            vcpu_request(target, VCPU_REQUEST_IPI);
        }
    }
    return sbi_value(0);
}

/* Fence number FID on the harts of TARGETS, by the firmware: one call for each run of 64 hart
 * ids. Its hfence.vvma uses the VMID in this hart's hgatp, which is the guest's. */
static struct sbi_ret forward(const struct vcpu *vcpu, uint32_t targets, uint64_t fid,
                              uint64_t start, uint64_t size, uint64_t asid)
{
    while (targets != 0) {
        uint64_t base = UINT64_MAX;
        uint64_t mask = 0;

        for (uint32_t i = 0; i < vcpu->vm->config->vcpus; i++) {
            uint64_t id = vcpu->vm->vcpu[i].hart->id;

            if ((targets >> i & 1) && id < base) {
                base = id;
            }
        }
        for (uint32_t i = 0; i < vcpu->vm->config->vcpus; i++) {
            uint64_t id = vcpu->vm->vcpu[i].hart->id;

            if ((targets >> i & 1) && id - base < 64) {
                mask |= UINT64_C(1) << (id - base);
                targets &= ~(1u << i);
            }
        }
        struct sbi_ret ret = sbi_call(SBI_RFENCE, fid, mask, base, start, size, asid);

        if (ret.error != 0) {
            return sbi_error(ret.error);
        }
    }
    return sbi_value(0);
}

/* A vCPU that is not started has nothing to forget: starting it fences everything. */
static uint32_t started_only(const struct vcpu *vcpu, uint32_t targets)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < vcpu->vm->config->vcpus; i++) {
        if (atomic_load(&vcpu->vm->vcpu[i].state) != VCPU_STOPPED) {
            kept |= targets & 1u << i;
        }
    }
    return kept;
}

struct sbi_ret sbi_rfence(struct vcpu *vcpu, uint64_t fid)
{
    uint64_t start = sbi_arg(vcpu, 2);
    uint64_t size = sbi_arg(vcpu, 3);
    uint32_t targets;

    if (fid > SBI_RFENCE_SFENCE_ASID) {
        return sbi_error(SBI_ERR_NOT_SUPPORTED); /* the others need the H extension in the guest */
    }
    if (!sbi_hart_mask(vcpu, sbi_arg(vcpu, 0), sbi_arg(vcpu, 1), &targets)) {
        return sbi_error(SBI_ERR_INVALID_PARAM);
    }
    targets = started_only(vcpu, targets);
    switch (fid) {
    case SBI_RFENCE_I:
        return forward(vcpu, targets, SBI_RFENCE_I, 0, 0, 0);
    case SBI_RFENCE_SFENCE:
        return forward(vcpu, targets, SBI_RFENCE_HFENCE_VVMA, start, size, 0);
    default:
        return forward(vcpu, targets, SBI_RFENCE_HFENCE_VVMA_ASID, start, size,
                       sbi_arg(vcpu, 4) & 0xffff);
    }
}
