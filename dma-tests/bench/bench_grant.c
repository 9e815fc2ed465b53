/*
 * Views of a 16 GiB guest: what it costs to build them, beside what their parts cost alone.
 *
 * usage: bench_grant [--gib N] [--runs N] [--json] [--strict]
 *
 *   leaves   the leaf words alone, out of 4 KiB frames in random order, in tables that stand
 *            ready; beside memset of as many table frames, one by one
 *   grant    the whole of cordon_change for all of the guest, frames claimed, tables made; beside
 *            a loop that updates one random word and stores one leaf a frame
 *   large    the whole grant out of 2 MiB frames in random order, a frame; beside a turn of the
 *            same loop
 *   memory   tables and ownership words, in bytes a GiB of the guest
 *
 * Both sides of a ratio are measured in turns, in one run, each after the caches were filled with
 * something else; the best of each side are compared, since other programs only make them slower.
 * The guest's RAM is a sparse mapping that nobody touches (CORDON_RUN_NOZERO). --strict: exit
 * status 1 for a miss.
 */
#define _DEFAULT_SOURCE /* mmap's flags, clock_gettime */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/ctx.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define LEAF_BITS UINT64_C(0xdf) /* V, R, W, X, U, A, D */
#define COOL (96 * MIB)

struct bench {
    uint64_t len; /* of the guest */
    cordon_ctx *ctx;
    cordon_domain *d;
    struct cordon_extent *small, *large; /* its frames, in random order */
    uint64_t *words, *leaves;            /* the loop's own */
    uint8_t *cool;
    uint64_t seed;
    unsigned runs;
    bool json, missed;
};

struct figure {
    const char *name, *ours, *theirs;
    double a, b; /* seconds, the best */
    uint64_t pieces;
    double goal;
};

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_grant: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(struct bench *b)
{
    b->seed ^= b->seed << 13;
    b->seed ^= b->seed >> 7;
    b->seed ^= b->seed << 17;
    return b->seed;
}

static void *map_memory(uint64_t len, bool touch)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (touch ? MAP_POPULATE : 0), -1, 0);

    must(p == MAP_FAILED ? -CORDON_ENOMEM : 0, "memory");
    return p;
}

/* ---- setting up --------------------------------------------------------------------------- */

static struct cordon_extent *shuffled(struct bench *b, uint64_t hpa, uint64_t size)
{
    uint64_t count = b->len / size;
    struct cordon_extent *e = map_memory(count * sizeof(*e), true);

    for (uint64_t i = 0; i < count; i++) {
        e[i] = (struct cordon_extent){{hpa + i * size}, size};
    }
    for (uint64_t i = count; i > 1; i--) {
        uint64_t k = next_random(b) % i;
        struct cordon_extent t = e[k];

        e[k] = e[i - 1];
        e[i - 1] = t;
    }
    return e;
}

static uint64_t run_alloc(struct bench *b)
{
    struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = b->len, .align = 2 * MIB};
    cordon_hpa hpa;

    must(cordon_run_alloc(b->ctx, &want, &hpa), "a run for the guest");
    return hpa.v;
}

static void open_bench(struct bench *b)
{
    uint64_t ram_len = b->len * 2 + b->len / 16 + 64 * MIB;
    const struct cordon_extent bank = {{RAM_BASE}, ram_len};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = 1};
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};

    cfg.ram_offset = (uint64_t)(uintptr_t)map_memory(ram_len, false) - RAM_BASE;
    must(cordon_ctx_create(&cfg, &b->ctx), "context");
    must(cordon_domain_create(b->ctx, &dcfg, &b->d), "domain");
    b->small = shuffled(b, run_alloc(b), PAGE);
    b->large = shuffled(b, run_alloc(b), 2 * MIB);
    b->words = map_memory(b->len / PAGE * sizeof(uint64_t), true);
    b->leaves = map_memory(b->len / PAGE * sizeof(uint64_t), true);
    b->cool = map_memory(COOL, true);
}

/* Fill the caches with something else. */
static double start(struct bench *b)
{
    for (uint64_t i = 0; i < COOL; i += 64) {
        b->cool[i]++;
    }
    return now();
}

/* ---- what is measured --------------------------------------------------------------------- */

static void change(struct bench *b, uint32_t kind, const struct cordon_extent *e, uint64_t count)
{
    struct cordon_op op = {.kind = kind, .gpa = {GIB}, .len = b->len};

    if (kind == CORDON_OP_GRANT) {
        op.flags = CORDON_REGION_KEEP;
        op.perms = CORDON_RWX;
        op.extents = e;
        op.extent_count = count;
    }
    must(cordon_change(b->d, &op, 1), "change");
}

/* One random word update and one leaf store a frame. */
static double loop(struct bench *b)
{
    const struct cordon_extent *e = b->small;
    uint64_t count = b->len / PAGE, base = e[0].hpa.v;
    uint64_t *words = b->words, *leaves = b->leaves;

    for (uint64_t i = 0; i < count; i++) {
        base = e[i].hpa.v < base ? e[i].hpa.v : base;
    }
    double since = start(b);

    for (uint64_t i = 0; i < count; i++) {
        uint64_t hpa = e[i].hpa.v;
        uint64_t *word = &words[(hpa - base) / PAGE];

        *word = (*word & 7) | i << 16;
        *(volatile uint64_t *)&leaves[i] = LEAF_BITS | hpa >> 12 << 10;
    }
    return now() - since;
}

