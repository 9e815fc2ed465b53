/* A guest's memory: its map, filled; and bytes copied into it. */
#include "vm/memory_vm.h"

#include <string.h>

#include "aia/imsic.h"
#include "config/config_error.h"
#include "core/console.h"
#include "core/hart.h"
#include "core/memory.h"
#include "vm/guests.h"
#include "vm/told.h"

#define CHUNK (UINT64_C(1) << 30) /* RAM that is granted in one transaction */
#define RELEASE_TRIES 100u

static void free_extents(const struct cordon_extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = cordon_run_free(guests_ctx(), extents[i].hpa, extents[i].len);

        cordon_assert(err == 0);
    }
}

/* One chunk of RAM, in the pieces that the settings ask for. LIST has room for COUNT. */
static int grant_chunk(struct vm *vm, uint64_t offset, uint64_t len, struct cordon_extent *list,
                       size_t count)
{
    const struct vm_config *c = vm->config;
    struct cordon_slot slot = {.size = sizeof(slot),
                               .id = (uint32_t)(offset / CHUNK),
                               .gpa = cordon_gpa_add(c->ram_base, offset),
                               .len = len,
                               .flags = c->fill != VM_FILL_START ? CORDON_REGION_PIN : 0};
    int err = cordon_scatter_alloc(guests_ctx(), len, c->scatter_pieces,
                                   c->scatter_seed + offset / CHUNK, list, &count);

    if (err != 0) {
        return err;
    }
    slot.extents = list;
    slot.extent_count = count;
    err = cordon_slot_set(vm->space, &slot);
    if (err != 0) {
        free_extents(list, count);
    }
    return err;
}

uint32_t vm_memory_lazy_flags(const struct vm *vm)
{
    return CORDON_REGION_DEMAND | (vm->config->fill == VM_FILL_TOUCH_2M ? CORDON_REGION_HUGE : 0) |
           (vm->config->overcommit ? 0 : CORDON_REGION_PROMISED);
}

/* RAM without frames. */
static int promise_ram(struct vm *vm)
{
    const struct cordon_slot slot = {.size = sizeof(slot),
                                     .gpa = vm->config->ram_base,
                                     .len = vm->config->ram_len,
                                     .flags = vm_memory_lazy_flags(vm)};

    return cordon_slot_set(vm->space, &slot);
}

static int fill_ram(struct vm *vm)
{
    uint64_t ram = vm->config->ram_len;
    uint64_t chunk = ram < CHUNK ? ram : CHUNK;
    size_t count = (size_t)(chunk >> CORDON_PAGE_SHIFT);
    struct cordon_run_want want = {
        .size = sizeof(want),
        .flags = CORDON_RUN_NOZERO | CORDON_RUN_FIXED,
        .len =
            (count * sizeof(struct cordon_extent) + CORDON_PAGE_SIZE - 1) & ~(CORDON_PAGE_SIZE - 1),
    };
    cordon_hpa list;
    int err = cordon_run_alloc(guests_ctx(), &want, &list);
    int freed;

    if (err != 0) {
        return err;
    }
    for (uint64_t at = 0; at < ram && err == 0; at += chunk) {
        err = grant_chunk(vm, at, ram - at < chunk ? ram - at : chunk, memory_ptr(list), count);
    }
    freed = cordon_run_free(guests_ctx(), list, want.len);
    cordon_assert(freed == 0);
    return err;
}

static int build_ram(struct vm *vm)
{
    if (vm_is_lazy(vm)) {
        return promise_ram(vm);
    }
    if (vm->config->fill != VM_FILL_START) {
        log_line("%s: it has devices, whose DMA cannot wait: its RAM is filled at the start and "
                 "pinned, not at first touch",
                 vm_name(vm));
    }
    return fill_ram(vm);
}

static int build_pool(struct vm *vm)
{
    struct cordon_run_want want = {
        .size = sizeof(want), .len = vm->config->pool_len, .align = GUEST_POOL_ALIGN};
    struct cordon_run_made made;
    int err = cordon_run_make(guests_ctx(), &want, 0, &made);

    if (err != 0) {
        return err;
    }
    const struct cordon_extent run = {made.hpa, want.len};
    const struct cordon_node node = {.size = sizeof(node),
                                     .id = VM_NODE_POOL,
                                     .kind = CORDON_NODE_RAM,
                                     .offset = guest_pool(vm->config->ram_base).v,
                                     .len = run.len,
                                     .perms = CORDON_RW,
                                     .flags = CORDON_REGION_PIN,
                                     .extents = &run,
                                     .extent_count = 1};

    err = vm_space_node(vm, &node);
    if (err != 0) {
        free_extents(&run, 1);
        return err;
    }
    vm->pool = run.hpa;
    log_line("%s: pool: GPA 0x%lx, host run 0x%lx, %lu KiB", vm_name(vm),
             guest_pool(vm->config->ram_base).v, run.hpa.v, run.len >> 10);
    return 0;
}

