/* See calls_world.h. */
#include "calls_world.h"

#include <string.h>

#include "model/model_port.h"

#define IOMMU_HPA UINT64_C(0x3010000)
#define FIRMWARE_LEN (16 * PAGE)
#define DEVICE_ID 8u

struct world w;

/* Whoever waits does not wait long. */
static uint64_t time_us(void *user)
{
    (void)user;
    return w.now_us += 1000;
}

int world_domain(unsigned n)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = GPA_LIMIT};

    return cordon_domain_create(w.ctx, &cfg, &w.domain[n]);
}

int world_device(unsigned n)
{
    const struct cordon_device_config cfg = {.size = sizeof(cfg),
                                             .device_id = DEVICE_ID + n,
                                             .drain =
                                                 n == 0 ? CORDON_DRAIN_RESET : CORDON_DRAIN_IOMMU};

    return cordon_device_add(w.iommu, &cfg, &w.device[n]);
}

/* A large page, and small ones. */
static void hold_some(void)
{
    for (uint64_t len = BLOCK; len >= 2 * PAGE; len /= 16) {
        const struct cordon_run_want want = {.size = sizeof(want), .len = len, .align = len};

        w.held[w.held_count].len = len;
        must(cordon_run_alloc(w.ctx, &want, &w.held[w.held_count++].hpa) == 0);
    }
}

void world_open(uint32_t flags)
{
    static uint8_t ram[RAM_LEN] __attribute__((aligned(BLOCK)));
    const struct cordon_extent bank = {{RAM_HPA}, RAM_LEN}, firmware = {{RAM_HPA}, FIRMWARE_LEN};
    const struct cordon_iommu_config iommu = {.size = sizeof(iommu),
                                              .base = {IOMMU_HPA},
                                              .cq_log2 = 6,
                                              .fq_log2 = 6,
                                              .max_device_id = 63};
    const struct cordon_model_config model = {.size = sizeof(model),
                                              .ram = ram,
                                              .ram_hpa = RAM_HPA,
                                              .ram_len = RAM_LEN,
                                              .cache_entries = 64};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .flags = flags,
                                .ram_offset = (uint64_t)(uintptr_t)ram - RAM_HPA,
                                .banks = &bank,
                                .bank_count = 1,
                                .reserved = &firmware,
                                .reserved_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 1};

    w = (struct world){.ram = ram};
    must(cordon_model_create(&model, &w.model) == 0);
    w.port = model_port(w.model);
    w.port.time_us = time_us;
    cfg.cookie = &w.port;
    must(cordon_ctx_create(&cfg, &w.ctx) == 0);
    must(cordon_iommu_add(w.ctx, &iommu, &w.iommu) == 0);
    must(cordon_resource_add(w.ctx, cordon_hpa_make(REGISTERS), 4 * PAGE) == 0);
    for (unsigned n = 0; n < DOMAINS; n++) {
        must(world_domain(n) == 0);
    }
    for (unsigned n = 0; n < DEVICES; n++) {
        must(world_device(n) == 0);
    }
    hold_some();
}

void world_put(cordon_gpa gpa, uint64_t len)
{
    w.place[w.places++ % PLACES] = (struct range){gpa, len};
}

void world_hold(struct cordon_extent e)
{
    if (w.held_count < HELD) {
        w.held[w.held_count++] = e;
    } else {
        must(cordon_run_free(w.ctx, e.hpa, e.len) == 0);
    }
}

void world_forget_given(void)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < w.held_count; i++) {
        struct cordon_frame_info info;

        must(cordon_frame_query(w.ctx, w.held[i].hpa, &info) == 0);
        if (info.state == CORDON_FRAME_HELD) {
            w.held[kept++] = w.held[i];
        }
    }
    w.held_count = kept;
}

void world_check(void)
{
    struct cordon_finding found;

    if (cordon_audit(w.ctx, &found) != 0) {
        fprintf(stderr, "invariant %u, domain %u, view %u, gpa %#llx, hpa %#llx: %s\n",
                found.invariant, found.domain, found.view, (unsigned long long)found.gpa.v,
                (unsigned long long)found.hpa.v, found.text);
        abort();
    }
}