static double whole_grant(struct bench *b, const struct cordon_extent *e, uint64_t size)
{
    double since = start(b);

    change(b, CORDON_OP_GRANT, e, b->len / size);
    double end = now();

    change(b, CORDON_OP_REVOKE, NULL, 0);
    return end - since;
}

/* Leaves alone: the tables are there already, for a view of 4 KiB leaves was just emptied in them.
 */
static double leaf_words(struct bench *b)
{
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};
    struct pt_grant grant = {
        .gpa = {GIB}, .extents = b->small, .count = b->len / PAGE, .perms = CORDON_RWX, .views = 1};

    must(pt_reserve_grant(&b->d->forest, &grant, &pool), "tables");
    double since = start(b);

    pt_map_grant(&b->d->forest, &grant, &pool, &retire);
    double end = now();

    pt_unmap(&b->d->forest, grant.gpa, b->len / PAGE, 1, &pool, &retire);
    pt_pool_free(&b->d->forest, &pool);
    pt_retire_free(&b->d->forest, &retire);
    return end - since;
}

static double set_tables(struct bench *b)
{
    uint64_t words = PAGE / sizeof(uint64_t);
    double since = start(b);

    for (uint64_t i = 0; i < b->len / PAGE; i += words) {
        memset(&b->leaves[i], (int)(i / words), PAGE);
    }
    double end = now();

    b->seed += *(volatile uint64_t *)&b->leaves[b->seed % (b->len / PAGE)];
    return end - since;
}

/* ---- telling ------------------------------------------------------------------------------ */

static double best(double before, double seconds)
{
    return before == 0 || seconds < before ? seconds : before;
}

static void tell(struct bench *b, struct figure *f)
{
    double ours = f->a * 1e9 / (double)f->pieces;
    double theirs = f->b * 1e9 / (double)(b->len / PAGE);
    bool met = ours <= theirs * f->goal;

    b->missed |= !met;
    if (b->json) {
        printf("{\"bench\": \"grant\", \"name\": \"%s\", \"ours_ns\": %.3f, \"theirs_ns\": %.3f, "
               "\"ratio\": %.3f, \"goal\": %.2f, \"met\": %s}\n",
               f->name, ours, theirs, ours / theirs, f->goal, met ? "true" : "false");
        return;
    }
    printf("%-8s %s %.2f ns, %s %.2f ns a piece: ratio %.2f, GOAL %.2f %s\n", f->name, f->ours,
           ours, f->theirs, theirs, ours / theirs, f->goal, met ? "met" : "missed");
}

static void tell_memory(struct bench *b)
{
    struct cordon_memory_stats before, after;

    cordon_memory_stats(b->ctx, &before);
    change(b, CORDON_OP_GRANT, b->small, b->len / PAGE);
    cordon_memory_stats(b->ctx, &after);
    double gib = (double)b->len / (double)GIB;
    double tables = (double)(after.table - before.table) / gib;
    double words = (double)b->len / PAGE * 8 / gib + (double)b->len / (2 * MIB) * 16 / gib;

    change(b, CORDON_OP_REVOKE, NULL, 0);
    printf(b->json ? "{\"bench\": \"grant\", \"name\": \"memory\", \"tables_gib\": %.0f, "
                     "\"ownership_gib\": %.0f}\n"
                   : "memory   out of 4 KiB frames: tables %.0f, ownership %.0f bytes a GiB\n",
           tables, words);
}

static void measure(struct bench *b)
{
    static struct figure leaves = {
        .name = "leaves", .ours = "leaf words", .theirs = "memset of the tables", .goal = 2.0};
    static struct figure grant = {
        .name = "grant", .ours = "whole grant", .theirs = "loop", .goal = 1.5};
    static struct figure large = {
        .name = "large", .ours = "whole grant", .theirs = "loop", .goal = 3.0};

    leaves.pieces = grant.pieces = b->len / PAGE;
    large.pieces = b->len / (2 * MIB);
    (void)leaf_words(b); /* what is touched for the first time is not measured */
    (void)whole_grant(b, b->small, PAGE);
    (void)whole_grant(b, b->large, 2 * MIB);
    for (unsigned i = 0; i < b->runs; i++) {
        leaves.a = best(leaves.a, leaf_words(b));
        leaves.b = best(leaves.b, set_tables(b));
        grant.a = best(grant.a, whole_grant(b, b->small, PAGE));
        grant.b = best(grant.b, loop(b));
        large.a = best(large.a, whole_grant(b, b->large, 2 * MIB));
    }
    large.b = grant.b;
    tell(b, &leaves);
    tell(b, &grant);
    tell(b, &large);
    tell_memory(b);
}

int main(int argc, char **argv)
{
    static struct bench b = {.len = 16 * GIB, .runs = 7, .seed = 88172645463325252u};
    bool strict = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            b.json = true;
        } else if (strcmp(argv[i], "--strict") == 0) {
            strict = true;
        } else if (strcmp(argv[i], "--gib") == 0 && i + 1 < argc) {
            b.len = strtoull(argv[++i], NULL, 10) * GIB;
        } else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            b.runs = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_grant [--gib N] [--runs N] [--json] [--strict]\n");
            return 2;
        }
    }
    if (b.len == 0 || b.len > 64 * GIB || b.runs == 0) {
        fprintf(stderr, "bench_grant: --gib is 1 to 64, --runs at least 1\n");
        return 2;
    }
    open_bench(&b);
    measure(&b);
    return strict && b.missed ? 1 : 0;
}
