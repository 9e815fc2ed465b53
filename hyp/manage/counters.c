/*
 * What IOMMUs count of requests: of a device, of each device of a VM, or of all that passes them.
 *
 * Counting begins when it is first asked for, and takes a counter for each event until it is off.
 * The walks that are told are those of the directory and of the second stage: contexts of ours
 * have no first stage and no process directory.
 */
#include <string.h>

#include "core/machine.h"
#include "manage/manage.h"
#include "manage/words.h"
#include "pci/group.h"
#include "pci/machine_pci.h"
#include "pci/vm_pci.h"
#include "vm/devices.h"

#define SETS 8u /* an IOMMU has 31 counters at most */
#define EVERY UINT32_MAX

static const struct {
    const char *name;
    enum cordon_hpm_event event;
} events[] = {{"requests", CORDON_HPM_UNTRANSLATED},
              {"tlb_misses", CORDON_HPM_TLB_MISS},
              {"ddt_walks", CORDON_HPM_DDT_WALK},
              {"g_walks", CORDON_HPM_SECOND_WALK}};

#define EVENTS (sizeof(events) / sizeof(events[0]))

/* What is counted of one device, or of EVERY one, by one IOMMU. One command at a time. */
static struct set {
    cordon_iommu *iommu; /* null: this one is free */
    uint32_t device_id;
    bool begun; /* by the command that is being answered */
    uint32_t counter[EVENTS];
    uint64_t last[EVENTS];
} sets[SETS];

/* What is done with each set that a command is about. It begins those that were not, or, where one
 * cannot be, none; then all are told. */
enum step { BEGIN, TELL, END };

static struct set *find(const cordon_iommu *iommu, uint32_t device_id)
{
    for (uint32_t i = 0; i < SETS; i++) {
        if (sets[i].iommu == iommu && (iommu == NULL || sets[i].device_id == device_id)) {
            return &sets[i];
        }
    }
    return NULL;
}

/* The first COUNT counters of SET are given back, and it is free. */
static void end(struct set *set, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = cordon_hpm_end(set->iommu, set->counter[i]);

        cordon_assert(err == 0);
    }
    set->iommu = NULL;
}

static int begin(cordon_iommu *iommu, uint32_t device_id)
{
    struct set *set = find(NULL, 0);

    if (set == NULL) {
        return -CORDON_ELIMIT;
    }
    *set = (struct set){.iommu = iommu, .device_id = device_id};
    for (size_t i = 0; i < EVENTS; i++) {
        const struct cordon_hpm_select what = {.size = sizeof(what),
                                               .event = events[i].event,
                                               .flags = device_id == EVERY ? 0 : CORDON_HPM_DV_GSCV,
                                               .did_gscid = device_id == EVERY ? 0 : device_id};
        int err = cordon_hpm_begin(iommu, &what, &set->counter[i]);

        if (err != 0) {
            end(set, i);
            return err;
        }
    }
    set->begun = true;
    return 0;
}

/* What a command has begun stays if it succeeds. */
static void settle(int err)
{
    for (uint32_t i = 0; i < SETS; i++) {
        if (err != 0 && sets[i].begun) {
            end(&sets[i], EVENTS);
        }
        sets[i].begun = false;
    }
}

/* What SET has counted since it was told last. */
static void tell(struct set *set, uint64_t registers, const char *device)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "iommu-counters");

    json_hex(j, "iommu", registers);
    json_text(j, "device", device, SIZE_MAX);
    for (size_t i = 0; i < EVENTS; i++) {
        uint64_t value;
        int err = cordon_hpm_read(set->iommu, set->counter[i], &value);

        cordon_assert(err == 0);
        json_u64(j, events[i].name, value - set->last[i]);
        set->last[i] = value;
    }
    manage_event_send(&e);
}

/* Errors: ENOENT (no IOMMU), those of cordon_hpm_begin. */
static int ask(uint32_t number, uint32_t device_id, const char *device, enum step step)
{
    uint32_t count;
    cordon_iommu *const *iommus = devices_iommus(&count);
    cordon_iommu *iommu = number < count ? iommus[number] : NULL;
    struct set *set;

    if (iommu == NULL) {
        return -CORDON_ENOENT; /* it could not be taken over */
    }
    set = find(iommu, device_id);
    if (step == BEGIN) {
        return set == NULL ? begin(iommu, device_id) : 0;
    }
    if (step == TELL) {
        tell(set, machine.iommu[number].base.v, device);
    } else if (set != NULL) {
        end(set, EVENTS);
    }
    return 0;
}

/* The devices that VM's settings name: all of them, or the one that is called WHAT. FOUND: there
 * was something to ask. Errors: ENOENT (not behind an IOMMU), those of ask. */
static int ask_devices(const struct vm *vm, const char *what, enum step step, bool *found)
{
    bool whole = strcmp(what, vm_name(vm)) == 0;
    int err = 0;

    *found = whole;
    for (uint32_t i = 0; i < vm->config->device_count && err == 0; i++) {
        const struct vm_device *d = &vm->config->device[i];
        const struct pci_host *host = machine_pci_host(d->segment);
        char name[VM_PCI_NAME_BYTES];
        uint32_t number, id;

        vm_pci_name(d, name);
        if (whole || strcmp(what, name) == 0) {
            *found = true;
            err = host != NULL ? pci_device_id(host, d->bdf, &number, &id) : -CORDON_ENOENT;
            err = err != 0 ? err : ask(number, id, name, step);
        }
    }
    return err;
}

static int ask_all(enum step step)
{
    uint32_t count;
    cordon_iommu *const *iommus = devices_iommus(&count);
    int err = devices_iommu_count() != 0 ? 0 : -CORDON_ENOENT;

    for (uint32_t i = 0; i < count && err == 0; i++) {
        err = iommus[i] != NULL ? ask(i, EVERY, "", step) : 0;
    }
    return err;
}

static int ask_whatever(const char *what, enum step step, bool *found)
{
    int err = 0;

    *found = false;
    for (uint32_t i = 0; i < vm_count && !*found; i++) {
        err = ask_devices(&vms[i], what, step, found);
    }
    if (!*found && strcmp(what, "all") == 0) {
        *found = true;
        err = ask_all(step);
    }
    return err;
}

static const char *why_not(int err)
{
    return err == -CORDON_ENOENT   ? "no IOMMU stands before it"
           : err == -CORDON_ELIMIT ? "all counters of its IOMMU are taken"
                                   : "its IOMMU has no counters";
}

void manage_counters(char *rest)
{
    char *what = manage_cut_word(&rest);
    bool off = strcmp(rest, "off") == 0, found;
    struct manage_event e;
    int err;

    if (what == NULL || (*rest != '\0' && !off)) {
        manage_send_error("counters takes a device, a VM or all, and perhaps off", rest);
        return;
    }
    err = ask_whatever(what, off ? END : BEGIN, &found);
    settle(err);
    if (!off && err == 0) {
        err = ask_whatever(what, TELL, &found);
    }
    if (!found || err != 0) {
        manage_send_error(found ? why_not(err) : "no device of a VM and no VM has that name", what);
        return;
    }
    (void)manage_event_begin(&e, "counters");
    manage_event_send(&e);
}
