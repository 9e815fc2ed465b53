/*
 * Many guests in one context: what setting them up costs, and what their tables take.
 *
 * usage: bench_fleet [--domains N] [--json]
 *
 * N domains (default 1024) of 4 GiB each out of 2 MiB frames in random order, one in a hundred of
 * them cut into 4 KiB frames in random order, and four devices a domain behind one software IOMMU.
 * Nobody touches the guests' memory: it is a sparse mapping as large as the machine that is told.
 */
#define _DEFAULT_SOURCE /* mmap's flags, clock_gettime */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "model/model_port.h"
#include <cordon/cordon.h>

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define LARGE (2 * MIB)
#define RAM_BASE UINT64_C(0x80000000)
#define IOMMU_BASE UINT64_C(0x3010000)
#define GUEST (4 * GIB)
#define CUT 20u /* of a guest's 2048 large frames */
#define DEVICES 4u
#define RUN (16 * GIB)
#define EXTENTS (GUEST / LARGE - CUT + CUT * (LARGE / PAGE))

struct fleet {
    uint64_t domains;
    cordon_ctx *ctx;
    cordon_model *model;
    cordon_iommu *iommu;
    struct cordon_extent *frames; /* of all, 2 MiB each, in random order */
    struct cordon_extent extents[EXTENTS];
    uint64_t seed;
    double grants, attaches; /* seconds */
};

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_fleet: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(struct fleet *f)
{
    f->seed ^= f->seed << 13;
    f->seed ^= f->seed >> 7;
    f->seed ^= f->seed << 17;
    return f->seed;
}

static void shuffle(struct fleet *f, struct cordon_extent *e, uint64_t count)
{
    for (uint64_t i = count; i > 1; i--) {
        uint64_t k = next_random(f) % i;
        struct cordon_extent t = e[k];

        e[k] = e[i - 1];
        e[i - 1] = t;
    }
}

/* ---- the machine --------------------------------------------------------------------------- */

static void hart_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user, (void)harts, (void)vmid, (void)gpa, (void)len; /* no hart runs a guest here */
}

static uint64_t time_us(void *user)
{
    (void)user;
    return (uint64_t)(now() * 1e6);
}

/* Guests' memory, HELD, as extents of 2 MiB. */
static void take_memory(struct fleet *f)
{
    uint64_t count = f->domains * GUEST / LARGE, n = 0;
    struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = RUN, .align = LARGE};

    f->frames = malloc(count * sizeof(*f->frames));
    must(f->frames == NULL ? -CORDON_ENOMEM : 0, "memory");
    while (n < count) {
        cordon_hpa run;

        must(cordon_run_alloc(f->ctx, &want, &run), "the guests' memory");
        for (uint64_t at = 0; at < RUN && n < count; at += LARGE) {
            f->frames[n++] = (struct cordon_extent){{run.v + at}, LARGE};
        }
    }
    shuffle(f, f->frames, count);
}

static void open_fleet(struct fleet *f)
{
    uint64_t guests = (f->domains * GUEST + RUN - 1) / RUN * RUN;
    const struct cordon_extent bank = {{RAM_BASE}, guests + guests / 64 + RUN};
    static struct cordon_port_ops port;
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .cookie = &port,
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = 1};
    const struct cordon_iommu_config icfg = {
        .size = sizeof(icfg), .base = {IOMMU_BASE}, .max_device_id = 0xffff};
    struct cordon_model_config mcfg = {
        .size = sizeof(mcfg), .ram_hpa = RAM_BASE, .ram_len = bank.len};

    mcfg.ram = mmap(NULL, bank.len, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(mcfg.ram == MAP_FAILED ? -CORDON_ENOMEM : 0, "address space");
    must(cordon_model_create(&mcfg, &f->model) == 0 ? 0 : -CORDON_ENOMEM, "the software IOMMU");
    port = model_port(f->model);
    port.hart_fence = hart_fence;
    port.time_us = time_us;
    cfg.ram_offset = (uint64_t)(uintptr_t)mcfg.ram - RAM_BASE;
    must(cordon_ctx_create(&cfg, &f->ctx), "context");
    must(cordon_iommu_add(f->ctx, &icfg, &f->iommu), "IOMMU");
    take_memory(f);
}