/* ---- the end ------------------------------------------------------------------------------ */

static void end_device(unsigned n)
{
    if (w.attached[n]) {
        int err = cordon_device_detach(w.device[n]);

        must(err == 0 || err == -CORDON_EPENDING);
        w.attached[n] = false;
    }
    int err = cordon_device_drained(w.device[n]);

    must(err == 0 || err == -CORDON_EPENDING);
}

/* Everything stands in nobody's way any more. */
static void end_users(unsigned n)
{
    if (w.listener[n] != 0) {
        must(cordon_listener_remove(w.domain[n], w.listener[n]) == 0);
        w.listener[n] = 0;
    }
    if (w.space[n] != NULL) {
        must(cordon_space_destroy(w.space[n]) == 0);
        w.space[n] = NULL;
    }
    if (w.inside[n]) {
        must(cordon_domain_leave(w.domain[n], n) == 0);
        w.inside[n] = false;
    }
    for (; w.holds[n] > 0; w.holds[n]--) {
        cordon_let_go(w.domain[n]);
    }
}

void world_end_domain(unsigned n)
{
    struct cordon_region_info r;
    int err;

    /* What is borrowed goes first, or whoever lent it cannot go. */
    for (unsigned k = 0; k < DOMAINS; k++) {
        if (w.domain[k] == NULL) {
            continue;
        }
        end_users(k);
        for (uint64_t at = 0; cordon_region_find(w.domain[k], cordon_gpa_make(at), true, &r) == 0;
             at = r.gpa.v + r.len) {
            const struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = r.gpa, .len = r.len};

            if ((r.flags & CORDON_REGION_SHARED) != 0) {
                err = cordon_change(w.domain[k], &op, 1);
                must(err == 0 || err == -CORDON_EPENDING);
            }
        }
    }
    for (unsigned k = 0; k < DEVICES; k++) {
        end_device(k);
    }
    for (unsigned k = 0; k < DOMAINS; k++) {
        must(w.domain[k] == NULL || cordon_retire(w.domain[k]) == 0);
    }
    err = cordon_domain_destroy(w.domain[n]);
    must(err == 0);
    w.closed = w.domain[n];
    w.domain[n] = NULL;
}

void world_close(void)
{
    struct cordon_memory_stats stats;

    for (unsigned n = 0; n < DOMAINS; n++) {
        if (w.domain[n] != NULL) {
            world_end_domain(n);
        }
    }
    world_check();
    cordon_memory_stats(w.ctx, &stats);
    must(stats.owned == 0 && stats.revoking == 0);
    for (unsigned n = 0; n < DEVICES; n++) {
        must(cordon_device_remove(w.device[n]) == 0);
    }
    must(cordon_iommu_remove(w.iommu) == 0);
    must(cordon_ctx_destroy(w.ctx) == 0);
    cordon_model_destroy(w.model);
}

/* ---- arguments ---------------------------------------------------------------------------- */

uint64_t input_u64(struct input *in)
{
    uint64_t high = input_u32(in);

    return high << 32 | input_u32(in);
}

uint64_t input_len(struct input *in)
{
    uint8_t b = input_byte(in);

    if (b < 0xd0) {
        return (1 + b % 32) * PAGE;
    }
    return b < 0xf0 ? (1 + b % 3) * BLOCK : b < 0xf8 ? b % 2 * (PAGE + 1) : input_u64(in);
}

cordon_gpa input_gpa(struct input *in)
{
    uint8_t b = input_byte(in);
    uint64_t at = b < 0xc0   ? GPA + b % 64 * PAGE
                  : b < 0xe0 ? b % 8 * BLOCK
                  : b < 0xe8 ? GPA_LIMIT - b % 8 * PAGE
                  : b < 0xf0 ? UINT64_MAX - b % 8 * PAGE + 1
                             : input_u64(in);

    return cordon_gpa_make(at);
}

struct range input_range(struct input *in)
{
    uint8_t b = input_byte(in);
    uint32_t count = w.places < PLACES ? w.places : PLACES;

