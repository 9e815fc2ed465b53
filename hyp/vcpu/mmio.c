/*
 * Guest-page faults [Priv 18.6.1]: an emulated device, a page that comes when it is touched, a
 * stale translation, or nothing at all.
 */
#include <cordon/cordon.h>

#include "core/console.h"
#include "vcpu/decode.h"
#include "vcpu/fetch.h"
#include "vcpu/touch.h"
#include "vcpu/vcpu.h"
#include "vm/memory_vm.h"

static uint64_t extend(uint64_t value, const struct access *a)
{
    unsigned shift = 64 - 8u * a->width;

    return a->sign ? (uint64_t)((int64_t)(value << shift) >> shift) : value << shift >> shift;
}

static void emulate(struct vcpu *vcpu, const struct vbus_device *device, uint64_t offset,
                    const struct access *a)
{
    vcpu_skip(a->length);
    if (a->store) {
        uint64_t value = vcpu->x[a->reg];

        device->write(device->state, offset, a->width,
                      a->width == 8 ? value : value & ((UINT64_C(1) << 8 * a->width) - 1));
        return;
    }
    uint64_t value = extend(device->read(device->state, offset, a->width), a);

    if (a->reg != 0) {
        vcpu->x[a->reg] = value;
    }
}

static uint64_t fault_address(void)
{
    return csr_read(CSR_HTVAL) << 2 | (csr_read(CSR_STVAL) & 3);
}

/* The instruction that faulted: from htinst, or else out of the guest's memory. */
static bool find_instruction(struct access *out)
{
    uint64_t htinst = csr_read(CSR_HTINST);
    uint32_t instruction;

    if (decode_transformed(htinst, out)) {
        return true;
    }
    return htinst == 0 && fetch_guest_instruction(csr_read(CSR_SEPC), &instruction) &&
           decode_access(instruction, out);
}

static const char *access_name(uint64_t cause)
{
    return cause == CAUSE_FETCH_GUEST_PAGE  ? "fetch from"
           : cause == CAUSE_LOAD_GUEST_PAGE ? "load from"
                                            : "store to";
}

/* Say what the guest reached for, and what is nearest to it. */
static void log_absent(struct vcpu *vcpu, uint64_t cause, uint64_t gpa, const char *why)
{
    struct cordon_region_info near;
    uint64_t pc = csr_read(CSR_SEPC);
    uint32_t instruction = 0;

    /* A fault that repeats itself is told once more, when it ends the guest. */
    if (vcpu->stuck > 1 || !vm_may_log(vcpu->vm)) {
        return;
    }
    (void)fetch_guest_instruction(pc, &instruction);
    if (cordon_region_find(vcpu->vm->domain, cordon_gpa_make(gpa), true, &near) == 0) {
        log_line("%s: vCPU %u: %s 0x%lx (pc 0x%lx, instruction 0x%x): %s; memory above begins at "
                 "0x%lx, %lu KiB: access fault",
                 vm_name(vcpu->vm), vcpu->id, access_name(cause), gpa, pc, instruction, why,
                 near.gpa.v, near.len >> 10);
    } else {
        log_line("%s: vCPU %u: %s 0x%lx (pc 0x%lx, instruction 0x%x): %s: access fault",
                 vm_name(vcpu->vm), vcpu->id, access_name(cause), gpa, pc, instruction, why);
    }
}

/* Cause of the access fault that stands for a guest-page fault. */
static uint64_t access_fault(uint64_t cause)
{
    return cause == CAUSE_FETCH_GUEST_PAGE  ? CAUSE_FETCH_ACCESS
           : cause == CAUSE_LOAD_GUEST_PAGE ? CAUSE_LOAD_ACCESS
                                            : CAUSE_STORE_ACCESS;
}

/* No device there, or none that this instruction can talk to. */
static void refuse(struct vcpu *vcpu, uint64_t cause, uint64_t gpa, uint64_t stval, const char *why)
{
    vcpu->counts.absent++;
    log_absent(vcpu, cause, gpa, why);
    vcpu_inject(vcpu, access_fault(cause), stval);
}

/* True if the guest may go on: its memory has the page, or has it now. Without a frame for it this
 * guest ends, and no other. */
