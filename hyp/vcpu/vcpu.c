/* A vCPU on its hart: from nothing to the first instruction, and back. */
#include "vcpu/vcpu.h"

#include <cordon/cordon.h>
#include <string.h>

#include "aia/imsic.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/trap.h"
#include "vm/vm.h"

_Static_assert(offsetof(struct vcpu, x) == VCPU_X(0), "vcpu_offsets.h");
_Static_assert(offsetof(struct vcpu, hyp_sp) == VCPU_HYP_SP, "vcpu_offsets.h");
_Static_assert(offsetof(struct vcpu, hart) == VCPU_HART, "vcpu_offsets.h");

#define SSTATUS_UXL_64 (UINT64_C(2) << 32)

/* What the guest handles itself [Priv 18.2.2]. Guest-page faults, virtual instructions and
 * ecalls from VS are ours. */
#define DELEGATED                                                                \
    (UINT64_C(1) << CAUSE_FETCH_MISALIGNED | UINT64_C(1) << CAUSE_FETCH_ACCESS | \
     UINT64_C(1) << CAUSE_ILLEGAL | UINT64_C(1) << CAUSE_BREAKPOINT |            \
     UINT64_C(1) << CAUSE_LOAD_MISALIGNED | UINT64_C(1) << CAUSE_LOAD_ACCESS |   \
     UINT64_C(1) << CAUSE_STORE_MISALIGNED | UINT64_C(1) << CAUSE_STORE_ACCESS | \
     UINT64_C(1) << CAUSE_ECALL_U | UINT64_C(1) << CAUSE_FETCH_PAGE |            \
     UINT64_C(1) << CAUSE_LOAD_PAGE | UINT64_C(1) << CAUSE_STORE_PAGE)

/* The hypervisor's side of the guest's machine. */
static void set_hypervisor_csrs(const struct vcpu *vcpu)
{
    struct hart_abilities all;

    hart_common(&all);
    csr_write(CSR_HEDELEG, DELEGATED);
    csr_write(CSR_HIDELEG, IRQ_VSSI | IRQ_VSTI | IRQ_VSEI);
    csr_write(CSR_HVIP, 0);
    csr_write(CSR_HVICTL, 0);
    csr_write(CSR_HVIPRIO1, 0);
    csr_write(CSR_HVIPRIO2, 0);
    csr_write(CSR_HGEIE, 0);
    csr_write(CSR_HTIMEDELTA, 0);
    csr_write(CSR_HCOUNTEREN, all.counters);
    csr_write(CSR_HENVCFG, all.henvcfg);
    if (vcpu->hart->hstateen0 != 0) {
        (void)csr_try_write(CSR_HSTATEEN0, vcpu->hart->hstateen0);
    }
}

/* The guest's own CSRs as a hart has them that was started [SBI 9.1]. */
static void reset_guest_csrs(void)
{
    csr_write(CSR_VSSTATUS, SSTATUS_UXL_64);
    csr_write(CSR_VSIE, 0);
    csr_write(CSR_VSTVEC, 0);
    csr_write(CSR_VSSCRATCH, 0);
    csr_write(CSR_VSEPC, 0);
    csr_write(CSR_VSCAUSE, 0);
    csr_write(CSR_VSTVAL, 0);
    csr_write(CSR_VSTIMECMP, UINT64_MAX);
    csr_write(CSR_VSISELECT, 0);
    /* These have no second copy: what the guest writes is what the hart has [Priv 18.2]. */
    csr_write(CSR_SCOUNTEREN, COUNTEREN_TIME); /* firmware leaves it so, and Linux counts on it */
    (void)csr_try_write(CSR_SENVCFG, 0);
    (void)csr_try_write(CSR_SSTATEEN0, 0);
}

/* Floating-point and vector registers hold nothing of whoever ran here before. */
static void clear_extended_registers(void)
{
    csr_set(CSR_SSTATUS, SSTATUS_FS);
    fp_clear();
    if (machine_isa_has("v")) {
        csr_set(CSR_SSTATUS, SSTATUS_VS);
        vector_clear();
    }
}

/* What the next sret does. Last, for a fault of our own (a register that is not there) sets
 * these too. */
