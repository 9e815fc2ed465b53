/* The bench under the tests of iommu/map: see map_bench.h. */
#define _POSIX_C_SOURCE 200809L /* fork, posix_memalign */

#include "map_bench.h"
#include "mix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void on_hart_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    struct map_bench *b = user;

    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    b->hart_fences++;
}

void bench_memory(struct map_bench *b, uint64_t base, uint64_t size)
{
    const struct cordon_port_ops ops = {
        .size = sizeof(ops), .user = b, .hart_fence = on_hart_fence};

    memset(b, 0, sizeof(*b));
    b->base = base;
    b->size = size;
    assert_int_equal(posix_memalign(&b->block, PAGE, size), 0);
    b->ram = b->block;
    memset(b->ram, 0xa5, size); /* RAM as it is found: not zero */
    record_init(&b->record, &ops);
}

struct cordon_config bench_config(struct map_bench *b)
{
    return (struct cordon_config){
        .size = sizeof(struct cordon_config),
        .cookie = &b->record,
        .ram_offset = (uint64_t)(uintptr_t)b->ram - b->base,
        .hart_modes = CORDON_MODE_SV39X4 | CORDON_MODE_SV48X4 | CORDON_MODE_SV57X4,
        .vmid_bits = 14,
        .seed = 1,
    };
}

void bench_open_as(struct map_bench *b, uint64_t base, uint64_t size, struct cordon_config *cfg)
{
    bench_memory(b, base, size);
    struct cordon_config own = bench_config(b);

    cfg->cookie = own.cookie;
    cfg->ram_offset = own.ram_offset;
    assert_int_equal(cordon_ctx_create(cfg, &b->ctx), 0);
}

void bench_open(struct map_bench *b, uint64_t size)
{
    bench_open_flags(b, size, 0);
}

void bench_open_flags(struct map_bench *b, uint64_t size, uint32_t flags)
{
    const struct cordon_extent bank = {{BENCH_RAM}, size};
    struct cordon_config cfg;

    bench_memory(b, BENCH_RAM, size);
    if ((flags & CORDON_CTX_PBMT) != 0) {
        record_expect_flushes(&b->record);
    }
    cfg = bench_config(b);
    cfg.flags = flags;
    cfg.banks = &bank;
    cfg.bank_count = 1;
    assert_int_equal(cordon_ctx_create(&cfg, &b->ctx), 0);
    assert_int_equal(cordon_resource_add(b->ctx, cordon_hpa_make(BENCH_MMIO), BENCH_MMIO_LEN), 0);
}

void bench_drop(struct map_bench *b)
{
    record_end(&b->record);
    free(b->block);
}

void bench_close(struct map_bench *b)
{
    bench_sound(b);
    assert_int_equal(cordon_ctx_destroy(b->ctx), 0);
    bench_drop(b);
}

void bench_sound(struct map_bench *b)
{
    struct cordon_finding found;

    if (cordon_audit(b->ctx, &found) != 0) {
        fail_msg("invariant %u: %s (domain %u view %u gpa %#lx hpa %#lx word %#lx = %#lx)",
                 found.invariant, found.text, found.domain, found.view, (unsigned long)found.gpa.v,
                 (unsigned long)found.hpa.v, (unsigned long)found.word.v,
                 (unsigned long)found.value);
    }
    if (record_broken(&b->record) != NULL) {
        fail_msg("order: %s (event %lu)", record_broken(&b->record),
                 (unsigned long)record_broken_at(&b->record));
    }
}

struct cordon_finding bench_breaks(struct map_bench *b, uint32_t invariant)
{
    struct cordon_finding found = {.invariant = 0};

    assert_int_equal(cordon_audit(b->ctx, &found), -CORDON_ECORRUPT);
    if (found.invariant != invariant) {
        fail_msg("invariant %u instead of %u: %s", found.invariant, invariant, found.text);
    }
    assert_int_not_equal(found.text[0], 0);
    return found;
}

/* ---- snapshots ---------------------------------------------------------------------------- */

static void mix_frames(const struct map_bench *b, uint64_t *h)
{
    for (uint64_t at = b->base; at < b->base + b->size; at += PAGE) {
        struct cordon_frame_info info;

        assert_int_equal(cordon_frame_query(b->ctx, cordon_hpa_make(at), &info), 0);
        mix(h, info.state | (uint64_t)info.domain << 32);
        mix(h, info.gpa.v);
    }
}

static void mix_domain(const cordon_domain *d, uint64_t *h)
{
    struct cordon_region_info r = {.len = 0};
    struct pt_hit hit;

    for (uint64_t at = 0; cordon_region_find(d, cordon_gpa_make(at), true, &r) == 0;
         at = r.gpa.v + r.len) {
        mix(h, r.gpa.v);
        mix(h, r.len);
        mix(h, r.perms | (uint64_t)r.flags << 32);
    }
    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        cordon_gpa gpa = cordon_gpa_make(0);

        while ((d->forest.views >> view & 1) != 0 &&
               pt_next_leaf(&d->forest, view, &gpa, &hit) == 0) {
            mix(h, gpa.v);
            mix(h, hit.pte);
            gpa.v += PAGE << (9 * hit.level);
        }
        mix(h, view);
    }
}

