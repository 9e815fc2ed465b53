/* A guest made to stand still: see pause.h. */
#include "vm/pause.h"

#include "aia/imsic.h"
#include "core/csr.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "manage/translate.h"
#include "vm/context.h"

static void tell(const struct vm *vm, const char *what)
{
    struct manage_event e;

    (void)manage_event_of(&e, what, vm);
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

/* VM's lock is held. False if it stands still, and so has no VMID, and none is left. */
static bool may_run(const struct vm *vm)
{
    struct cordon_vmid_stats vmids;
    int err = cordon_vmid_stats(guests_ctx(), &vmids);

    cordon_assert(err == 0);
    return !vm_is_still(vm) || vmids.running < 1u << vmids.bits;
}

int vm_resume(struct vm *vm)
{
    int err;

    if (!vm_hold(vm)) {
        return -CORDON_ENOENT;
    }
    err = may_run(vm) ? 0 : -CORDON_ELIMIT;
    if (err == 0) {
        atomic_store(&vm->paused, false);
    }
    vm_let_go(vm);
    if (err != 0) {
        return err;
    }
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        imsic_kick(vm->vcpu[i].hart);
    }
    tell(vm, "resumed");
    return 0;
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
static bool park(struct vcpu *vcpu, bool *last)
{
    struct vm *vm = vcpu->vm;
    bool paused;

    cordon_lock_take(&vm->lock);
    paused = atomic_load(&vm->paused);
    if (paused) {
        vcpu_step_out(vcpu);
        vm->parked++;
    }
    *last = paused && vm_is_still(vm);
    cordon_lock_give(&vm->lock);
    return paused;
}

static bool must_end(const struct vcpu *vcpu)
{
    return (atomic_load(&vcpu->requests) & VCPU_REQUEST_STOP) != 0;
}

static bool must_stay(const struct vcpu *vcpu)
{
    return atomic_load(&vcpu->vm->paused) && !must_end(vcpu);
}

/* False if it is to stand still again: the lock decides, so that who pauses knows. *NONE: for there
 * is no VMID any more. Its VM's first vCPU finds that, and so the others stay too. */
static bool unpark(struct vcpu *vcpu, bool *none)
{
    struct vm *vm = vcpu->vm;
    bool goes;

    cordon_lock_take(&vm->lock);
    goes = !must_stay(vcpu);
    *none = goes && !must_end(vcpu) && vcpu_step_in(vcpu) != 0;
    if (*none) {
        atomic_store(&vm->paused, true);
        goes = false;
    }
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
    bool tell_all;

    if (!park(vcpu, &tell_all)) {
        return;
    }
    do {
        if (tell_all) {
            vm_tell_paused(vcpu->vm);
        }
        while (must_stay(vcpu)) {
            hart_wait_for_interrupt();
            imsic_claim();
            tick();
            tell_if_asked(vcpu);
        }
    } while (!unpark(vcpu, &tell_all));
}
