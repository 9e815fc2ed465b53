/* Work that all harts do together, and what a hart does otherwise. */
#include "core/work.h"

#include <cordon/lock.h>

#include "aia/imsic.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/tick.h"
#include "vcpu/vcpu.h"

static struct {
    struct cordon_lock lock; /* for all of it: a hart that comes late finds nothing left */
    void (*run)(void *arg, uint32_t piece);
    void *arg;
    uint32_t count, next, done;
    const struct hart *owner;
} work;

void work_help(void)
{
    cordon_lock_take(&work.lock);
    while (work.next < work.count) {
        void (*run)(void *arg, uint32_t piece) = work.run;
        void *arg = work.arg;
        uint32_t piece = work.next++;

        cordon_lock_give(&work.lock);
        run(arg, piece);
        cordon_lock_take(&work.lock);
        if (++work.done == work.count) {
            imsic_kick(work.owner);
        }
    }
    cordon_lock_give(&work.lock);
}

static bool is_done(void)
{
    bool done;

    cordon_lock_take(&work.lock);
    done = work.done == work.count;
    cordon_lock_give(&work.lock);
    return done;
}

void work_run(void (*run)(void *arg, uint32_t piece), void *arg, uint32_t count)
{
    cordon_lock_take(&work.lock);
    work.run = run;
    work.arg = arg;
    work.count = count;
    work.next = 0;
    work.done = 0;
    work.owner = hart_this();
    cordon_lock_give(&work.lock);
    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) == HART_READY && &harts[i] != hart_this()) {
            imsic_kick(&harts[i]);
        }
    }
    work_help();
    /* Each piece is bounded work of ours; the last one kicks us. */
    while (!is_done()) {
        hart_wait_for_interrupt();
        imsic_claim();
    }
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