/* An interrupt file for one vCPU, at its place in the guest: devices' messages follow it. */
static int build_file(struct vm *vm, struct vcpu *vcpu)
{
    struct cordon_extent page = {.len = CORDON_PAGE_SIZE};
    const struct cordon_node node = {.size = sizeof(node),
                                     .id = VM_NODE_FILE + vcpu->id,
                                     .kind = CORDON_NODE_MMIO,
                                     .offset = guest_window(vm->config->ram_base) + GUEST_IMSIC +
                                               vcpu->id * CORDON_PAGE_SIZE,
                                     .len = CORDON_PAGE_SIZE,
                                     .perms = CORDON_RW,
                                     .flags = CORDON_REGION_FILE,
                                     .extents = &page,
                                     .extent_count = 1};
    volatile void *mapped;
    int err = imsic_file_alloc(vcpu->hart, &vcpu->guest_file);

    if (err != 0) {
        return err;
    }
    page.hpa = imsic_file_hpa(vcpu->hart, vcpu->guest_file);
    err = cordon_resource_add(guests_ctx(), page.hpa, page.len);
    if (err == 0) {
        err = vm_space_node(vm, &node);
    }
    if (err == 0) {
        err = mmio_map(page.hpa, page.len, &mapped);
    }
    if (err == 0) {
        vcpu->file_page = mapped;
    }
    return err;
}

/* Where devices' messages for the guest's interrupt files go: the map leads there. Without an IOMMU
 * that has MSI tables a guest simply has no messages. */
static int build_msi(struct vm *vm)
{
    uint32_t count = vm->config->vcpus;
    uint64_t mask = count > 1 ? (UINT64_C(2) << (31 - __builtin_clz(count - 1))) - 1 : 0;
    int err = cordon_msi_window(
        vm->domain, cordon_gpa_make(guest_window(vm->config->ram_base) + GUEST_IMSIC), mask);

    return err == -CORDON_ENOTSUP ? 0 : err;
}

int vm_memory_open(struct vm *vm, struct config_error *why)
{
    static const uint32_t modes[] = {CORDON_MODE_SV39X4, CORDON_MODE_SV48X4, CORDON_MODE_SV57X4};
    uint32_t mode = vm->config->gstage;
    struct cordon_domain_config cfg = {.size = sizeof(cfg),
                                       .modes = mode != 0 ? modes[mode - 8] : 0,
                                       .gpa_limit = GUEST_MMIO64 + GUEST_MMIO64_LEN};
    int err = cordon_domain_create(guests_ctx(), &cfg, &vm->domain);

    if (err == 0) {
        told_add(vm);
        err = vm_space_open(vm);
    }
    return err == 0 ? 0 : config_refuse(why, "no domain: %s", cordon_strerror(err));
}

int vm_memory_build(struct vm *vm, struct config_error *why)
{
    const struct vm_config *c = vm->config;
    int err = build_ram(vm);

    if (err != 0) {
        struct cordon_memory_stats stats;

        cordon_memory_stats(guests_ctx(), &stats);
        return config_refuse(why, "RAM: %lu MiB asked for, %lu MiB free, longest run %lu MiB: %s",
                             c->ram_len >> 20, stats.free >> 20, stats.largest_free >> 20,
                             cordon_strerror(err));
    }
    err = c->pool_len != 0 ? build_pool(vm) : 0;
    if (err != 0) {
        return config_refuse(why, "pool: no run of %lu KiB: %s", c->pool_len >> 10,
                             cordon_strerror(err));
    }
    for (uint32_t i = 0; i < c->vcpus; i++) {
        err = build_file(vm, &vm->vcpu[i]);
        if (err != 0) {
            return config_refuse(why, "vCPU %u: hart %lu has %u interrupt files for guests: %s", i,
                                 vm->vcpu[i].hart->id, vm->vcpu[i].hart->guest_files,
                                 cordon_strerror(err));
        }
    }
    err = c->device_count != 0 ? build_msi(vm) : 0;
    return err == 0 ? 0 : config_refuse(why, "message table: %s", cordon_strerror(err));
}

