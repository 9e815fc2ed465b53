/* PCI of one guest: see vm_pci.h. */
#include "pci/vm_pci.h"

#include <cordon/port.h>
#include <stdio.h>

#include "core/console.h"
#include "core/memory.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "pci/group.h"
#include "pci/machine_pci.h"
#include "vm/devices.h"
#include "vm/guests.h"

#define OWN_SLOT 0u
#define OWN_LEN_LIMIT (UINT64_C(64) << 20) /* bytes that one command may speak of */
#define RELEASE_TRIES 100u
#define REFUSED_US 200000u
#define WINDOWS_PER_DEVICE 2u /* of its registers that a reset or a check touches */

#define PAGES_BYTES(bytes) (((bytes) + CORDON_PAGE_SIZE - 1) & ~(CORDON_PAGE_SIZE - 1))

/* Others may hold it while a device is reset: whoever waits does so with little effort. */
static void lock_pci(void)
{
    struct cordon_lock *l = &machine_pci_lock;
    uint_fast32_t mine = atomic_fetch_add_explicit(&l->next, 1, memory_order_relaxed);

    while (atomic_load_explicit(&l->now, memory_order_acquire) != mine) {
        cordon_port_relax(NULL);
    }
}

static void unlock_pci(void)
{
    cordon_lock_give(&machine_pci_lock);
}

void vm_pci_name(const struct vm_device *d, char *out)
{
    (void)snprintf(out, VM_PCI_NAME_BYTES, "%04x:%02x:%02x.%x", d->segment, PCI_BUS_OF(d->bdf),
                   d->bdf >> 3 & 31, d->bdf & 7);
}

/* Reasons that leave it open what went wrong below them. */
static bool is_open(enum pci_why why)
{
    return why == PCI_WHY_NONE || why == PCI_WHY_ATTACH || why == PCI_WHY_RESOURCE ||
           why == PCI_WHY_MAP;
}

static int refuse(const struct vm_device *d, const struct pci_refusal *r, int err,
                  struct config_error *why)
{
    char name[VM_PCI_NAME_BYTES], value[VM_PCI_NAME_BYTES] = "";

    vm_pci_name(d, name);
    if (r->value != 0) {
        (void)snprintf(value, sizeof(value), " (0x%lx)", r->value);
    }
    (void)config_refuse(why, "device %s: %s%s%s%s", name, pci_why_text(r->why), value,
                        is_open(r->why) ? ": " : "", is_open(r->why) ? cordon_strerror(err) : "");
    return err;
}

/* ---- claims --------------------------------------------------------------------------------- */

static void unclaim(const struct vm *vm, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct vm_device *d = &vm->config->device[i];

        pci_unclaim(machine_pci_host(d->segment), d->bdf);
    }
}

int vm_pci_claim(struct vm *vm, struct config_error *why)
{
    for (uint32_t i = 0; i < vm->config->device_count; i++) {
        const struct vm_device *d = &vm->config->device[i];
        struct pci_host *h = machine_pci_host(d->segment);
        struct pci_refusal r = {.why = PCI_WHY_ABSENT, .bdf = d->bdf};
        int err = h != NULL ? pci_claim(h, d->bdf, vm->index + 1, &r) : -CORDON_ENOENT;

        if (err != 0) {
            unclaim(vm, i);
            return refuse(d, &r, err, why);
        }
    }
    return 0;
}

/* ---- building ------------------------------------------------------------------------------- */

static int begin_one(struct vm *vm, const struct vm_device *d, struct config_error *why)
{
    struct pci_assignment *a = &vm->pci->assignment[vm->pci->count];
    struct pci_assign_config cfg = {
        .ctx = guests_ctx(),
        .domain = vm->domain,
        .guest = vm->index + 1,
        .no_reset_allowed = d->reset == VM_RESET_NONE_ALLOWED,
        .no_iommu_allowed = vm->config->allow_no_iommu,
    };
    int err;

    cfg.iommus = devices_iommus(&cfg.iommu_count);
    vm_pci_name(d, cfg.name);
    if (mmio_room() < WINDOWS_PER_DEVICE) {
        return config_refuse(why, "device %s: %u windows of registers are left of %u, %u wanted",
                             cfg.name, mmio_room(), MMIO_WINDOWS, WINDOWS_PER_DEVICE);
    }
    err = pci_assign_begin(a, machine_pci_host(d->segment), d->bdf, &cfg);
    if (err != 0) {
        return refuse(d, &a->why, err, why);
    }
    vm->pci->count++;
    return 0;
}

