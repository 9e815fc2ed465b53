/* A guest's address space, and who looks on: see space_vm.h. */
#include "vm/space_vm.h"

#include "core/tick.h"
#include "vm/vm.h"

static struct {
    uint64_t at, len;
    const char *name;
} const holes[] = {{GUEST_UART, CORDON_PAGE_SIZE, "uart"},
                   {GUEST_APLIC, APLIC_LEN, "aplic"},
                   {GUEST_ECAM, GUEST_ECAM_LEN, "configuration space"}};

#define HOLES ((uint32_t)(sizeof(holes) / sizeof(holes[0])))

/* ---- the listener --------------------------------------------------------------------------- */

static void count(struct vm_changes *c, uint32_t flags, uint64_t len, bool more)
{
    uint64_t *bytes = (flags & CORDON_REGION_MMIO) != 0 ? &c->mmio : &c->ram;

    *bytes = more ? *bytes + len : *bytes - len;
}

/* Nothing is refused here: whoever changes a guest's map has checked what the guest may ask for. */
static int prepare(void *user, const struct cordon_told *told, size_t n)
{
    (void)user;
    (void)told;
    (void)n;
    return 0;
}

static void commit(void *user, const struct cordon_told *told, size_t n)
{
    struct vm_changes *c = user;
    uint64_t now = time_us();

    cordon_lock_take(&c->lock);
    for (size_t i = 0; i < n; i++) {
        if (told[i].kind != CORDON_TOLD_ADDED) {
            count(c, told[i].was_flags, told[i].len, false);
        }
        if (told[i].kind != CORDON_TOLD_REMOVED) {
            count(c, told[i].flags, told[i].len, true);
        }
        c->last[c->count++ % VM_CHANGES] = (struct vm_change){.told = told[i], .time = now};
    }
    cordon_lock_give(&c->lock);
}

static void no_more(void *user, const struct cordon_told *told, size_t n)
{
    (void)user;
    (void)told;
    (void)n;
}

/* ---- the space ------------------------------------------------------------------------------ */

int vm_space_node(struct vm *vm, const struct cordon_node *node)
{
    const struct cordon_edit add = {.kind = CORDON_TREE_ADD, .node = *node};

    return cordon_space_update(vm->space, &add, 1);
}

static int open_holes(struct vm *vm)
{
    int err = 0;

    for (uint32_t i = 0; i < HOLES && err == 0; i++) {
        const struct cordon_node hole = {.size = sizeof(hole),
                                         .id = VM_NODE_HOLE + i,
                                         .kind = CORDON_NODE_HOLE,
                                         .offset = guest_window(vm->config->ram_base) + holes[i].at,
                                         .len = holes[i].len};

        err = vm_space_node(vm, &hole);
    }
    return err;
}

int vm_space_open(struct vm *vm)
{
    const struct cordon_listener l = {.size = sizeof(l),
                                      .user = &vm->changes,
                                      .prepare = prepare,
                                      .commit = commit,
                                      .abort = no_more};
    int err = cordon_space_create(vm->domain, &vm->space);

    if (err != 0) {
        return err;
    }
    vm->changes = (struct vm_changes){.count = 0};
    err = cordon_listener_add(vm->domain, &l, &vm->listener);
    if (err == 0) {
        err = open_holes(vm);
    }
    if (err != 0) {
        vm_space_close(vm);
    }
    return err;
}

void vm_space_close(struct vm *vm)
{
    int err;

    if (vm->listener != 0) {
        err = cordon_listener_remove(vm->domain, vm->listener);
        cordon_assert(err == 0);
        vm->listener = 0;
    }
    if (vm->space != NULL) {
        err = cordon_space_destroy(vm->space);
        cordon_assert(err == 0);
        vm->space = NULL;
    }
}

const char *vm_space_name(const struct vm *vm, cordon_gpa gpa, uint32_t flags)
{
    struct cordon_section s;

    if (cordon_section_find(vm->space, gpa, false, &s) != 0) {
        return (flags & CORDON_REGION_MMIO) != 0 ? "device" : "run";
    }
    if (s.kind == CORDON_NODE_HOLE) {
        return holes[s.node - VM_NODE_HOLE].name;
    }
    if (s.node == VM_NODE_POOL) {
        return "pool";
    }
    return s.kind == CORDON_NODE_MMIO ? "interrupt file" : "ram";
}
