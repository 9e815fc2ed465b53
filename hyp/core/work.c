/* Work that all harts do together, and what a hart does otherwise. */
#include "core/work.h"

#include "aia/imsic.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/tick.h"
#include "vcpu/vcpu.h"

static _Atomic(struct work *) current;

void work_help(void)
{
    struct work *work = atomic_load(&current);
    uint32_t piece;

    while (work != NULL && (piece = atomic_fetch_add(&work->next, 1)) < work->count) {
        work->run(work->arg, piece);
        atomic_fetch_add(&work->done, 1);
    }
}

void work_run(struct work *work)
{
    atomic_store(&work->next, 0);
    atomic_store(&work->done, 0);
    atomic_store(&current, work);
    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) == HART_READY && &harts[i] != hart_this()) {
            imsic_kick(&harts[i]);
        }
    }
    work_help();
    while (atomic_load(&work->done) < work->count) {
        /* Each piece is bounded work of ours on a hart that runs no guest. */
    }
    atomic_store(&current, NULL);
}

void hart_loop(void)
{
    struct hart *hart = hart_this();

    for (;;) {
        struct vcpu *vcpu;

        imsic_claim();
        work_help();
        tick();
        vcpu = hart->assigned;
        if (vcpu != NULL && atomic_load(&vcpu->state) == VCPU_START_PENDING) {
            vcpu_start_here(vcpu);
        } else {
            hart_wait_for_interrupt();
        }
    }
}