/* Revoke everything; the hardware may need a moment. */
static int destroy_domain(struct vm *vm)
{
    vm_space_close(vm);
    int err = cordon_domain_destroy(vm->domain);

    for (uint32_t i = 0; i < RELEASE_TRIES && err == -CORDON_EPENDING; i++) {
        err = cordon_retire(vm->domain);
        if (err == 0) {
            err = cordon_domain_destroy(vm->domain);
        }
    }
    return err;
}

void vm_memory_release(struct vm *vm)
{
    int err = vm->domain != NULL ? destroy_domain(vm) : 0;

    if (err != 0) {
        log_line("%s: its memory cannot be freed: %s", vm_name(vm), cordon_strerror(err));
        return;
    }
    told_remove(vm);
    vm->domain = NULL;
    vm->pool = cordon_hpa_make(0);
    for (uint32_t i = 0; i < vm->config->vcpus; i++) {
        struct vcpu *vcpu = &vm->vcpu[i];

        vcpu->file_page = NULL;
        if (vcpu->guest_file == 0) {
            continue;
        }
        err = cordon_resource_remove(guests_ctx(), imsic_file_hpa(vcpu->hart, vcpu->guest_file));
        if (err == 0 || err == -CORDON_ENOENT) {
            imsic_file_free(vcpu->hart, vcpu->guest_file);
        }
        vcpu->guest_file = 0;
    }
}

uint64_t vm_memory_resident(const struct vm *vm)
{
    uint64_t bytes = 0;
    int err = vm->domain == NULL
                  ? 0
                  : cordon_resident(vm->domain, vm->config->ram_base, vm->config->ram_len, &bytes);

    cordon_assert(err == 0);
    return bytes;
}

void vm_memory_out(struct vm *vm, cordon_gpa gpa)
{
    struct cordon_memory_stats stats;

    cordon_memory_stats(guests_ctx(), &stats);
    vm_stop(vm, VM_END_MEMORY,
            "no frame is left for 0x%lx: it has %lu KiB of its %lu MiB, %lu KiB are free", gpa.v,
            vm_memory_resident(vm) >> 10, vm->config->ram_len >> 20, stats.free >> 10);
}

/* As cordon_translate, for RAM: a page that is absent comes. */
static int find_ram(struct vm *vm, cordon_gpa gpa, uint32_t access, struct cordon_hit *hit)
{
    int err = cordon_translate(vm->domain, 0, gpa, access, hit);
    struct cordon_touched done;

    if (err != -CORDON_EFAULT) {
        return err;
    }
    err = cordon_touch(vm->domain, gpa, access, &done);
    return err == 0 ? cordon_translate(vm->domain, 0, gpa, access, hit) : err;
}

int vm_memory_at(struct vm *vm, cordon_gpa gpa, uint32_t access, uint8_t **at, uint64_t *len)
{
    struct cordon_region_info region;
    struct cordon_hit hit;
    int err;

    if (cordon_region_find(vm->domain, gpa, false, &region) != 0 ||
        (region.flags & CORDON_REGION_MMIO)) {
        return -CORDON_EFAULT;
    }
    err = find_ram(vm, gpa, access, &hit);
    if (err != 0) {
        return err == -CORDON_ENOMEM ? err : -CORDON_EFAULT;
    }
    if (*len > hit.span) {
        *len = hit.span;
    }
    *at = memory_ptr(hit.hpa);
    return 0;
}

static int write_held(struct vm *vm, cordon_gpa gpa, const void *bytes, uint64_t len)
{
    const uint8_t *from = bytes;

    while (len != 0) {
        uint64_t now = len;
        uint8_t *to;
        int err = vm_memory_at(vm, gpa, CORDON_WRITE, &to, &now);

        if (err != 0) {
            return err;
        }
        memcpy(to, from, now);
        from += now;
        gpa = cordon_gpa_add(gpa, now);
        len -= now;
    }
    return 0;
}

int vm_memory_write(struct vm *vm, cordon_gpa gpa, const void *bytes, uint64_t len)
{
    cordon_hold(vm->domain);
    int err = write_held(vm, gpa, bytes, len);

    cordon_let_go(vm->domain);
    return err;
}
