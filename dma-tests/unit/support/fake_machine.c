/* The machine under the driver's tests: see fake_machine.h. */
#include "fake_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fake_iommu *machine_at(struct fake_machine *m, uint64_t hpa)
{
    for (uint32_t i = 0; i < MACHINE_IOMMUS; i++) {
        if (hpa - m->iommu[i].base < 0x1000) {
            return &m->iommu[i];
        }
    }
    return NULL;
}

static uint64_t machine_read(void *user, uint64_t hpa, uint32_t width)
{
    struct fake_iommu *f = machine_at(user, hpa);

    return f != NULL ? fake_read(f, hpa, width) : ~0ull;
}

static void machine_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    struct fake_iommu *f = machine_at(user, hpa);

    if (f != NULL) {
        fake_write(f, hpa, width, value);
    }
}

static void machine_hart_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa,
                               uint64_t len)
{
    struct fake_machine *m = user;

    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    m->hart_fences++;
}

static uint64_t machine_time(void *user)
{
    struct fake_machine *m = user;

    m->now_us += m->tick_us;
    return m->now_us;
}

void machine_open(struct fake_machine *m)
{
    machine_open_flags(m, 0);
}

void machine_open_flags(struct fake_machine *m, uint32_t flags)
{
    const struct cordon_extent bank = {{MACHINE_RAM}, MACHINE_RAM_LEN};
    const struct cordon_extent firmware = {{MACHINE_FIRMWARE}, 2ull << 20};
    const struct cordon_port_ops ops = {
        .size = sizeof(ops),
        .user = m,
        .mmio_read = machine_read,
        .mmio_write = machine_write,
        .hart_fence = machine_hart_fence,
        .time_us = machine_time,
    };
    struct cordon_config cfg = {
        .size = sizeof(cfg),
        .flags = flags,
        .cookie = &m->record,
        .banks = &bank,
        .bank_count = 1,
        .reserved = &firmware,
        .reserved_count = 1,
        .hart_modes = CORDON_MODE_SV39X4 | CORDON_MODE_SV48X4 | CORDON_MODE_SV57X4,
        .vmid_bits = 14,
        .seed = 1,
    };

    memset(m, 0, sizeof(*m));
    m->tick_us = 1;
    m->ram = aligned_alloc(CORDON_PAGE_SIZE, MACHINE_RAM_LEN);
    assert_non_null(m->ram);
    record_init(&m->record, &ops);
    if ((flags & CORDON_CTX_PBMT) != 0) {
        record_expect_flushes(&m->record);
    }
    for (uint32_t i = 0; i < MACHINE_IOMMUS; i++) {
        fake_init(&m->iommu[i], MACHINE_IOMMU + i * 0x1000, m->ram, MACHINE_RAM, MACHINE_RAM_LEN);
    }
    cfg.ram_offset = (uint64_t)(uintptr_t)m->ram - MACHINE_RAM;
    assert_int_equal(cordon_ctx_create(&cfg, &m->ctx), 0);
    assert_int_equal(cordon_resource_add(m->ctx, cordon_hpa_make(MACHINE_FILES), MACHINE_FILES_LEN),
                     0);
}

void machine_sound(const struct fake_machine *m)
{
    struct cordon_finding found;

    if (cordon_audit(m->ctx, &found) != 0) {
        fail_msg("invariant %u: %s (%#lx at %#lx)", found.invariant, found.text,
                 (unsigned long)found.value, (unsigned long)found.word.v);
    }
    for (uint32_t i = 0; i < MACHINE_IOMMUS; i++) {
        if (m->iommu[i].violations != 0) {
            fail_msg("IOMMU %u: %u violations, first: %s", i, m->iommu[i].violations,
                     m->iommu[i].violation);
        }
    }
    if (record_broken(&m->record) != NULL) {
        fail_msg("order: %s", record_broken(&m->record));
    }
}

void machine_close(struct fake_machine *m)
{
    machine_sound(m);
    assert_int_equal(cordon_resource_remove(m->ctx, cordon_hpa_make(MACHINE_FILES)), 0);
    assert_int_equal(cordon_ctx_destroy(m->ctx), 0);
    machine_drop(m);
}

void machine_drop(struct fake_machine *m)
{
    record_end(&m->record);
    free(m->ram);
    m->ram = NULL;
}

struct cordon_iommu_config machine_iommu_config(uint32_t number)
{
    return (struct cordon_iommu_config){
        .size = sizeof(struct cordon_iommu_config),
        .base = cordon_hpa_make(MACHINE_IOMMU + number * 0x1000),
        .timeout_us = MACHINE_TIMEOUT_US,
        .max_device_id = 0xffff,
    };
}