/* ---- the guests ---------------------------------------------------------------------------- */

/* The frames of guest I: the first CUT of them in pages. */
static uint64_t list_frames(struct fleet *f, uint64_t i)
{
    const struct cordon_extent *mine = &f->frames[i * (GUEST / LARGE)];
    uint64_t n = 0;

    for (uint64_t k = 0; k < CUT; k++) {
        for (uint64_t at = 0; at < LARGE; at += PAGE) {
            f->extents[n++] = (struct cordon_extent){{mine[k].hpa.v + at}, PAGE};
        }
    }
    shuffle(f, f->extents, n);
    memcpy(&f->extents[n], &mine[CUT], (GUEST / LARGE - CUT) * sizeof(*mine));
    return n + GUEST / LARGE - CUT;
}

static void attach_devices(struct fleet *f, cordon_domain *d, uint64_t i)
{
    for (uint32_t k = 0; k < DEVICES; k++) {
        struct cordon_device_config cfg = {.size = sizeof(cfg),
                                           .device_id = (uint32_t)i * DEVICES + k,
                                           .drain = CORDON_DRAIN_IOMMU,
                                           .name = "device"};
        cordon_device *dev;

        must(cordon_device_add(f->iommu, &cfg, &dev), "device");
        must(cordon_device_attach(d, dev, 0), "attach");
    }
}

/* A device of guest I must reach its own memory. */
static void reach(struct fleet *f, uint64_t i)
{
    struct cordon_model_request r = {.size = sizeof(r),
                                     .device_id = (uint32_t)i * DEVICES + DEVICES - 1,
                                     .iova = GUEST - LARGE,
                                     .access = CORDON_MODEL_WRITE};
    struct cordon_model_target t;
    uint64_t last = (i + 1) * (GUEST / LARGE) - 1;
    bool good = cordon_model_translate(f->model, &r, &t) == 0 && t.hpa == f->frames[last].hpa.v;

    must(good ? 0 : -CORDON_ECORRUPT, "a device reaches its guest");
}

static void add_guest(struct fleet *f, uint64_t i)
{
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = CORDON_REGION_KEEP,
                           .len = GUEST,
                           .perms = CORDON_RWX,
                           .extents = f->extents,
                           .extent_count = list_frames(f, i)};
    cordon_domain *d;
    double start = now(), middle;

    must(cordon_domain_create(f->ctx, &dcfg, &d), "domain");
    must(cordon_change(d, &op, 1), "grant");
    middle = now();
    attach_devices(f, d, i);
    f->attaches += now() - middle;
    f->grants += middle - start;
    reach(f, i);
}

static void tell(struct fleet *f, double audit, bool json)
{
    struct cordon_memory_stats s;
    double gib = (double)f->domains * (double)GUEST / (double)GIB;

    cordon_memory_stats(f->ctx, &s);
    printf(json ? "{\"bench\": \"fleet\", \"domains\": %llu, \"grant_us\": %.1f, \"attach_us\": "
                  "%.2f, \"audit_s\": %.3f, \"tables_gib\": %.0f, \"ownership_gib\": %.0f}\n"
                : "%llu domains: grant %.1f us a domain, attach %.2f us a device, audit %.3f s, "
                  "tables %.0f and ownership %.0f bytes a GiB\n",
           (unsigned long long)f->domains, f->grants * 1e6 / (double)f->domains,
           f->attaches * 1e6 / (double)(f->domains * DEVICES), audit, (double)s.table / gib,
           (double)s.ownership / gib);
}

int main(int argc, char **argv)
{
    static struct fleet f = {.domains = 1024, .seed = 88172645463325252u};
    struct cordon_finding first;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--domains") == 0 && i + 1 < argc) {
            f.domains = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_fleet [--domains N] [--json]\n");
            return 2;
        }
    }
    if (f.domains == 0 || f.domains > 2048) {
        fprintf(stderr, "bench_fleet: --domains is 1 to 2048\n");
        return 2;
    }
    open_fleet(&f);
    for (uint64_t i = 0; i < f.domains; i++) {
        add_guest(&f, i);
    }
    double start = now();

    must(cordon_audit(f.ctx, &first), "audit");
    tell(&f, now() - start, json);
    return 0;
}