static bool is_answered(struct vcpu *vcpu, uint64_t cause, uint64_t gpa)
{
    int err = touch_page(vcpu, gpa, touch_access(cause, csr_read(CSR_HTINST)));

    if (err == -CORDON_ENOMEM) {
        vm_memory_out(vcpu->vm, cordon_gpa_make(gpa));
        vcpu_leave(vcpu);
    }
    return err == 0;
}

static void slow_fault(struct vcpu *vcpu, uint64_t cause, uint64_t gpa)
{
    const struct vbus_device *device = NULL;
    uint64_t htinst = csr_read(CSR_HTINST);
    uint64_t stval = csr_read(CSR_STVAL); /* what is fetched from the guest may change it */
    struct access a;

    if (is_answered(vcpu, cause, gpa)) {
        return;
    }
    if (htinst == PSEUDO_READ || htinst == PSEUDO_WRITE) {
        refuse(vcpu, cause, gpa, stval, "the guest's page table is not in memory");
        return;
    }
    if (cause == CAUSE_FETCH_GUEST_PAGE ||
        vbus_find(&vcpu->vm->bus, cordon_gpa_make(gpa), 1) == NULL) {
        refuse(vcpu, cause, gpa, stval, "nothing is there");
        return;
    }
    if (find_instruction(&a) && a.store == (cause == CAUSE_STORE_GUEST_PAGE)) {
        device = vbus_find(&vcpu->vm->bus, cordon_gpa_make(gpa), a.width);
    }
    if (device == NULL) {
        refuse(vcpu, cause, gpa, stval,
               "a device, and no plain aligned load or store of x registers");
        return;
    }
    vcpu->counts.mmio++;
    if (!device->window) {
        vcpu->last_device = device; /* the fast way asks nobody whether the fault is spurious */
    }
    emulate(vcpu, device, gpa - device->gpa.v, &a);
}

void vcpu_guest_page_fault(struct vcpu *vcpu, uint64_t cause)
{
    slow_fault(vcpu, cause, fault_address());
}

/* Registers that entry.S saves on every exit: ra, sp, tp, t0-t6, a0-a7. */
#define SAVED_ALWAYS 0xf003fcf6u

/* A page of RAM that comes when it is touched; what goes wrong is left to the slow way. */
static __attribute__((noinline)) bool touch_fast(struct vcpu *vcpu, uint64_t cause, uint64_t gpa)
{
    return gpa - vcpu->ram_base < vcpu->ram_len &&
           touch_page(vcpu, gpa, touch_access(cause, csr_read(CSR_HTINST))) == 0;
}

bool vcpu_fault_fast(struct vcpu *vcpu, uint64_t cause)
{
    const struct vbus_device *device = vcpu->last_device;
    uint64_t htinst = csr_read(CSR_HTINST);
    uint64_t gpa = fault_address();
    uint64_t offset = gpa - device->gpa.v;
    unsigned funct3 = htinst >> 12 & 7;
    unsigned log2 = funct3 & 3;
    unsigned shift = 64 - (8u << log2);

    /* The device of last time, whole: ranges are whole pages, so what is aligned does not stick
     * out. */
    if (offset >= device->len) {
        return touch_fast(vcpu, cause, gpa);
    }
    if ((offset & ((1u << log2) - 1)) != 0) {
        return false;
    }
    /* A transformed load or store of x registers (decode.h), without an address offset; bit 1
     * tells the length. */
    if (cause == CAUSE_LOAD_GUEST_PAGE && (htinst & (HTINST_OFFSET | 0x7d)) == 0x01) {
        unsigned reg = htinst >> 7 & 31;
        uint64_t value;

        if (!(SAVED_ALWAYS >> reg & 1)) {
            return false;
        }
        value = device->read(device->state, offset, 1u << log2) << shift;
        vcpu->x[reg] = funct3 & 4 ? value >> shift : (uint64_t)((int64_t)value >> shift);
    } else if (cause == CAUSE_STORE_GUEST_PAGE && (htinst & (HTINST_OFFSET | 0x7d)) == 0x21) {
        unsigned reg = htinst >> 20 & 31;

        if (!((SAVED_ALWAYS | 1) >> reg & 1)) {
            return false;
        }
        device->write(device->state, offset, 1u << log2, vcpu->x[reg] << shift >> shift);
    } else {
        return false;
    }
    vcpu->counts.mmio++;
    vcpu_skip(2 + (htinst & 2));
    return true;
}
