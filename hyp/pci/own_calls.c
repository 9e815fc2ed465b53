/*
 * What our own PCI function does for a guest: memory given back and taken again, contiguous runs,
 * reports, questions. Arguments were checked in form by vdev/pci/own.c; here against the guest's
 * map.
 */
#include "core/hart.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/sbi_call.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "pci/own_pages.h"
#include "pci/vm_pci.h"
#include "vm/guests.h"
#include "vm/memory_vm.h"

#define LIST_ENTRIES(len) ((len) >> CORDON_PAGE_SHIFT)

/* True if each page of the range is memory of the guest, and none a device's. */
static bool is_memory(const struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    uint64_t end = gpa.v + len;

    while (gpa.v < end) {
        struct cordon_region_info r;

        if (cordon_region_find(vm->domain, gpa, false, &r) != 0 ||
            (r.flags & CORDON_REGION_MMIO) != 0) {
            return false;
        }
        gpa = cordon_gpa_make(r.gpa.v + r.len);
    }
    return true;
}

/* How many bytes of the range are the guest's RAM; the others are of the pool or of runs. */
static uint64_t ram_part(const struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    uint64_t from = vm->config->ram_base.v, to = from + vm->config->ram_len;
    uint64_t end = gpa.v + len;

    from = gpa.v > from ? gpa.v : from;
    to = end < to ? end : to;
    return from < to ? to - from : 0;
}

/* True if some of the guest's RAM in the range is pinned. The pool and runs always are, and may be
 * given back all the same. */
static bool is_pinned(const struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    uint64_t end = gpa.v + len;
    struct cordon_region_info r;

    while (gpa.v < end && cordon_region_find(vm->domain, gpa, false, &r) == 0) {
        if ((r.flags & CORDON_REGION_PIN) != 0 && ram_part(vm, r.gpa, r.len) != 0) {
            return true;
        }
        gpa = cordon_gpa_make(r.gpa.v + r.len);
    }
    return false;
}

/* Frames that waited may have been let go of since. */
static void settle(struct vm *vm)
{
    struct vm_account *a = &vm->pci->account;

    if (a->waiting != 0 && cordon_retire(vm->domain) == 0) {
        a->ram -= a->waiting;
        a->waiting = 0;
    }
}

static int give(struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    struct vm_account *a = &vm->pci->account;
    struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = gpa, .len = len};
    uint64_t ram = ram_part(vm, gpa, len);
    int err;

    if (!is_memory(vm, gpa, len) || is_pinned(vm, gpa, len)) {
        return -CORDON_EPERM;
    }
    err = cordon_change(vm->domain, &op, 1);
    if (err == 0) {
        a->ram -= ram;
        a->runs -= len - ram < a->runs ? len - ram : a->runs;
    } else if (err == -CORDON_EPENDING) {
        a->waiting += ram; /* and runs stay charged until the VM ends */
    }
    return err;
}

static int call_give(void *arg, cordon_gpa gpa, uint64_t len)
{
    struct vm *vm = arg;
    int err;

    cordon_lock_take(&vm->map_lock);
    err = give(vm, gpa, len);
    cordon_lock_give(&vm->map_lock);
    return err;
}

/* What the guest's harts may hold of instructions from frames of others is forgotten, before they
 * can reach them. INV 9. */
static void forget_instructions(const struct vm *vm)
{
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        uint64_t id = vm->vcpu[i].hart->id;
        struct sbi_ret ret = sbi_call(SBI_RFENCE, SBI_RFENCE_I, 1, id, 0, 0, 0);

        if (ret.error != 0) {
            panic("the firmware does not run fence.i on hart %lu: SBI error %ld", id, ret.error);
        }
    }
}

/* RAM that a guest takes again while it is logged is logged, too, and all that is there is dirty.
 * Where memory lacks for its small leaves it is not, and a harvest says so. */
static void log_taken(struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    const struct cordon_op op = {
        .kind = CORDON_OP_MARK, .flags = CORDON_REGION_LOG, .gpa = gpa, .len = len};
    int err = vm->logged ? cordon_change(vm->domain, &op, 1) : -CORDON_ENOENT;

    if (err == 0 || err == -CORDON_EPENDING) {
        err = cordon_log_written(vm->domain, gpa, len);
        cordon_assert(err == 0);
    }
}

