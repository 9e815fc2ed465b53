/*
 * What our own PCI function does for a guest whose memory comes at first touch: pages whose
 * contents it needs no more, pages that it wants at once, pages that are to stay where they are.
 * Arguments were checked in form by vdev/pci/own.c; here against the guest's map.
 */
#include "pci/own_pages.h"

#include "vm/memory_vm.h"

#define REGIONS_MAX 32u /* that one command may reach over: each is an operation */

/* The part of the range from AT on that is one region, as an operation. */
static int next_part(const struct vm *vm, cordon_gpa at, uint64_t end, struct cordon_op *op,
                     uint32_t *flags)
{
    struct cordon_region_info r;
    uint64_t stop;

    if (cordon_region_find(vm->domain, at, false, &r) != 0 ||
        (r.flags & (CORDON_REGION_MMIO | CORDON_REGION_SHARED)) != 0) {
        return -CORDON_EPERM;
    }
    stop = r.gpa.v + r.len < end ? r.gpa.v + r.len : end;
    *op = (struct cordon_op){.kind = op->kind, .gpa = at, .len = stop - at.v};
    *flags = r.flags;
    return 0;
}

/* All of the range is RAM that comes at first touch, and none of it has the flag WITHOUT. */
static int check_lazy(const struct vm *vm, cordon_gpa gpa, uint64_t len, uint32_t without)
{
    uint64_t end = gpa.v + len;

    while (gpa.v < end) {
        struct cordon_op op = {0};
        uint32_t flags;
        int err = next_part(vm, gpa, end, &op, &flags);

        if (err != 0) {
            return err;
        }
        if ((flags & CORDON_REGION_DEMAND) == 0 || (flags & without) != 0) {
            return -CORDON_EPERM;
        }
        gpa = cordon_gpa_add(gpa, op.len);
    }
    return 0;
}

int own_pages_discard(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *freed)
{
    struct vm *vm = arg;
    struct cordon_op op = {.kind = CORDON_OP_DISCARD, .gpa = gpa, .len = len};
    uint64_t before = 0;
    int err;

    cordon_lock_take(&vm->map_lock);
    err = check_lazy(vm, gpa, len, CORDON_REGION_PIN);
    if (err == 0) {
        err = cordon_resident(vm->domain, gpa, len, &before);
    }
    if (err == 0) {
        err = cordon_change(vm->domain, &op, 1);
    }
    cordon_lock_give(&vm->map_lock);
    if (err == 0) {
        *freed = before;
    }
    return err;
}

int own_pages_fill(void *arg, cordon_gpa gpa, uint64_t len)
{
    struct vm *vm = arg;
    int err;

    cordon_lock_take(&vm->map_lock);
    err = check_lazy(vm, gpa, len, 0);
    if (err == 0) {
        err = cordon_populate(vm->domain, gpa, len);
    }
    cordon_lock_give(&vm->map_lock);
    return err;
}

/* The caller holds the map's lock. One transaction: all of it, or nothing. */
static int mark(struct vm *vm, cordon_gpa gpa, uint64_t len, bool pinned)
{
    struct cordon_op op[REGIONS_MAX];
    uint64_t end = gpa.v + len;
    size_t count = 0;

    for (; gpa.v < end; count++) {
        uint32_t flags;
        int err;

        if (count == REGIONS_MAX) {
            return -CORDON_ELIMIT;
        }
        op[count].kind = CORDON_OP_MARK;
        err = next_part(vm, gpa, end, &op[count], &flags);
        if (err != 0) {
            return err;
        }
        op[count].flags = (flags & CORDON_REGION_LOG) | (pinned ? CORDON_REGION_PIN : 0);
        gpa = cordon_gpa_add(gpa, op[count].len);
    }
    return cordon_change(vm->domain, op, count);
}

int own_pages_pin(void *arg, cordon_gpa gpa, uint64_t len, bool pinned)
{
    struct vm *vm = arg;
    uint64_t base = vm->config->ram_base.v;
    int err;

    /* Runs and the pool are pinned, and so is what devices hold. */
    if (gpa.v < base || gpa.v - base >= vm->config->ram_len ||
        len > vm->config->ram_len - (gpa.v - base) || (!pinned && vm->config->device_count != 0)) {
        return -CORDON_EPERM;
    }
    cordon_lock_take(&vm->map_lock);
    err = mark(vm, gpa, len, pinned);
    cordon_lock_give(&vm->map_lock);
    return err;
}
