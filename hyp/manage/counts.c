/* What was counted: faults of devices, and why guests were left. */
#include "core/machine.h"
#include "manage/manage.h"
#include "vm/devices.h"
#include "vm/guests.h"
#include "vm/memory_vm.h"

static void send_stats(uint32_t number, const cordon_iommu *iommu)
{
    struct cordon_fault_stats stats;
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "iommu-faults");

    cordon_faults_stats(iommu, &stats);
    json_hex(j, "iommu", machine.iommu[number].base.v);
    json_u64(j, "records", stats.records);
    json_u64(j, "overflows", stats.overflows);
    json_u64(j, "suppressed", stats.suppressed);
    manage_event_send(&e);
}

void manage_send_faults(void)
{
    struct manage_event e;
    uint32_t count;
    cordon_iommu *const *iommus = devices_iommus(&count);

    devices_settle();
    for (uint32_t i = 0; i < count; i++) {
        if (iommus[i] != NULL) {
            send_stats(i, iommus[i]);
        }
    }
    (void)manage_event_begin(&e, "faults");
    manage_event_send(&e);
}

/* Other harts count on meanwhile: each number is one that held at some moment of this call. */
static struct vcpu_counts sum_counts(const struct vm *vm)
{
    struct vcpu_counts sum = {0};

    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        vcpu_counts_add(&sum, &vm->vcpu[i].counts);
    }
    return sum;
}

static void send_exits(const struct vm *vm)
{
    struct vcpu_counts c = sum_counts(vm);
    struct manage_event e;
    struct json *j = manage_event_of(&e, "vm-exits", vm);

    json_u64(j, "sbi", c.sbi);
    json_u64(j, "mmio", c.mmio);
    json_u64(j, "interrupt", c.interrupt);
    json_u64(j, "virtual", c.virtual);
    json_u64(j, "absent", c.absent);
    json_u64(j, "spurious", c.spurious);
    json_u64(j, "touch", c.touch);
    json_u64(j, "logged", c.logged);
    manage_event_send(&e);
}

void manage_send_exits(void)
{
    struct manage_event e;

    for (uint32_t i = 0; i < vm_count; i++) {
        if (atomic_load(&vms[i].state) == VM_RUNNING) {
            send_exits(&vms[i]);
        }
    }
    (void)manage_event_begin(&e, "exits");
    manage_event_send(&e);
}

static void send_memory(struct vm *vm)
{
    struct vcpu_counts c = sum_counts(vm);
    struct manage_event e;
    struct cordon_moves moves;
    struct json *j;
    uint64_t resident;
    int err;

    if (!vm_hold(vm)) {
        return;
    }
    resident = vm_memory_resident(vm);
    err = cordon_domain_moves(vm->domain, &moves);
    cordon_assert(err == 0);
    vm_let_go(vm);
    j = manage_event_of(&e, "vm-memory", vm);
    json_u64(j, "ram_bytes", vm->config->ram_len);
    json_u64(j, "resident_bytes", resident);
    json_bool(j, "first_touch", vm_is_lazy(vm));
    json_bool(j, "overcommit", vm_is_lazy(vm) && vm->config->overcommit);
    json_u64(j, "touches", c.touch);
    json_u64(j, "touches_2m", c.touch_large);
    json_u64(j, "spurious", c.spurious);
    json_u64(j, "moved", moves.pages);
    json_u64(j, "longest_us", moves.longest_us);
    manage_event_send(&e);
}

void manage_memory(char *rest)
{
    struct cordon_memory_stats stats;
    struct manage_event e;
    struct json *j;

    (void)rest;
    for (uint32_t i = 0; i < vm_count; i++) {
        send_memory(&vms[i]);
    }
    cordon_memory_stats(guests_ctx(), &stats);
    j = manage_event_begin(&e, "memory");
    json_u64(j, "total_bytes", stats.total);
    json_u64(j, "free_bytes", stats.free);
    json_u64(j, "owned_bytes", stats.owned);
    json_u64(j, "table_bytes", stats.table);
    json_u64(j, "largest_free_bytes", stats.largest_free);
    manage_event_send(&e);
}

static void send_fences(struct vm *vm)
{
    struct cordon_fence_stats stats;
    struct manage_event e;
    struct json *j;
    int err;

    if (!vm_hold(vm)) {
        return;
    }
    err = cordon_domain_fences(vm->domain, &stats);
    cordon_assert(err == 0);
    vm_let_go(vm);
    j = manage_event_of(&e, "vm-fences", vm);
    json_u64(j, "asked", stats.asked);
    json_u64(j, "nobody", stats.nobody);
    json_u64(j, "ranges", stats.ranges);
    json_u64(j, "whole", stats.whole);
    json_u64(j, "harts", stats.harts);
    manage_event_send(&e);
}

void manage_fences(char *rest)
{
    struct cordon_vmid_stats stats;
    struct manage_event e;
    struct json *j;
    int err;

    (void)rest;
    for (uint32_t i = 0; i < vm_count; i++) {
        send_fences(&vms[i]);
    }
    err = cordon_vmid_stats(guests_ctx(), &stats);
    cordon_assert(err == 0);
    j = manage_event_begin(&e, "fences");
    json_u64(j, "vmid_bits", stats.bits);
    json_u64(j, "vmids_given", stats.given);
    json_u64(j, "generation", stats.generation);
    json_u64(j, "running", stats.running);
    manage_event_send(&e);
}