struct cordon_device_config machine_device_config(uint32_t device_id, const char *name)
{
    struct cordon_device_config cfg = {
        .size = sizeof(cfg),
        .device_id = device_id,
        .drain = CORDON_DRAIN_IOMMU,
    };

    snprintf(cfg.name, sizeof(cfg.name), "%s", name);
    return cfg;
}

int machine_try_iommu(struct fake_machine *m, uint32_t number, uint32_t max_device_id,
                      cordon_iommu **out)
{
    struct cordon_iommu_config cfg = machine_iommu_config(number);

    cfg.max_device_id = max_device_id;
    return cordon_iommu_add(m->ctx, &cfg, out);
}

cordon_iommu *machine_iommu(struct fake_machine *m, uint32_t number, uint32_t max_device_id)
{
    cordon_iommu *iommu = NULL;

    assert_int_equal(machine_try_iommu(m, number, max_device_id, &iommu), 0);
    return iommu;
}

cordon_device *machine_device(cordon_iommu *iommu, uint32_t device_id)
{
    const struct cordon_device_config cfg = machine_device_config(device_id, "dev");
    cordon_device *dev = NULL;

    assert_int_equal(cordon_device_add(iommu, &cfg, &dev), 0);
    return dev;
}

cordon_device *machine_attached(cordon_iommu *iommu, uint32_t device_id, cordon_domain *d,
                                uint32_t flags)
{
    cordon_device *dev = machine_device(iommu, device_id);

    assert_int_equal(cordon_device_attach(d, dev, flags), 0);
    return dev;
}

void machine_gone(cordon_device *dev)
{
    assert_int_equal(cordon_device_detach(dev), 0);
    assert_int_equal(cordon_device_remove(dev), 0);
}

cordon_domain *machine_domain(struct fake_machine *m)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = 1ull << 32};
    cordon_domain *d = NULL;

    assert_int_equal(cordon_domain_create(m->ctx, &cfg, &d), 0);
    machine_ran(d);
    return d;
}

void machine_ran(cordon_domain *d)
{
    struct cordon_entry entry = {.size = sizeof(entry)};

    assert_int_equal(cordon_domain_enter(d, 0, &entry), 0);
    assert_int_equal(cordon_domain_leave(d, 0), 0);
}

cordon_hpa machine_grant(struct fake_machine *m, cordon_domain *d, uint64_t gpa, uint64_t pages)
{
    const struct cordon_run_want want = {.len = pages * CORDON_PAGE_SIZE};

    return machine_grant_run(m, d, gpa, want, 0);
}

cordon_hpa machine_grant_run(struct fake_machine *m, cordon_domain *d, uint64_t gpa,
                             struct cordon_run_want want, uint32_t flags)
{
    struct cordon_extent extent = {.len = want.len};
    const struct cordon_op op = {
        .kind = CORDON_OP_GRANT,
        .flags = flags,
        .gpa = cordon_gpa_make(gpa),
        .len = want.len,
        .perms = CORDON_RWX,
        .extents = &extent,
        .extent_count = 1,
    };

    want.size = sizeof(want);
    assert_int_equal(cordon_run_alloc(m->ctx, &want, &extent.hpa), 0);
    assert_int_equal(cordon_change(d, &op, 1), 0);
    return extent.hpa;
}

int machine_revoke(cordon_domain *d, uint64_t gpa, uint64_t pages)
{
    const struct cordon_op op = {
        .kind = CORDON_OP_REVOKE,
        .gpa = cordon_gpa_make(gpa),
        .len = pages * CORDON_PAGE_SIZE,
    };

    return cordon_change(d, &op, 1);
}

uint32_t machine_frame_state(const struct fake_machine *m, cordon_hpa hpa)
{
    struct cordon_frame_info info = {.state = ~0u};

    assert_int_equal(cordon_frame_query(m->ctx, hpa, &info), 0);
    return info.state;
}

struct cordon_memory_stats machine_stats(const struct fake_machine *m)
{
    struct cordon_memory_stats stats;

    cordon_memory_stats(m->ctx, &stats);
    return stats;
}

uint64_t machine_word(const struct fake_machine *m, uint64_t hpa, uint32_t n)
{
    uint64_t word;

    assert_true(hpa >= MACHINE_RAM && hpa - MACHINE_RAM + 8ull * n + 8 <= MACHINE_RAM_LEN);
    memcpy(&word, m->ram + (hpa - MACHINE_RAM) + 8ull * n, sizeof(word));
    return word;
}
