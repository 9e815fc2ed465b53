/* The IOMMUs of the machine, and what they report. */
#include "vm/devices.h"

#include "config/vm_config.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/machine.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "pci/machine_pci.h"
#include "pci/vm_pci.h"

#define POLL_BUDGET 4096u
#define POLL_REPORTS 16u
#define FAULT_LINES 8u /* a second, of the devices of one domain */
#define FAULT_LINES_US 1000000u

/* What the console was told of one domain's faults. */
struct told {
    uint64_t until; /* time: the second that LINES belongs to ends */
    uint32_t lines;
    uint64_t unsaid; /* faults that found no line */
};

/* By domain: guests have the lowest numbers; what is none of theirs is 0. The ticker's alone. */
static struct told told[VM_MAX + 1];

static cordon_iommu *iommus[CORDON_MAX_IOMMUS]; /* null: could not be taken over */

static void take_over(cordon_ctx *ctx, uint32_t i)
{
    struct cordon_iommu_config cfg = {
        .size = sizeof(cfg), .base = machine.iommu[i].base, .max_device_id = 0xffff};
    struct cordon_iommu_info info;
    int err = cordon_iommu_add(ctx, &cfg, &iommus[i]);

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

/* A device that its guest lets fault as fast as it can must not take the console, and the hart that
 * writes to it, from the others. */
static void say_fault(const struct cordon_fault *f)
{
    struct told *t = &told[f->domain <= VM_MAX ? f->domain : 0];
    uint64_t now = hart_time();

    if (now >= t->until) {
        t->until = now + time_from_us(FAULT_LINES_US);
        t->lines = 0;
    }
    if (t->lines == FAULT_LINES) {
        t->unsaid += f->count;
        return;
    }
    t->lines++;
    log_line("device %s (0x%x), domain %u: %s%s%s at 0x%lx, %lu bytes: %s, %lu times",
             f->device[0] != '\0' ? f->device : "without a name", f->device_id, f->domain,
             (f->access & CORDON_READ) ? "read" : "", (f->access & CORDON_WRITE) ? "write" : "",
             (f->access & CORDON_EXEC) ? "execute" : "", f->iova.v, f->span,
             cordon_cause_name(f->cause), f->count);
}

/* Nothing is lost silently: what found no line is counted in one. */
static void say_unsaid(void)
{
    for (uint32_t domain = 0; domain <= VM_MAX; domain++) {
        struct told *t = &told[domain];

        if (t->unsaid != 0 && hart_time() >= t->until) {
            log_line("devices of domain %u: %lu more faults", domain, t->unsaid);
            t->unsaid = 0;
        }
    }
}

void devices_poll(void)
{
    struct cordon_fault fault[POLL_REPORTS];

    say_unsaid();
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        size_t count;

        if (iommus[i] == NULL) {
            continue;
        }
        (void)cordon_faults_poll(iommus[i], POLL_BUDGET);
        count = cordon_faults_take(iommus[i], fault, POLL_REPORTS);
        for (size_t k = 0; k < count; k++) {
            say_fault(&fault[k]);
            manage_fault(&fault[k]);
        }
    }
    for (uint32_t i = 0; i < vm_count; i++) {
        if (atomic_load(&vms[i].state) == VM_RUNNING) {
            vm_pci_report(&vms[i]);
        }
    }
}