static void mix_resources(const struct map_bench *b, uint64_t *h)
{
    for (uint64_t at = 0; at < BENCH_MMIO_LEN; at += PAGE) {
        struct resource_holder holder = {.domain = 0};
        bool held = resource_holder(b->ctx, cordon_hpa_make(BENCH_MMIO + at), &holder);

        mix(h, held ? holder.gfn << 16 | holder.domain << 1 | holder.revoking : 1);
    }
}

uint64_t bench_state(const struct map_bench *b)
{
    struct cordon_memory_stats s = bench_stats(b);
    const uint64_t *counts = (const uint64_t *)&s;
    uint64_t h = 1;

    for (size_t i = 0; i < sizeof(s) / sizeof(*counts); i++) {
        mix(&h, counts[i]);
    }
    mix_frames(b, &h);
    mix_resources(b, &h);
    for (const struct cordon_domain *d = b->ctx->domains; d != NULL; d = d->next) {
        mix(&h, d->number);
        mix_domain(d, &h);
    }
    return h;
}

struct cordon_memory_stats bench_stats(const struct map_bench *b)
{
    struct cordon_memory_stats s;

    cordon_memory_stats(b->ctx, &s);
    return s;
}

uint32_t bench_frame(const struct map_bench *b, uint64_t hpa)
{
    struct cordon_frame_info info;

    assert_int_equal(cordon_frame_query(b->ctx, cordon_hpa_make(hpa), &info), 0);
    return info.state;
}

/* ---- domains and changes ------------------------------------------------------------------ */

cordon_domain *bench_domain(struct map_bench *b)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 41};
    cordon_domain *d = NULL;

    assert_int_equal(cordon_domain_create(b->ctx, &cfg, &d), 0);
    bench_ran(d, 0);
    return d;
}

void bench_ran(cordon_domain *d, uint32_t hart)
{
    struct cordon_entry entry = {.size = sizeof(entry)};

    assert_int_equal(cordon_domain_enter(d, hart, &entry), 0);
    assert_int_equal(cordon_domain_leave(d, hart), 0);
}

cordon_hpa bench_held(struct map_bench *b, uint64_t pages)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = pages * PAGE};
    cordon_hpa hpa = cordon_hpa_make(0);

    assert_int_equal(cordon_run_alloc(b->ctx, &want, &hpa), 0);
    return hpa;
}

struct cordon_op op_grant(uint64_t gpa, const struct cordon_extent *e, uint64_t count,
                          uint32_t perms, uint32_t flags)
{
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = flags,
                           .gpa = {gpa},
                           .perms = perms,
                           .extents = e,
                           .extent_count = count};

    for (uint64_t i = 0; i < count; i++) {
        op.len += e[i].len;
    }
    return op;
}

struct cordon_op op_revoke(uint64_t gpa, uint64_t pages)
{
    return (struct cordon_op){.kind = CORDON_OP_REVOKE, .gpa = {gpa}, .len = pages * PAGE};
}

struct cordon_op op_protect(uint64_t gpa, uint64_t pages, uint32_t perms)
{
    return (struct cordon_op){
        .kind = CORDON_OP_PROTECT, .gpa = {gpa}, .len = pages * PAGE, .perms = perms};
}

struct cordon_op op_mark(uint64_t gpa, uint64_t pages, uint32_t flags)
{
    return (struct cordon_op){
        .kind = CORDON_OP_MARK, .flags = flags, .gpa = cordon_gpa_make(gpa), .len = pages * PAGE};
}

cordon_hpa bench_grant(struct map_bench *b, cordon_domain *d, uint64_t gpa, uint64_t pages,
                       uint32_t perms, uint32_t flags)
{
    struct cordon_extent e = {bench_held(b, pages), pages * PAGE};
    struct cordon_op op = op_grant(gpa, &e, 1, perms, flags);

    assert_int_equal(cordon_change(d, &op, 1), 0);
    return e.hpa;
}

int bench_revoke(cordon_domain *d, uint64_t gpa, uint64_t pages)
{
    struct cordon_op op = op_revoke(gpa, pages);

    return cordon_change(d, &op, 1);
}

void bench_free_held(struct map_bench *b)
{
    for (uint64_t at = b->base; at < b->base + b->size; at += PAGE) {
        if (bench_frame(b, at) == CORDON_FRAME_HELD) {
            assert_int_equal(cordon_run_free(b->ctx, cordon_hpa_make(at), PAGE), 0);
        }
    }
}

uint64_t bench_leads(const cordon_domain *d, uint32_t view, uint64_t gpa, uint32_t access)
{
    struct cordon_hit hit;

    return cordon_translate(d, view, cordon_gpa_make(gpa), access, &hit) == 0 ? hit.hpa.v
                                                                              : UINT64_MAX;
}

uint64_t *bench_word(const struct map_bench *b, cordon_hpa hpa)
{
    return frames_ptr(b->ctx, hpa);
}

uint64_t *bench_leaf(const struct map_bench *b, const cordon_domain *d, uint32_t view, uint64_t gpa)
{
    struct pt_hit hit = {.leaf = false};

    assert_int_equal(pt_lookup(&d->forest, view, cordon_gpa_make(gpa), &hit), 0);
    assert_true(hit.leaf);
    return bench_word(b, hit.word);
}

bool bench_aborts(void (*fn)(void *arg), void *arg)
{
    const struct rlimit no_core = {0, 0};
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY);

        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(null, STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        fn(arg);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
