/* The IOMMUs of the machine, and what they report. */
#include "vm/devices.h"

#include "core/console.h"
#include "core/machine.h"
#include "core/memory.h"
#include "pci/machine_pci.h"
#include "pci/vm_pci.h"
#include "vm/fault_report.h"
#include "vm/vm.h"

#define POLL_BUDGET 4096u
#define POLL_REPORTS 16u
#define SETTLE_POLLS 16u /* each takes a few reports: more than there can be at one moment */

static cordon_iommu *iommus[CORDON_MAX_IOMMUS]; /* null: could not be taken over */
static struct cordon_lock faults_lock;          /* from taking a report until it is told */

static void take_over(cordon_ctx *ctx, uint32_t i)
{
    struct cordon_iommu_config cfg = {
        .size = sizeof(cfg), .base = machine.iommu[i].base, .max_device_id = 0xffff};
    struct cordon_iommu_info info;
    volatile void *ignored;
    int err = mmio_map(cfg.base, CORDON_PAGE_SIZE, &ignored);

    if (err != 0) {
        log_line("IOMMU at 0x%lx: %s (limit %u): no device behind it is given away", cfg.base.v,
                 mmio_why(cfg.base, err), MMIO_WINDOWS);
        return;
    }
    err = cordon_iommu_add(ctx, &cfg, &iommus[i]);
    if (err != 0) {
        log_line("IOMMU at 0x%lx: %s: it stays off, no device behind it is given away", cfg.base.v,
                 cordon_strerror(err));
        iommus[i] = NULL;
        return;
    }
    cordon_iommu_info(iommus[i], &info);
    log_line(
        "IOMMU at 0x%lx: capabilities 0x%lx, %u directory levels, %s contexts, found %s: closed",
        cfg.base.v, info.capabilities, info.directory_levels, info.extended ? "64-byte" : "32-byte",
        info.found_mode == 0 ? "off" : "ON as firmware left it");
    if (machine_isa_has("svnapot")) {
        log_line("IOMMU at 0x%lx: 64 KiB pages %s", cfg.base.v,
                 info.napot == CORDON_NAPOT_KNOWN     ? "were tried: it knows them"
                 : info.napot == CORDON_NAPOT_IGNORED ? "were tried: it does not know them, guests "
                                                        "with devices behind it have none"
                                                      : "cannot be tried: guests with devices "
                                                        "behind it have none");
    }
}

void devices_init(cordon_ctx *ctx)
{
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        take_over(ctx, i);
    }
    machine_pci_init(ctx);
    if (devices_iommu_count() == 0) {
        log_line("there is no IOMMU: no device can be given to a guest in isolation");
    }
}

void devices_expect(uint32_t phandle)
{
    if (machine.iommu_count < CORDON_MAX_IOMMUS) {
        machine.iommu[machine.iommu_count++] = (struct machine_iommu){.phandle = phandle};
    }
}

bool devices_number(uint32_t phandle, uint32_t *number)
{
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        if (machine.iommu[i].phandle == phandle) {
            *number = i;
            return true;
        }
    }
    return false;
}

void devices_add(cordon_ctx *ctx, uint32_t phandle, cordon_hpa base)
{
    uint32_t i;

    if (devices_number(phandle, &i) && iommus[i] == NULL) {
        machine.iommu[i].base = base;
        take_over(ctx, i);
    }
}

cordon_iommu *const *devices_iommus(uint32_t *count)
{
    *count = machine.iommu_count;
    return iommus;
}

uint32_t devices_iommu_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        count += iommus[i] != NULL;
    }
    return count;
}

/* Take what IOMMU has recorded, and tell of it. False when there was nothing to tell. */
static bool poll_faults(cordon_iommu *iommu)
{
    struct cordon_fault fault[POLL_REPORTS];
    size_t count;

    cordon_lock_take(&faults_lock);
    (void)cordon_faults_poll(iommu, POLL_BUDGET);
    count = cordon_faults_take(iommu, fault, POLL_REPORTS);
    for (size_t k = 0; k < count; k++) {
        fault_report(&fault[k]);
    }
    cordon_lock_give(&faults_lock);
    return count != 0;
}

void devices_settle(void)
{
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        for (uint32_t k = 0; k < SETTLE_POLLS && iommus[i] != NULL && poll_faults(iommus[i]); k++) {
        }
    }
    fault_report_left_out(true);
}

void devices_poll(void)
{
    fault_report_left_out(false);
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        if (iommus[i] != NULL) {
            (void)poll_faults(iommus[i]);
        }
    }
    for (uint32_t i = 0; i < vm_count; i++) {
        if (atomic_load(&vms[i].state) == VM_RUNNING) {
            vm_pci_report(&vms[i]);
        }
    }
}
