/* What was counted: faults of devices, and why guests were left. */
#include "core/machine.h"
#include "manage/manage.h"
#include "vm/devices.h"
#include "vm/vm.h"

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
        const struct vcpu_counts *c = &vm->vcpu[i].counts;

        sum.sbi += c->sbi;
        sum.mmio += c->mmio;
        sum.interrupt += c->interrupt;
        sum.virtual += c->virtual;
        sum.absent += c->absent;
        sum.spurious += c->spurious;
    }
    return sum;
}

static void send_exits(const struct vm *vm)
{
    struct vcpu_counts c = sum_counts(vm);
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "vm-exits");

    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
    json_u64(j, "sbi", c.sbi);
    json_u64(j, "mmio", c.mmio);
    json_u64(j, "interrupt", c.interrupt);
    json_u64(j, "virtual", c.virtual);
    json_u64(j, "absent", c.absent);
    json_u64(j, "spurious", c.spurious);
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
