/* A guest made to stand still: see pause.h. */
#include "vm/pause.h"

#include "aia/imsic.h"
#include "core/csr.h"
#include "core/tick.h"
#include "manage/manage.h"

static void tell(const struct vm *vm, const char *what)
{
    struct manage_event e;

    json_text(manage_event_begin(&e, what), "vm", vm_name(vm), VM_NAME_BYTES);
    manage_event_send(&e);
}

void vm_pause(struct vm *vm)
{
    atomic_store(&vm->paused, true);
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        vcpu_request(&vm->vcpu[i], VCPU_REQUEST_PAUSE);
    }
}

void vm_resume(struct vm *vm)
{
    atomic_store(&vm->paused, false);
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        imsic_kick(vm->vcpu[i].hart);
    }
    tell(vm, "resumed");
}

static bool is_last_to_park(struct vm *vm)
{
    bool last;

    cordon_lock_take(&vm->lock);
    last = ++vm->parked == vm->live;
    cordon_lock_give(&vm->lock);
    return last;
}

void vm_park(struct vcpu *vcpu)
{
    struct vm *vm = vcpu->vm;

    if (!atomic_load(&vm->paused)) {
        return;
    }
    if (is_last_to_park(vm)) {
        tell(vm, "paused");
    }
    while (atomic_load(&vm->paused) && (atomic_load(&vcpu->requests) & VCPU_REQUEST_STOP) == 0) {
        hart_wait_for_interrupt();
        imsic_claim();
        tick();
    }
    cordon_lock_take(&vm->lock);
    vm->parked--;
    cordon_lock_give(&vm->lock);
}
