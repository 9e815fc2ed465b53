/*
 * What one change of a map costs, in a map of 1000 regions, that harts and devices have a view of.
 *
 * usage: bench_change [--op NAME] [--calls N] [--json]
 *
 * Prints nanoseconds a call and a page; nanoseconds are told, never judged. Instructions come from
 * callgrind, one operation at a time, each in a function of its own:
 *   valgrind --tool=callgrind --toggle-collect=op_grant_1 bench_change --op grant-1 --calls 1000
 * Goals: one leaf of any size 600 instructions; of 256 pages, 14 each in a run, 30 each scattered.
 */
#define _DEFAULT_SOURCE /* mmap's flags, clock_gettime */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/ctx.h"
#include "map/domain.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE (4 * GIB)
#define REGIONS 1000u
#define SCATTERED 256u
#define AT (4 * GIB)          /* regions stand there, two pages apart */
#define ONE (AT + 801 * PAGE) /* a page between two of them */
#define MANY (AT + 16 * MIB)  /* room for the scattered ones, in a table that stands */
#define LARGE (8 * GIB)       /* room for superpages */

struct bench {
    cordon_ctx *ctx;
    cordon_domain *d;
    struct cordon_extent one, many[SCATTERED], run, mega, giga;
};

static void must(int error)
{
    if (error != 0) {
        fprintf(stderr, "bench_change: %s\n", cordon_strerror(error));
        exit(2);
    }
}

static void grant(struct bench *b, uint64_t gpa, const struct cordon_extent *e, uint64_t count,
                  uint32_t perms)
{
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = CORDON_REGION_KEEP,
                           .gpa = {gpa},
                           .len = count * e->len,
                           .perms = perms,
                           .extents = e,
                           .extent_count = count};

    must(cordon_change(b->d, &op, 1));
}

static void change(struct bench *b, uint32_t kind, uint64_t gpa, uint64_t pages, uint32_t perms)
{
    struct cordon_op op = {.kind = kind, .gpa = {gpa}, .len = pages * PAGE, .perms = perms};

    must(cordon_change(b->d, &op, 1));
}

/* ---- one call each ------------------------------------------------------------------------ */

__attribute__((noinline)) static void op_grant_1(struct bench *b)
{
    grant(b, ONE, &b->one, 1, CORDON_READ);
}

__attribute__((noinline)) static void op_revoke_1(struct bench *b)
{
    change(b, CORDON_OP_REVOKE, ONE, 1, 0);
}

__attribute__((noinline)) static void op_protect_1(struct bench *b)
{
    change(b, CORDON_OP_PROTECT, AT + 400 * PAGE, 1, CORDON_READ);
}

__attribute__((noinline)) static void op_restore_1(struct bench *b)
{
    change(b, CORDON_OP_PROTECT, AT + 400 * PAGE, 1, CORDON_RW);
}

__attribute__((noinline)) static void op_grant_256(struct bench *b)
{
    grant(b, MANY, b->many, SCATTERED, CORDON_RW);
}

__attribute__((noinline)) static void op_revoke_256(struct bench *b)
{
    change(b, CORDON_OP_REVOKE, MANY, SCATTERED, 0);
}

__attribute__((noinline)) static void op_grant_run(struct bench *b)
{
    grant(b, MANY, &b->run, 1, CORDON_RW);
}

__attribute__((noinline)) static void op_revoke_run(struct bench *b)
{
    change(b, CORDON_OP_REVOKE, MANY, SCATTERED, 0);
}

__attribute__((noinline)) static void op_grant_2m(struct bench *b)
{
    grant(b, LARGE, &b->mega, 1, CORDON_RW);
}

__attribute__((noinline)) static void op_revoke_2m(struct bench *b)
{
    change(b, CORDON_OP_REVOKE, LARGE, 2 * MIB / PAGE, 0);
}

__attribute__((noinline)) static void op_grant_1g(struct bench *b)
{
    grant(b, LARGE + GIB, &b->giga, 1, CORDON_RW);
}

__attribute__((noinline)) static void op_revoke_1g(struct bench *b)
{
    change(b, CORDON_OP_REVOKE, LARGE + GIB, GIB / PAGE, 0);
}

/* ---- around them -------------------------------------------------------------------------- */

