/* From the bundle to running guests, and to the end of the last one. */
#include "vm/guests.h"

#include <string.h>

#include "aia/imsic.h"
#include "boot/boot.h"
#include "config/bundle.h"
#include "config/config_error.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/poweroff.h"
#include "core/sha256.h"
#include "core/tick.h"
#include "core/work.h"
#include "pci/vm_pci.h"
#include "vm/context.h"
#include "vm/devices.h"
#include "vm/report.h"
#include "vm/vm.h"

static struct {
    struct bundle bundle;
    struct config_error why[VM_MAX]; /* of VMs that were refused while they were built */
    bool bad_image[BUNDLE_MAX_IMAGES];
    uint32_t refused;                          /* by the bundle's parser */
    uint64_t done[BUNDLE_MAX_IMAGES + VM_MAX]; /* when each piece of the first work was */
    uint64_t hash_time;
    atomic_uint running;
} guests;

static uint64_t ms_of(uint64_t ticks)
{
    return ticks / (machine.timebase / 1000);
}

/* VM V finds too few of the harts from number FROM on. */
static void refuse_harts(uint32_t v, uint32_t from)
{
    uint32_t left = 0;
    uint32_t without = 0;

    for (uint32_t i = 0; i < hart_count; i++) {
        left += i >= from && atomic_load(&harts[i].online) == HART_READY;
        without += harts[i].guest_files == 0;
    }
    (void)config_refuse(&guests.why[v],
                        "%u vCPUs, %u harts are left of %u; %u have no interrupt file for a guest",
                        vms[v].config->vcpus, left, hart_count, without);
    atomic_store(&vms[v].state, VM_REFUSED);
}

/* Give each vCPU a hart of its own, in order. */
static void assign_harts(void)
{
    uint32_t next = 0;

    for (uint32_t v = 0; v < vm_count; v++) {
        struct vm *vm = &vms[v];
        uint32_t from = next;

        for (uint32_t i = 0; i < vm->config->vcpus; i++) {
            while (next < hart_count && atomic_load(&harts[next].online) != HART_READY) {
                next++;
            }
            if (next == hart_count) {
                refuse_harts(v, from);
                next = from;
                break;
            }
            vm->vcpu[i].hart = &harts[next++];
        }
    }
}

static void hash_image(uint32_t i)
{
    const struct bundle_image *image = &guests.bundle.image[i];
    uint8_t digest[32];

    if (image->used) {
        sha256((const uint8_t *)guests.bundle.base + image->blob.offset, image->blob.len, digest);
        guests.bad_image[i] = memcmp(digest, image->blob.sha256, sizeof(digest)) != 0;
    }
}

static void check_blob(uint32_t v, const struct vm_blob *blob)
{
    if (blob->len != 0 && guests.bad_image[blob->image] &&
        atomic_load(&vms[v].state) != VM_REFUSED) {
        (void)config_refuse(&guests.why[v],
                            "image %s: its %lu bytes do not have the SHA-256 that the "
                            "bundle says",
                            guests.bundle.image[blob->image].name, blob->len);
        atomic_store(&vms[v].state, VM_REFUSED);
        vm_unprepare(&vms[v]);
    }
}

static void prepare_one(uint32_t v)
{
    if (atomic_load(&vms[v].state) == VM_EMPTY && vm_prepare(&vms[v], &guests.why[v]) != 0) {
        atomic_store(&vms[v].state, VM_REFUSED);
    }
}

static void first_piece(void *arg, uint32_t i)
{
    (void)arg;
    if (i < guests.bundle.image_count) {
        hash_image(i);
    } else {
        prepare_one(i - guests.bundle.image_count);
    }
    guests.done[i] = hart_time();
}

/* Images are hashed while memory is scrubbed and devices are reset. None is read by anybody else
 * before all were found good. */
static void hash_and_prepare(void)
{
    uint64_t start = hart_time();

    work_run(first_piece, NULL, guests.bundle.image_count + vm_count);
    for (uint32_t i = 0; i < guests.bundle.image_count; i++) {
        uint64_t took = guests.done[i] - start;

        guests.hash_time = took > guests.hash_time ? took : guests.hash_time;
    }
    for (uint32_t v = 0; v < vm_count; v++) {
        check_blob(v, &vms[v].config->kernel);
        check_blob(v, &vms[v].config->initrd);
        check_blob(v, &vms[v].config->dtb);
    }
}

/* In the bundle's order: of two VMs that name one device the first has it, and the numbers of
 * domains follow. */
