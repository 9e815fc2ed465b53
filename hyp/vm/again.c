/* A guest that has ended, started again: see again.h. */
#include "vm/again.h"

#include <cordon/port.h>

#include "config/config_error.h"
#include "core/tick.h"
#include "vm/context.h"
#include "vm/guests.h"
#include "vm/report.h"

#define ENDING_US 1000000u /* an emulator may have its hart wait meanwhile */

/* Its last hart has told of its end, and is about to let go of it. */
static void await_end(const struct vm *vm)
{
    uint64_t start = time_us();

    while (atomic_load(&vm->state) == VM_STOPPING && time_us() - start < ENDING_US) {
        cordon_port_relax(NULL);
    }
}

/* STOPPED to EMPTY, if nothing of it is left. Others look at it all the time, and find a guest that
 * does not run. */
static int clear(struct vm *vm, struct config_error *why)
{
    await_end(vm);
    if (atomic_load(&vm->state) != VM_STOPPED) {
        return config_refuse(why, "it has not ended");
    }
    if (vm->domain != NULL || vm->pci != NULL) {
        return config_refuse(why, "hardware has not let go of all that it had");
    }
    vm->live = 0;
    vm->parked = 0;
    atomic_store(&vm->paused, false);
    vm->logged = false;
    vm->bus.count = 0;
    vm->line_len = 0;
    atomic_store(&vm->faults, 0);
    vm->counts = (struct vcpu_counts){0};
    atomic_store(&vm->state, VM_EMPTY);
    return 0;
}

static int build(struct vm *vm, struct config_error *why)
{
    int err = vm_open(vm, why);

    if (err == 0) {
        err = vm_prepare(vm, why);
    }
    return err == 0 ? vm_build(vm, guests_bundle(), why) : err;
}

int vm_again(struct vm *vm, struct config_error *why)
{
    int err = clear(vm, why);

    if (err != 0) {
        return err;
    }
    if (!guests_add()) {
        atomic_store(&vm->state, VM_STOPPED);
        return config_refuse(why, "the last guest has ended, the machine goes off");
    }
    err = build(vm, why);
    if (err != 0) {
        atomic_store(&vm->state, VM_STOPPED);
        guests_ended();
        return -CORDON_EINVAL;
    }
    vm->end = VM_END_NONE;
    context_audit("before a guest starts again");
    report_started(vm);
    vm_start(vm);
    return 0;
}