/* Wait for each reset; they run side by side. */
static int finish_all(struct vm *vm, struct config_error *why)
{
    int err = 0;

    for (uint32_t i = 0; i < vm->pci->count && err == 0; i++) {
        struct pci_assignment *a = &vm->pci->assignment[i];

        err = pci_assign_finish(a);
        if (err != 0) {
            (void)refuse(&vm->config->device[i], &a->why, err, why);
            continue;
        }
        log_line("%s: device %s: given; reset %s, drain by %s%s", vm_name(vm), a->cfg.name,
                 a->reset_works ? pci_reset_name(a->reset.kind) : "NONE (allowed by the bundle)",
                 pci_drain_method(a->f) == CORDON_DRAIN_RESET ? "reset" : "IOMMU",
                 a->dev == NULL ? "; NO IOMMU: IT REACHES ALL MEMORY (allowed by the bundle)" : "");
    }
    return err;
}

static struct vpci_config bridge_config(const struct vm *vm)
{
    const struct vm_config *c = vm->config;
    uint64_t window = guest_window(c->ram_base);
    struct vpci_config cfg = {
        .domain = vm->domain,
        .ecam = cordon_gpa_make(window + GUEST_ECAM),
        .ecam_len = GUEST_ECAM_LEN,
        .low = {cordon_gpa_make(window + GUEST_MMIO32), GUEST_MMIO32_LEN},
        .high = {cordon_gpa_make(GUEST_MMIO64), GUEST_MMIO64_LEN},
        .avoid = {{c->ram_base, c->ram_len, PCI_WHY_ON_RAM},
                  {guest_pool(c->ram_base), GUEST_POOL_MAX, PCI_WHY_ON_RAM},
                  {cordon_gpa_make(window + GUEST_IMSIC), c->vcpus * CORDON_PAGE_SIZE,
                   PCI_WHY_ON_INTERRUPT_FILE}},
        .avoid_count = 3,
    };

    return cfg;
}

static int build_bridge(struct vm *vm)
{
    struct vm_pci *p = vm->pci;
    struct vpci_config cfg = bridge_config(vm);
    struct own_calls calls = vm_pci_own_calls(vm);
    int err = vpci_bridge_init(&p->bridge, &cfg);

    if (err == 0) {
        p->account.ram = vm->config->ram_len;
        own_init(&p->own, &calls, OWN_LEN_LIMIT, false);
        err = vpci_insert(&p->bridge, OWN_SLOT, &p->own.fn);
    }
    for (uint32_t i = 0; i < p->count && err == 0; i++) {
        vpci_pass_init(&p->pass[i], &p->assignment[i]);
        err = vpci_insert(&p->bridge, OWN_SLOT + 1 + i, &p->pass[i].fn);
    }
    return err != 0 ? err : vpci_bridge_bus(&p->bridge, &vm->bus);
}

static int alloc_pci(struct vm *vm)
{
    struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_FIXED, .len = PAGES_BYTES(sizeof(struct vm_pci))};
    cordon_hpa hpa;
    int err = cordon_run_alloc(guests_ctx(), &want, &hpa);

    if (err == 0) {
        vm->pci = memory_ptr(hpa);
    }
    return err;
}

int vm_pci_begin(struct vm *vm, struct config_error *why)
{
    int err = alloc_pci(vm);

    if (err != 0) {
        (void)config_refuse(why, "PCI: %s", cordon_strerror(err));
        return err;
    }
    lock_pci();
    for (uint32_t i = 0; i < vm->config->device_count && err == 0; i++) {
        err = begin_one(vm, &vm->config->device[i], why);
    }
    unlock_pci();
    return err;
}