/* Memory for GPA.. that comes at first touch. */
static int take_lazily(struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    struct vm_account *a = &vm->pci->account;
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = vm_memory_lazy_flags(vm),
                           .gpa = gpa,
                           .len = len,
                           .perms = CORDON_RWX};
    int err;

    settle(vm);
    if (a->ram + len > vm->config->ram_len + VM_WAITING_MAX) {
        return -CORDON_ELIMIT;
    }
    err = cordon_change(vm->domain, &op, 1);
    if (err == 0) {
        a->ram += len;
        log_taken(vm, gpa, len);
    }
    return err;
}

/* Scattered memory for GPA.., with LIST as room for its extents. */
static int take_with(struct vm *vm, cordon_gpa gpa, uint64_t len, struct cordon_extent *list)
{
    struct vm_account *a = &vm->pci->account;
    struct cordon_op op = {
        .kind = CORDON_OP_GRANT, .gpa = gpa, .len = len, .perms = CORDON_RWX, .extents = list};
    size_t count = LIST_ENTRIES(len);
    int err;

    settle(vm);
    if (a->ram + len > vm->config->ram_len + VM_WAITING_MAX) {
        return -CORDON_ELIMIT;
    }
    err = cordon_scatter_alloc(guests_ctx(), len, 0, 0, list, &count);
    if (err != 0) {
        return err;
    }
    op.extent_count = count;
    forget_instructions(vm);
    err = cordon_change(vm->domain, &op, 1);
    if (err == 0) {
        a->ram += len;
        log_taken(vm, gpa, len);
    }
    for (size_t i = 0; i < count && err != 0; i++) {
        int freed = cordon_run_free(guests_ctx(), list[i].hpa, list[i].len);

        cordon_assert(freed == 0);
    }
    return err;
}

static int take_at_once(struct vm *vm, cordon_gpa gpa, uint64_t len)
{
    struct cordon_run_want want = {.size = sizeof(want),
                                   .flags = CORDON_RUN_NOZERO | CORDON_RUN_FIXED};
    cordon_hpa list;
    int err;
    int freed;

    want.len = (LIST_ENTRIES(len) * sizeof(struct cordon_extent) + CORDON_PAGE_SIZE - 1) &
               ~(CORDON_PAGE_SIZE - 1);
    err = cordon_run_alloc(guests_ctx(), &want, &list);
    if (err != 0) {
        return err;
    }
    cordon_lock_take(&vm->map_lock);
    err = take_with(vm, gpa, len, memory_ptr(list));
    cordon_lock_give(&vm->map_lock);
    freed = cordon_run_free(guests_ctx(), list, want.len);
    cordon_assert(freed == 0);
    return err;
}

static int call_take(void *arg, cordon_gpa gpa, uint64_t len)
{
    struct vm *vm = arg;
    uint64_t base = vm->config->ram_base.v;
    int err;

    if (gpa.v < base || gpa.v - base > vm->config->ram_len ||
        len > vm->config->ram_len - (gpa.v - base)) {
        return -CORDON_ERANGE;
    }
    if (!vm_is_lazy(vm)) {
        return take_at_once(vm, gpa, len);
    }
    cordon_lock_take(&vm->map_lock);
    err = take_lazily(vm, gpa, len);
    cordon_lock_give(&vm->map_lock);
    return err;
}

/* The first place in the pool's window, behind the pool itself, where WANT fits and nothing stands.
 * Behind an IOMMU it is the guest address that a device's limits speak of. */
static int find_place(const struct vm *vm, const struct cordon_run_want *want, cordon_gpa *out)
{
    uint64_t align = want->align > GUEST_POOL_ALIGN ? want->align : GUEST_POOL_ALIGN;
    uint64_t at = guest_pool(vm->config->ram_base).v;
    uint64_t end = at + GUEST_POOL_MAX;
    struct cordon_region_info r;

    if (want->highest != 0 && want->highest < end - 1) {
        end = want->highest + 1;
    }
    for (;;) {
        at = (at + align - 1) & ~(align - 1);
        if (want->boundary != 0 && (at ^ (at + want->len - 1)) >= want->boundary) {
            at = (at + want->boundary) & ~(want->boundary - 1);
        }
        if (at >= end || end - at < want->len) {
            return -CORDON_ENOMEM;
        }
        if (cordon_region_find(vm->domain, cordon_gpa_make(at), true, &r) != 0 ||
            r.gpa.v >= at + want->len) {
            *out = cordon_gpa_make(at);
            return 0;
        }
        at = r.gpa.v + r.len;
    }
}