static const struct row {
    const char *name, *undo;
    void (*run)(struct bench *b), (*back)(struct bench *b);
    uint64_t pages;
} rows[] = {
    {"grant-1", "revoke-1", op_grant_1, op_revoke_1, 1},
    {"protect-1", "restore-1", op_protect_1, op_restore_1, 1},
    {"grant-256", "revoke-256", op_grant_256, op_revoke_256, SCATTERED},
    {"grant-run", "revoke-run", op_grant_run, op_revoke_run, SCATTERED},
    {"grant-2m", "revoke-2m", op_grant_2m, op_revoke_2m, 1},
    {"grant-1g", "revoke-1g", op_grant_1g, op_revoke_1g, 1},
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct cordon_extent run_of(struct bench *b, uint64_t len)
{
    struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = len, .align = len};
    struct cordon_extent e = {.len = len};

    must(cordon_run_alloc(b->ctx, &want, &e.hpa));
    return e;
}

static void fill(struct bench *b)
{
    size_t count = SCATTERED;
    struct cordon_extent e[1];

    for (uint64_t i = 0; i < REGIONS; i++) {
        size_t n = 1;

        must(cordon_scatter_alloc(b->ctx, PAGE, 1, i, e, &n));
        grant(b, AT + 2 * i * PAGE, e, 1, CORDON_RW);
    }
    must(cordon_scatter_alloc(b->ctx, SCATTERED * PAGE, 1, 7, b->many, &count));
    count = 1;
    must(cordon_scatter_alloc(b->ctx, PAGE, 1, 8, e, &count));
    grant(b, MANY + 300 * PAGE, e, 1, CORDON_READ);
    must(cordon_scatter_alloc(b->ctx, PAGE, 1, 9, &b->one, &count));
    must(cordon_scatter_alloc(b->ctx, PAGE, 1, 10, e, &count));
    grant(b, LARGE + 4 * MIB, e, 1, CORDON_READ); /* keeps the table that a superpage stands in */
    b->run = run_of(b, SCATTERED * PAGE);
    b->mega = run_of(b, 2 * MIB);
    b->giga = run_of(b, GIB);
}

static void open_bench(struct bench *b)
{
    const struct cordon_extent bank = {{RAM_BASE}, RAM_SIZE};
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = 1};
    uint32_t view;
    void *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(ram == MAP_FAILED ? -CORDON_ENOMEM : 0);
    cfg.ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE;
    must(cordon_ctx_create(&cfg, &b->ctx));
    must(cordon_domain_create(b->ctx, &dcfg, &b->d));
    must(domain_view_add(b->d, &view));
    fill(b);
}

static void print(const char *name, double ns, uint64_t calls, uint64_t pages, bool json)
{
    double each = ns / (double)calls;

    printf(json ? "{\"bench\": \"change\", \"op\": \"%s\", \"calls\": %llu, \"pages\": %llu, "
                  "\"ns_call\": %.2f, \"ns_page\": %.3f}\n"
                : "%-12s %8llu calls %4llu pages %10.1f ns/call %8.2f ns/page\n",
           name, (unsigned long long)calls, (unsigned long long)pages, each, each / (double)pages);
}

static void measure(struct bench *b, const struct row *row, uint64_t calls, bool json)
{
    double forth = 0, back = 0;

    for (uint64_t i = 0; i < calls; i++) {
        double start = now_ns(), middle;

        row->run(b);
        middle = now_ns();
        forth += middle - start;
        row->back(b);
        back += now_ns() - middle;
    }
    print(row->name, forth, calls, row->pages, json);
    print(row->undo, back, calls, row->pages, json);
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint64_t calls = 10000;
    const char *only = NULL;
    bool json = false, found = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--calls") == 0 && i + 1 < argc) {
            calls = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--op") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else {
            fprintf(stderr, "usage: bench_change [--op NAME] [--calls N] [--json]\n");
            return 2;
        }
    }
    if (calls == 0) {
        calls = 1;
    }
    open_bench(&b);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (only == NULL || strcmp(only, rows[i].name) == 0) {
            measure(&b, &rows[i], calls, json);
            found = true;
        }
    }
    if (!found) {
        fprintf(stderr, "bench_change: no operation is called %s\n", only);
    }
    return found ? 0 : 2;
}
