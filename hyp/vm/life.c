/* A guest's life: started, stopped, ended. */
#include <stdarg.h>
#include <stdio.h>

#include "core/console.h"
#include "core/csr.h"
#include "core/hart.h"
#include "manage/translate.h"
#include "pci/vm_pci.h"
#include "vm/devices.h"
#include "vm/guests.h"
#include "vm/memory_vm.h"
#include "vm/pause.h"
#include "vm/report.h"
#include "vm/vm.h"

#define FAULT_LINES 8u

struct vm vms[VM_MAX];
uint32_t vm_count;

bool vm_hold(struct vm *vm)
{
    cordon_lock_take(&vm->lock);
    if (atomic_load(&vm->state) == VM_RUNNING) {
        return true;
    }
    cordon_lock_give(&vm->lock);
    return false;
}

void vm_let_go(struct vm *vm)
{
    cordon_lock_give(&vm->lock);
}

bool vm_may_log(struct vm *vm)
{
    unsigned long long n = atomic_fetch_add(&vm->faults, 1) + 1;

    return n <= FAULT_LINES || (n & (n - 1)) == 0;
}

bool vm_vcpu_start(struct vcpu *vcpu, uint64_t pc, uint64_t opaque)
{
    struct vm *vm = vcpu->vm;
    bool ok;

    if (!vm_hold(vm)) {
        return false;
    }
    ok = atomic_load(&vcpu->state) == VCPU_STOPPED;
    if (ok) {
        vcpu->start_pc = pc;
        vcpu->start_opaque = opaque;
        atomic_store(&vcpu->state, VCPU_START_PENDING);
    }
    vm_let_go(vm);
    if (ok) {
        vcpu_request(vcpu, 0);
    }
    return ok;
}

_Noreturn void vm_vcpu_restart(struct vcpu *vcpu, uint64_t pc, uint64_t opaque)
{
    cordon_lock_take(&vcpu->vm->lock);
    vcpu->start_pc = pc;
    vcpu->start_opaque = opaque;
    atomic_store(&vcpu->state, VCPU_START_PENDING);
    cordon_lock_give(&vcpu->vm->lock);
    vcpu_leave(vcpu);
}

void vm_start(struct vm *vm)
{
    cordon_lock_take(&vm->lock);
    vm->started = hart_time();
    vm_coalesce_begin(vm);
    atomic_store(&vm->state, VM_RUNNING);
    cordon_lock_give(&vm->lock);
    (void)vm_vcpu_start(&vm->vcpu[0], vm->entry.v, vm->dtb.v);
}

/* Everything that it had goes back; said in one line. */
static void finish(struct vm *vm)
{
    vm_console_flush(vm, 0);
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        vcpu_counts_add(&vm->counts, &vm->vcpu[i].counts);
    }
    vm->ended = hart_time();
    vm->resident = vm_memory_resident(vm);
    devices_settle(); /* afterwards the faults of its devices are nobody's */
    vm_pci_release(vm);
    vm_memory_release(vm);
    report_ended(vm);
    atomic_store(&vm->state, VM_STOPPED);
    guests_ended();
}

/* VM is held: remember why it ends. */
static void begin_end(struct vm *vm, enum vm_end end, const char *format, va_list args)
{
    vm->end = end;
    (void)vsnprintf(vm->end_text, sizeof(vm->end_text), format, args);
    atomic_store(&vm->state, VM_STOPPING);
}

void vm_stop(struct vm *vm, enum vm_end end, const char *format, ...)
{
    va_list args;
    bool nobody;

    if (!vm_hold(vm)) {
        return;
    }
    va_start(args, format);
    begin_end(vm, end, format, args);
    va_end(args);
    nobody = vm->live == 0;
    vm_let_go(vm);
    if (nobody) {
        finish(vm);
        return;
    }
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        vcpu_request(&vm->vcpu[i], VCPU_REQUEST_STOP);
    }
}

bool vm_vcpu_begin(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    bool ok;

    cordon_lock_take(&vm->lock);
    ok = atomic_load(&vm->state) == VM_RUNNING && atomic_load(&vcpu->state) == VCPU_START_PENDING;
    atomic_store(&vcpu->state, ok ? VCPU_STARTED : VCPU_STOPPED);
    vm->live += ok;
    cordon_lock_give(&vm->lock);
    if (!ok) {
        manage_tell_stopped(vcpu); /* who was told that it would start counts on an answer */
    }
    return ok;
}

static bool is_any_pending(const struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        if (atomic_load(&vm->vcpu[i].state) == VCPU_START_PENDING) {
            return true;
        }
    }
    return false;
}

/* As vm_stop, for a VM whose vCPUs have all stopped themselves; the lock is held. */
static void end_alone(struct vm *vm, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    begin_end(vm, VM_END_ALONE, format, args);
    va_end(args);
}

void vm_vcpu_end(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    bool last;
    bool still;

    cordon_lock_take(&vm->lock);
    if (atomic_load(&vcpu->state) != VCPU_START_PENDING) {
        atomic_store(&vcpu->state, VCPU_STOPPED);
    }
    vm->live--;
    if (vm->live == 0 && atomic_load(&vm->state) == VM_RUNNING && !is_any_pending(vm)) {
        end_alone(vm, "all %u vCPUs have stopped themselves", vm->config->vcpus);
    }
    last = vm->live == 0 && atomic_load(&vm->state) == VM_STOPPING;
    still = atomic_load(&vm->paused) && vm_is_still(vm);
    cordon_lock_give(&vm->lock);
    if (still) {
        vm_tell_paused(vm);
    }
    if (atomic_load(&vcpu->state) == VCPU_STOPPED) {
        manage_tell_stopped(vcpu);
    }
    if (last) {
        finish(vm);
    }
}