/* A run by moving what is in its way, as much as may be moved for this guest in this second: others
 * wait for what is moved of theirs. */
static int make_run(struct vm *vm, const struct cordon_run_want *want, cordon_hpa *out)
{
    struct vm_account *a = &vm->pci->account;
    struct cordon_run_made made;
    uint64_t now = time_us();
    int err;

    if (now - a->moved_second >= 1000000) {
        a->moved_second = now;
        a->moved = 0;
    }
    if (a->moved + VM_LOOK_COST >= VM_MOVED_A_SECOND) {
        return -CORDON_EBUSY;
    }
    a->moved += VM_LOOK_COST;
    err = cordon_run_make(guests_ctx(), want, VM_MOVED_A_SECOND - a->moved, &made);
    a->moved += made.moves.pages << CORDON_PAGE_SHIFT;
    if (err == 0) {
        *out = made.hpa;
    }
    return err == -CORDON_ELIMIT ? -CORDON_EBUSY : err == -CORDON_EPENDING ? -CORDON_ENOMEM : err;
}

/* The caller holds the map's lock. */
static int run(struct vm *vm, const struct cordon_run_want *want, cordon_gpa *out)
{
    struct cordon_run_want host = *want;
    struct cordon_extent run = {.len = want->len};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = CORDON_REGION_PIN, /* else it would not stay one run */
                           .len = want->len,
                           .perms = CORDON_RW,
                           .extents = &run,
                           .extent_count = 1};
    int err;

    host.highest = 0; /* the guest address is what a device's limit speaks of */
    err = find_place(vm, want, &op.gpa);
    if (err != 0) {
        return err;
    }
    err = cordon_run_alloc(guests_ctx(), &host, &run.hpa);
    if (err == -CORDON_ENOMEM) {
        err = make_run(vm, &host, &run.hpa);
    }
    if (err != 0) {
        return err;
    }
    err = cordon_change(vm->domain, &op, 1);
    if (err != 0) {
        int freed = cordon_run_free(guests_ctx(), run.hpa, run.len);

        cordon_assert(freed == 0);
        return err;
    }
    *out = op.gpa;
    return 0;
}

static int call_run(void *arg, const struct cordon_run_want *want, cordon_gpa *out)
{
    struct vm *vm = arg;
    struct vm_account *a = &vm->pci->account;
    int err = -CORDON_ELIMIT;

    cordon_lock_take(&vm->map_lock);
    if (want->len <= VM_RUNS_MAX - a->runs && want->align <= GUEST_POOL_MAX) {
        err = run(vm, want, out);
        a->runs += err == 0 ? want->len : 0;
    }
    cordon_lock_give(&vm->map_lock);
    return err;
}

/* A guest that talks without end is told to wait: the channel is everybody's. */
static bool may_report(struct vm *vm, uint32_t len)
{
    struct vm_account *a = &vm->pci->account;
    uint64_t now = time_us();
    bool may;

    cordon_lock_take(&vm->map_lock);
    if (now - a->report_second >= 1000000) {
        a->report_second = now;
        a->reported = 0;
    }
    may = a->reported + len <= VM_REPORT_BYTES_A_SECOND;
    a->reported += may ? len : 0;
    cordon_lock_give(&vm->map_lock);
    return may;
}

static int call_report(void *arg, const uint8_t *bytes, uint32_t len)
{
    struct vm *vm = arg;

    if (!may_report(vm, len)) {
        return -CORDON_EBUSY;
    }
    manage_guest_report(vm_name(vm), (const char *)bytes, len);
    return 0;
}

_Static_assert(MANAGE_REPORT_BYTES >= OWN_REPORT_BYTES, "a report fits");

static int call_query(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *runs, cordon_hpa *first)
{
    struct vm *vm = arg;
    int err;

    cordon_lock_take(&vm->map_lock);
    err = is_memory(vm, gpa, len) ? own_runs_count(vm->domain, gpa, len, runs, first)
                                  : -CORDON_EFAULT;
    cordon_lock_give(&vm->map_lock);
    return err;
}

struct own_calls vm_pci_own_calls(struct vm *vm)
{
    return (struct own_calls){.arg = vm,
                              .give = call_give,
                              .take = call_take,
                              .run = call_run,
                              .report = call_report,
                              .query = call_query,
                              .discard = vm_is_lazy(vm) ? own_pages_discard : NULL,
                              .fill = vm_is_lazy(vm) ? own_pages_fill : NULL,
                              .pin = own_pages_pin};
}
