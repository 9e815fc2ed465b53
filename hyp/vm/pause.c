/* A guest made to stand still: see pause.h. */
#include "vm/pause.h"

#include "aia/imsic.h"
#include "core/csr.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "manage/translate.h"

static void tell(const struct vm *vm, const char *what)
{
    struct manage_event e;

    json_text(manage_event_begin(&e, what), "vm", vm_name(vm), VM_NAME_BYTES);
    manage_event_send(&e);
}

bool vm_pause(struct vm *vm)
{
    bool still;

    if (!vm_hold(vm)) {
        return false;
    }
    atomic_store(&vm->paused, true);
    still = vm_is_still(vm);
    vm_let_go(vm);
    if (still) {
        vm_tell_paused(vm); /* they had not yet gone on since they stood still before */
    }
    for (uint32_t i = 0; !still && i < vm->config->vcpus; i++) {
        vcpu_request(&vm->vcpu[i], VCPU_REQUEST_PAUSE);
    }
    return true;
}

bool vm_resume(struct vm *vm)
{
    if (!vm_hold(vm)) {
        return false;
    }
    atomic_store(&vm->paused, false);
    vm_let_go(vm);
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        imsic_kick(vm->vcpu[i].hart);
    }
    tell(vm, "resumed");
    return true;
}

void vm_tell_paused(const struct vm *vm)
{
    tell(vm, "paused");
}

bool vm_is_still(const struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        if (atomic_load(&vm->vcpu[i].state) == VCPU_START_PENDING) {
            return false;
        }
    }
    return vm->live != 0 && vm->parked == vm->live;
}

/* The caller stands still from here on, if VM is still to. *LAST: so do all others. */
static bool park(struct vm *vm, bool *last)
{
    bool paused;

    cordon_lock_take(&vm->lock);
    paused = atomic_load(&vm->paused);
    vm->parked += paused;
    *last = paused && vm_is_still(vm);
    cordon_lock_give(&vm->lock);
    return paused;
}

static bool must_stay(const struct vcpu *vcpu)
{
    return atomic_load(&vcpu->vm->paused) &&
           (atomic_load(&vcpu->requests) & VCPU_REQUEST_STOP) == 0;
}

/* False if it is to stand still again: the lock decides, so that who pauses knows. */
static bool unpark(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;
    bool goes;

    cordon_lock_take(&vm->lock);
    goes = !must_stay(vcpu);
    vm->parked -= goes;
    cordon_lock_give(&vm->lock);
    return goes;
}

/* One that stands still answers, too. */
static void tell_if_asked(struct vcpu *vcpu)
{
    if ((atomic_fetch_and(&vcpu->requests, ~VCPU_REQUEST_TELL) & VCPU_REQUEST_TELL) != 0) {
        manage_tell_running(vcpu);
    }
}

void vm_park(struct vcpu *vcpu)
{
    bool last;

    if (!park(vcpu->vm, &last)) {
        return;
    }
    if (last) {
        vm_tell_paused(vcpu->vm);
    }
    do {
        while (must_stay(vcpu)) {
            hart_wait_for_interrupt();
            imsic_claim();
            tick();
            tell_if_asked(vcpu);
        }
    } while (!unpark(vcpu));
}
