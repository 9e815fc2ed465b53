/* Exits other than calls of the SBI: interrupts of ours, instructions that the guest may not
 * use. */
#include "aia/imsic.h"
#include "core/console.h"
#include "core/hart.h"
#include "core/tick.h"
#include "manage/translate.h"
#include "vcpu/fetch.h"
#include "vcpu/vcpu.h"
#include "vm/pause.h"

#define STUCK_LIMIT 1000u

void vcpu_serve_requests(struct vcpu *vcpu)
{
    unsigned requests = atomic_load_explicit(&vcpu->requests, memory_order_relaxed);

    if (requests == 0) {
        return;
    }
    requests = atomic_exchange(&vcpu->requests, 0);
    while ((requests & (VCPU_REQUEST_PAUSE | VCPU_REQUEST_STOP)) == VCPU_REQUEST_PAUSE) {
        vm_park(vcpu);
        requests &= ~VCPU_REQUEST_PAUSE;
        requests |= atomic_exchange(&vcpu->requests, 0); /* to pause once more, perhaps */
    }
    if (requests & VCPU_REQUEST_IPI) {
        csr_set(CSR_HVIP, IRQ_VSSI);
    }
    if (requests & VCPU_REQUEST_TELL) {
        manage_tell_running(vcpu);
    }
    if (requests & VCPU_REQUEST_STOP) {
        vcpu_leave(vcpu);
    }
}

static void on_interrupt(struct vcpu *vcpu, uint64_t cause)
{
    vcpu->counts.interrupt++;
    if (cause != (CAUSE_INTERRUPT | 5)) {
        imsic_claim();
    }
    tick(); /* it is time, or perhaps we have been made the one that ticks */
    vcpu_serve_requests(vcpu);
}

static bool is_from_kernel(void)
{
    return (csr_read(CSR_SSTATUS) & SSTATUS_SPP) != 0;
}

/*
 * True if the guest cannot get past this fault: it has taken it again and again at the same
 * instruction, with no other exception in between. Only its kernel can do that to the VM.
 */
static bool is_stuck(struct vcpu *vcpu, uint64_t cause, uint64_t pc)
{
    if (is_from_kernel() && csr_read(CSR_VSEPC) == pc && csr_read(CSR_VSCAUSE) == cause) {
        vcpu->stuck++;
    } else {
        vcpu->stuck = 0;
    }
    return vcpu->stuck >= STUCK_LIMIT;
}

void vcpu_inject(struct vcpu *vcpu, uint64_t cause, uint64_t tval)
{
    uint64_t pc = csr_read(CSR_SEPC);
    uint64_t vsstatus = csr_read(CSR_VSSTATUS);

    if (is_stuck(vcpu, cause, pc)) {
        vm_stop(vcpu->vm, VM_END_STUCK,
                "vCPU %u: exception %lu at pc 0x%lx, %u times in a row: no way on", vcpu->id, cause,
                pc, STUCK_LIMIT);
        vcpu_leave(vcpu);
    }
    vsstatus &= ~(SSTATUS_SPP | SSTATUS_SPIE);
    vsstatus |= is_from_kernel() ? SSTATUS_SPP : 0;
    vsstatus |= (vsstatus & SSTATUS_SIE) ? SSTATUS_SPIE : 0;
    csr_write(CSR_VSSTATUS, vsstatus & ~SSTATUS_SIE);
    csr_write(CSR_VSEPC, pc);
    csr_write(CSR_VSCAUSE, cause);
    csr_write(CSR_VSTVAL, tval);
    csr_write(CSR_SEPC, csr_read(CSR_VSTVEC) & ~UINT64_C(3));
    csr_set(CSR_SSTATUS, SSTATUS_SPP);
}

/* An instruction that works on a hart but not in a guest: counters, CSRs of the hypervisor. */
static void on_virtual_instruction(struct vcpu *vcpu)
{
    uint64_t instruction = csr_read(CSR_STVAL);
    uint32_t fetched;

    if (instruction == 0 && fetch_guest_instruction(csr_read(CSR_SEPC), &fetched)) {
        instruction = fetched;
    }
    vcpu->counts.virtual ++;
    if (vm_may_log(vcpu->vm)) {
        log_line(
            "%s: vCPU %u: instruction 0x%lx at pc 0x%lx is not for guests: illegal instruction",
            vm_name(vcpu->vm), vcpu->id, instruction, csr_read(CSR_SEPC));
    }
    vcpu_inject(vcpu, CAUSE_ILLEGAL, instruction);
}

void vcpu_exit(struct vcpu *vcpu)
{
    uint64_t cause = csr_read(CSR_SCAUSE);

    if (cause & CAUSE_INTERRUPT) {
        on_interrupt(vcpu, cause);
        return;
    }
    switch (cause) {
    case CAUSE_FETCH_GUEST_PAGE:
    case CAUSE_LOAD_GUEST_PAGE:
    case CAUSE_STORE_GUEST_PAGE:
        vcpu_guest_page_fault(vcpu, cause);
        return;
    case CAUSE_VIRTUAL:
        on_virtual_instruction(vcpu);
        return;
    default:
        vm_stop(vcpu->vm, VM_END_TRAP, "vCPU %u: unknown trap %lu at pc 0x%lx, value 0x%lx",
                vcpu->id, cause, csr_read(CSR_SEPC), csr_read(CSR_STVAL));
        vcpu_leave(vcpu);
    }
}