    if (b >= 0xe0 || count == 0) {
        cordon_gpa gpa = input_gpa(in);

        return (struct range){gpa, input_len(in)};
    }
    struct range r = w.place[b % count];

    if (b >= 0x60 && r.len > PAGE) {
        uint64_t skip = (1 + input_byte(in) % 16) * PAGE % r.len;

        r = (struct range){cordon_gpa_add(r.gpa, skip), r.len - skip};
    }
    if (b >= 0xa0) {
        r.len = (1 + input_byte(in) % 16) * PAGE;
    }
    return r;
}

uint32_t input_perms(struct input *in)
{
    static const uint32_t perms[] = {CORDON_RWX,  CORDON_RWX,  CORDON_RW,
                                     CORDON_READ, CORDON_EXEC, CORDON_READ | CORDON_EXEC};
    uint8_t b = input_byte(in);

    return b < 0xf0 ? perms[b % (sizeof(perms) / sizeof(perms[0]))] : b == 0xff ? input_u32(in) : b;
}

uint32_t input_flags(struct input *in)
{
    static const uint32_t flags[] = {
        0,
        0,
        CORDON_REGION_DEMAND,
        CORDON_REGION_DEMAND | CORDON_REGION_HUGE,
        CORDON_REGION_DEMAND | CORDON_REGION_PROMISED,
        CORDON_REGION_DEMAND | CORDON_REGION_PROMISED | CORDON_REGION_HUGE,
        CORDON_REGION_KEEP,
        CORDON_REGION_PIN,
        CORDON_REGION_NODMA,
        CORDON_REGION_NODMA | CORDON_REGION_DEMAND,
        CORDON_REGION_LOG,
        CORDON_REGION_LOG | CORDON_REGION_PIN,
        CORDON_REGION_MMIO,
        CORDON_REGION_MMIO | CORDON_REGION_PEER,
        CORDON_REGION_MMIO | CORDON_REGION_FILE,
    };
    uint8_t b = input_byte(in);

    return b < 0xf0 ? flags[b % (sizeof(flags) / sizeof(flags[0]))] : input_u32(in);
}

uint32_t input_size(struct input *in, size_t right)
{
    uint8_t b = input_byte(in);

    return b < 0xfc ? (uint32_t)right : b == 0xff ? input_u32(in) : (uint32_t)right + b - 0xfe;
}

cordon_hpa input_hpa(struct input *in)
{
    uint8_t b = input_byte(in);

    if (b < 0x80 && w.held_count != 0) {
        return w.held[b % w.held_count].hpa;
    }
    return cordon_hpa_make(b < 0xa0   ? REGISTERS + b % 8 * PAGE
                           : b < 0xe0 ? RAM_HPA + input_u32(in) % (RAM_LEN / PAGE) * PAGE
                                      : input_u64(in));
}

cordon_domain *input_domain(struct input *in)
{
    uint8_t b = input_byte(in);

    return b < 0xf0 ? w.domain[b % DOMAINS] : b < 0xf8 ? w.closed : NULL;
}

cordon_device *input_device(struct input *in, unsigned *n)
{
    uint8_t b = input_byte(in);

    *n = b < 0xf0 ? b % DEVICES : DEVICES;
    return *n < DEVICES ? w.device[*n] : NULL;
}

uint64_t input_extents(struct input *in, struct cordon_extent *list)
{
    uint8_t count = input_byte(in) % (EXTENTS + 1);

    for (uint8_t i = 0; i < count; i++) {
        uint8_t b = input_byte(in);

        if (b < 0xc0 && w.held_count != 0) {
            list[i] = w.held[b % w.held_count];
        } else if (b < 0xe0) {
            list[i] = (struct cordon_extent){{REGISTERS + b % 4 * PAGE}, PAGE};
        } else {
            list[i] = (struct cordon_extent){input_hpa(in), input_len(in)};
        }
    }
    return count;
}

uint64_t extents_len(const struct cordon_extent *list, uint64_t count)
{
    uint64_t len = 0;

    for (uint64_t i = 0; i < count; i++) {
        len += list[i].len;
    }
    return len;
}
