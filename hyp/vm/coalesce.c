/* Large leaves again, in the background: see coalesce.h. */
#include "vm/coalesce.h"

#include "core/hart.h"
#include "manage/manage.h"
#include "vm/vm.h"

#define SLICE_TABLES 8u /* some 20,000 instructions, for which a vCPU that faults may wait */
#define IDLE_SLICES 16u /* a tick of a hart without a guest; of any other, one */
#define TOUCH_TICKS 64u /* first touches tell nobody: a look for them each 64 ticks, 1.3 s */
#define TOUCH_PAGES 16u /* fewer cannot be a leaf of 64 KiB */

static uint32_t ticks_left = TOUCH_TICKS; /* the ticker's alone */

int vm_coalesce_slice(struct vm *vm, struct cordon_coalesced *sum)
{
    uint64_t end = vm->config->ram_base.v + vm->config->ram_len;
    const struct cordon_coalesce what = {
        .size = sizeof(what), .gpa = sum->next, .len = end - sum->next.v, .budget = SLICE_TABLES};
    struct cordon_coalesced out;

    if (!vm_hold(vm)) {
        return -CORDON_ENOENT;
    }
    int err = cordon_coalesce(vm->domain, &what, &out);

    vm_let_go(vm);
    if (err == 0) {
        sum->looked += out.looked;
        sum->napot += out.napot;
        sum->mega += out.mega;
        sum->giga += out.giga;
        sum->next = out.next;
    }
    return err;
}

static unsigned long long changes(const struct vm *vm)
{
    return atomic_load_explicit(&vm->changes.count, memory_order_relaxed);
}

/* Pages that came one by one. */
static uint64_t touched(const struct vm *vm)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        sum += vm->vcpu[i].counts.touch - vm->vcpu[i].counts.touch_large;
    }
    return sum;
}

/* What a pass that begins now will see. */
static void look(struct vm *vm)
{
    struct vm_coalescing *c = &vm->coalescing;

    c->seen = changes(vm);
    c->touched = touched(vm);
}

void vm_coalesce_begin(struct vm *vm)
{
    vm->coalescing.passing = false;
    look(vm);
}

/* A slice of a pass, which ends with RAM, or with an error: the next change begins another one. */
static void pass(struct vm *vm)
{
    struct vm_coalescing *c = &vm->coalescing;

    if (!c->passing) {
        c->passing = true;
        look(vm);
        c->made = (struct cordon_coalesced){.next = vm->config->ram_base};
    }
    c->passing = vm_coalesce_slice(vm, &c->made) == 0 &&
                 c->made.next.v < vm->config->ram_base.v + vm->config->ram_len;
    if (!c->passing && c->made.napot + c->made.mega + c->made.giga > 0) {
        manage_merged(vm, &c->made);
    }
}

static bool is_due(const struct vm *vm)
{
    const struct vm_coalescing *c = &vm->coalescing;

    return !c->off && (c->passing || changes(vm) != c->seen) &&
           atomic_load_explicit(&vm->state, memory_order_relaxed) == VM_RUNNING;
}

/* They count as one more change. */
static void look_for_touches(void)
{
    for (uint32_t i = 0; i < vm_count; i++) {
        struct vm_coalescing *c = &vms[i].coalescing;

        c->seen -= touched(&vms[i]) - c->touched >= TOUCH_PAGES && changes(&vms[i]) == c->seen;
    }
}

void vm_coalesce_tick(void)
{
    uint32_t slices = hart_this()->vcpu == NULL ? IDLE_SLICES : 1;

    if (--ticks_left == 0) {
        ticks_left = TOUCH_TICKS;
        look_for_touches();
    }
    for (uint32_t i = 0; i < vm_count; i++) {
        while (slices > 0 && is_due(&vms[i])) {
            pass(&vms[i]);
            slices--;
        }
    }
}