static void open_all(void)
{
    for (uint32_t v = 0; v < vm_count; v++) {
        if (atomic_load(&vms[v].state) == VM_EMPTY && vm_open(&vms[v], &guests.why[v]) != 0) {
            atomic_store(&vms[v].state, VM_REFUSED);
        }
    }
}

static void build_one(void *arg, uint32_t v)
{
    (void)arg;
    if (atomic_load(&vms[v].state) == VM_EMPTY &&
        vm_build(&vms[v], &guests.bundle, &guests.why[v]) != 0) {
        atomic_store(&vms[v].state, VM_REFUSED);
    }
}

static void start_all(void)
{
    for (uint32_t v = 0; v < vm_count; v++) {
        if (atomic_load(&vms[v].state) == VM_REFUSED) {
            report_refused(vm_name(&vms[v]), guests.why[v].text);
            continue;
        }
        atomic_fetch_add(&guests.running, 1);
        for (uint32_t i = 0; i < vms[v].config->vcpus; i++) {
            vms[v].vcpu[i].hart->assigned = &vms[v].vcpu[i];
        }
        report_started(&vms[v]);
    }
    log_line("guests: %u; %lu ms from entry, of which %lu ms to hash", atomic_load(&guests.running),
             ms_of(hart_time() - boot_entry_time()), ms_of(guests.hash_time));
    for (uint32_t v = 0; v < vm_count; v++) {
        if (atomic_load(&vms[v].state) == VM_BUILT) {
            vm_start(&vms[v]);
        }
    }
}

/* How little a hart's guest is disturbed by our ticks: there is none; or it is its vCPU 0, off
 * which guests keep what is not to be disturbed. */
static uint32_t leisure(const struct hart *hart)
{
    return hart->assigned == NULL ? 2 : hart->assigned->id == 0 ? 1 : 0;
}

/* The hart that looks after the console, and all else that is looked at now and then. */
static void choose_ticker(void)
{
    const struct hart *best = hart_this();

    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) == HART_READY && leisure(&harts[i]) > leisure(best)) {
            best = &harts[i];
        }
    }
    tick_assign(best);
    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) == HART_READY) {
            imsic_kick(&harts[i]);
        }
    }
}

const struct bundle *guests_bundle(void)
{
    return &guests.bundle;
}

bool guests_add(void)
{
    unsigned running = atomic_load(&guests.running);

    while (running != 0 && !atomic_compare_exchange_weak(&guests.running, &running, running + 1)) {
    }
    return running != 0;
}

static uint32_t count_failed(void)
{
    uint32_t failed = guests.refused;

    for (uint32_t v = 0; v < vm_count; v++) {
        failed += atomic_load(&vms[v].state) == VM_REFUSED || vms[v].end != VM_END_SHUTDOWN;
    }
    return failed;
}

void guests_ended(void)
{
    context_audit("after a guest's end");
    if (atomic_fetch_sub(&guests.running, 1) == 1) {
        devices_settle();
        report_all_ended(vm_count + guests.refused, count_failed());
        poweroff(count_failed() != 0);
    }
}

/* Read the bundle; what is wrong with it is said, and no VM remains. */
static void read_bundle(void)
{
    struct config_error why;
    int err;

    if (machine.bundle_len == 0) {
        report_refused("bundle", "there is none: the device tree names no initrd");
        poweroff(true);
    }
    err = bundle_parse(memory_ptr(machine.bundle), machine.bundle_len, &guests.bundle, &why);
    for (uint32_t i = 0; i < guests.bundle.refused_count; i++) {
        report_refused(guests.bundle.refused[i].name, guests.bundle.refused[i].why.text);
    }
    if (err != 0) {
        report_refused("bundle", why.text);
        poweroff(true);
    }
    guests.refused = guests.bundle.refused_count;
    vm_count = guests.bundle.vm_count;
    for (uint32_t v = 0; v < vm_count; v++) {
        vms[v].config = &guests.bundle.vm[v];
        vms[v].index = v;
    }
}

static void build_all(void)
{
    open_all();
    hash_and_prepare();
    work_run(build_one, NULL, vm_count);
    context_audit("before the first guest");
}

void guests_run(void)
{
    struct hart_abilities all;

    hart_common(&all);
    report_open();
    read_bundle();
    if (all.harts != 0) {
        context_open(guests.bundle.vmid_bits);
        devices_init(guests_ctx());
    }
    assign_harts();
    if (all.harts != 0) { /* else all were refused */
        build_all();
    }
    start_all();
    if (atomic_load(&guests.running) == 0) {
        report_all_ended(vm_count + guests.refused, count_failed());
        poweroff(true);
    }
    choose_ticker();
    hart_loop();
}