int vm_pci_build(struct vm *vm, struct config_error *why)
{
    int err;

    lock_pci();
    err = finish_all(vm, why);
    unlock_pci();
    if (err != 0) {
        return err;
    }
    err = build_bridge(vm);
    if (err != 0) {
        (void)config_refuse(why, "PCI host bridge: %s", cordon_strerror(err));
    }
    return err;
}

/* ---- reports -------------------------------------------------------------------------------- */

static void say_refused(struct vm *vm, const struct vpci_stats *s, uint32_t i, uint64_t count)
{
    const char *name = vm->pci->assignment[i].cfg.name;
    struct manage_event e;
    struct json *j = manage_event_of(&e, "bar-refused", vm);

    json_text(j, "device", name, VM_PCI_NAME_BYTES);
    json_hex(j, "gpa", s->last.value);
    json_text(j, "why", pci_why_text(s->last.why), SIZE_MAX);
    json_u64(j, "count", count);
    manage_event_send(&e);
    if (vm_may_log(vm)) {
        log_line("%s: device %s: a BAR put at 0x%lx is not mapped: %s; %lu times since the last "
                 "such line",
                 vm_name(vm), name, s->last.value, pci_why_text(s->last.why), count);
    }
}

/* The caller holds machine_pci_lock. True if there was something to say. */
static bool report_refused_bars(struct vm *vm)
{
    struct vm_pci *p = vm->pci;
    bool said = false;

    for (uint32_t i = 0; i < p->count; i++) {
        struct vpci_stats s;

        if (p->pass[i].fn.bridge == NULL) {
            continue;
        }
        vpci_lock(&p->bridge);
        s = p->pass[i].fn.stats;
        vpci_unlock(&p->bridge);
        if (s.refused != p->refused_said[i]) {
            say_refused(vm, &s, i, s.refused - p->refused_said[i]);
            p->refused_said[i] = s.refused;
            said = true;
        }
    }
    return said;
}

void vm_pci_report(struct vm *vm)
{
    /* Another guest's hart asks now and then: it does not wait while a device is reset. */
    if (!cordon_lock_try(&machine_pci_lock)) {
        return;
    }
    if (vm->pci != NULL && time_us() >= vm->pci->refused_next && report_refused_bars(vm)) {
        vm->pci->refused_next = time_us() + REFUSED_US;
    }
    unlock_pci();
}

/* ---- release -------------------------------------------------------------------------------- */

/* True once its DMA is over for certain, and nothing of it is in the guest's map. */
static bool release_one(struct vm *vm, uint32_t i)
{
    struct vm_pci *p = vm->pci;
    int err = -CORDON_EPENDING;

    /* What failed for good is not tried again: others wait for the lock meanwhile. */
    for (uint32_t tries = 0;
         tries < RELEASE_TRIES && (err == -CORDON_EPENDING || err == -CORDON_EBUSY); tries++) {
        int shown = p->pass[i].fn.bridge != NULL ? vpci_remove(&p->pass[i].fn) : 0;

        err = pci_release(&p->assignment[i]); /* off the bus, whatever became of its BARs */
        if (err == 0 && shown != -CORDON_EPENDING) {
            err = shown;
        }
    }
    if (err != 0) {
        log_line("%s: device %s: %s; it stays off the bus, and its guest's memory is not reused",
                 vm_name(vm), p->assignment[i].cfg.name, cordon_strerror(err));
    }
    return err == 0;
}

void vm_pci_release(struct vm *vm)
{
    struct vm_pci *p = vm->pci;
    bool all = true;
    int err;

    lock_pci();
    if (p == NULL) {
        unclaim(vm, vm->config->device_count);
        unlock_pci();
        return;
    }
    (void)report_refused_bars(vm);
    for (uint32_t i = p->count; i-- > 0;) {
        all = release_one(vm, i) && all;
    }
    unclaim(vm, vm->config->device_count);
    if (all) {
        vm->pci = NULL; /* under the lock: vm_pci_report looks at it */
    }
    unlock_pci();
    if (!all) {
        return; /* what is still on its way refers to it */
    }
    err = cordon_run_free(guests_ctx(), memory_hpa(p), PAGES_BYTES(sizeof(*p)));
    cordon_assert(err == 0);
}