static void aim_at_guest(const struct vcpu *vcpu)
{
    csr_write(CSR_HSTATUS, HSTATUS_VSXL_64 | HSTATUS_SPV | HSTATUS_SPVP |
                               (uint64_t)vcpu->guest_file << HSTATUS_VGEIN_SHIFT);
    csr_set(CSR_SSTATUS, SSTATUS_SPP | SSTATUS_SPIE);
    csr_write(CSR_SEPC, vcpu->start_pc);
}

int vcpu_step_in(struct vcpu *vcpu)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    int err = cordon_domain_enter(vcpu->vm->domain, vcpu->hart->index, &entry);

    if (err != 0) {
        return err;
    }
    csr_write(CSR_HGATP, entry.hgatp);
    /* Nothing cached of an earlier user of this VMID; and nothing of the guest's own tables, for
     * nobody told a vCPU that was not there of their changes. */
    if (entry.forget != 0) {
        hart_fence_gstage_current();
    }
    hart_fence_vstage();
    csr_write(CSR_VSATP, vcpu->vsatp);
    vcpu->inside = true;
    return 0;
}

void vcpu_step_out(struct vcpu *vcpu)
{
    int err;

    vcpu->vsatp = csr_swap(CSR_VSATP, 0); /* first: its tables are not walked under another VMID */
    csr_write(CSR_HGATP, 0);
    vcpu->inside = false;
    err = cordon_domain_leave(vcpu->vm->domain, vcpu->hart->index);
    cordon_assert(err == 0);
}

static void enter(struct vcpu *vcpu)
{
    if (!vcpu->file_clean) {
        imsic_file_clear_here(vcpu->guest_file);
        vcpu->file_clean = true;
    }
    memset(vcpu->x, 0, sizeof(vcpu->x));
    vcpu->x[10] = vcpu->id;
    vcpu->x[11] = vcpu->start_opaque;
    set_hypervisor_csrs(vcpu);
    reset_guest_csrs();
    clear_extended_registers();
    hart_fence_i(); /* INV 9 */
    hart_this()->vcpu = vcpu;
    if (atomic_load(&vcpu->requests) != 0) {
        imsic_kick(vcpu->hart); /* what was asked before is served by the first exit */
    }
    aim_at_guest(vcpu);
    vcpu_run(vcpu);
}

/* Nothing of the guest stays in force on this hart. */
static void detach(struct vcpu *vcpu)
{
    hart_this()->vcpu = NULL;
    csr_write(CSR_VSTIMECMP, UINT64_MAX);
    csr_write(CSR_VSIE, 0);
    csr_write(CSR_HVIP, 0);
    csr_write(CSR_HSTATUS, 0);
    if (atomic_load(&vcpu->vm->state) != VM_RUNNING) {
        imsic_file_clear_here(vcpu->guest_file);
    }
}

/* While it is inside, the layer tells this hart of what is taken from the guest. */
static void run(struct vcpu *vcpu)
{
    int err;

    vcpu->vsatp = 0;
    err = vcpu_step_in(vcpu);
    if (err != 0) {
        cordon_assert(err == -CORDON_ELIMIT);
        vm_stop(vcpu->vm, VM_END_FAILED, "as many other VMs run as there are VMIDs");
        return;
    }
    enter(vcpu);
    if (vcpu->inside) { /* it may have ended while it stood still */
        vcpu_step_out(vcpu);
    }
    detach(vcpu);
}

void vcpu_start_here(struct vcpu *vcpu)
{
    if (vm_vcpu_begin(vcpu)) {
        run(vcpu);
        vm_vcpu_end(vcpu);
    }
}

void vcpu_counts_add(struct vcpu_counts *sum, const struct vcpu_counts *c)
{
    sum->sbi += c->sbi;
    sum->mmio += c->mmio;
    sum->interrupt += c->interrupt;
    sum->virtual += c->virtual;
    sum->absent += c->absent;
    sum->spurious += c->spurious;
    sum->touch += c->touch;
    sum->touch_large += c->touch_large;
    sum->logged += c->logged;
}

void vcpu_request(struct vcpu *vcpu, unsigned request)
{
    atomic_fetch_or(&vcpu->requests, request);
    imsic_kick(vcpu->hart);
}
