/*
 * What the table layer alone costs: words and table frames, no regions and no ownership of memory.
 *
 * usage: bench_pt [--op NAME] [--calls N] [--json]
 *
 * Prints nanoseconds a call and a page for each operation; nanoseconds are told, never judged.
 * Instructions come from callgrind, one operation at a time; each op_... function is one call:
 *   valgrind --tool=callgrind --toggle-collect='op_map_1' bench_pt --op map-1 --calls 1000
 * Operations that undo each other run in turns; --op NAME runs the turns of that one.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, posix_memalign */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/ctx.h"
#include "pt/pt.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define RAM_SIZE (64 * MIB)
#define AT (8 * GIB) /* where the small operations play */
#define BACKING (UINT64_C(1) << 40)
#define FILL (1 * GIB) /* what fill maps, in 4 KiB leaves */

struct bench {
    struct cordon_ctx *ctx;
    struct pt_forest f;
    struct pt_retire retire;
    struct cordon_extent *frames; /* FILL's worth of single frames in random order */
    uint64_t calls;
    uint64_t sum; /* of what lookups found, so that they are not optimised away */
};

/* ---- one call each ------------------------------------------------------------------------ */

static void must(int error)
{
    if (error != 0) {
        fprintf(stderr, "bench_pt: error %d\n", error);
        exit(2);
    }
}

/* Give back what a change left over: rarely anything. */
static inline void settle(struct bench *b, struct pt_pool *pool)
{
    if (pool->count != 0) {
        pt_pool_free(&b->f, pool);
    }
    if (b->retire.count != 0) {
        pt_retire_free(&b->f, &b->retire);
    }
}

static inline void map(struct bench *b, uint64_t gpa, uint64_t pages)
{
    struct pt_run run = {cordon_gpa_make(gpa), cordon_hpa_make(BACKING + PAGE), pages, CORDON_RW,
                         b->f.views};
    struct pt_pool pool = {0};

    must(pt_reserve_map(&b->f, &run, &pool));
    pt_map(&b->f, &run, &pool, &b->retire);
    settle(b, &pool);
}

static inline void unmap(struct bench *b, uint64_t gpa, uint64_t pages)
{
    struct pt_pool pool = {0};

    must(pt_reserve_change(&b->f, cordon_gpa_make(gpa), pages, b->f.views, &pool));
    pt_unmap(&b->f, cordon_gpa_make(gpa), pages, b->f.views, &pool, &b->retire);
    settle(b, &pool);
}

/* Not inlined, of one name for each operation, and never left by a jump: callgrind counts them
 * apart. */
#define CALL __attribute__((noinline)) static void

CALL op_map_1(struct bench *b)
{
    map(b, AT + 3 * PAGE, 1);
    b->calls++;
}

CALL op_unmap_1(struct bench *b)
{
    unmap(b, AT + 3 * PAGE, 1);
    b->calls++;
}

/* By turns in two leaf tables: what was met last is of no use. */
CALL op_map_far(struct bench *b)
{
    map(b, AT + (b->calls / 2 % 2) * 32 * GIB + 3 * PAGE, 1);
    b->calls++;
}

CALL op_unmap_far(struct bench *b)
{
    unmap(b, AT + (b->calls / 2 % 2) * 32 * GIB + 3 * PAGE, 1);
    b->calls++;
}

CALL op_map_256(struct bench *b)
{
    map(b, AT + 256 * PAGE, 256);
    b->calls++;
}

CALL op_unmap_256(struct bench *b)
{
    unmap(b, AT + 256 * PAGE, 256);
    b->calls++;
}

CALL op_map_new(struct bench *b)
{
    map(b, AT + 64 * GIB, 1);
    b->calls++;
}

CALL op_unmap_new(struct bench *b)
{
    unmap(b, AT + 64 * GIB, 1);
    b->calls++;
}

CALL op_lookup(struct bench *b)
{
    struct pt_hit hit;

    must(pt_lookup(&b->f, 0, cordon_gpa_make(AT), &hit));
    b->sum += hit.pte;
    b->calls++;
}

CALL op_grant_256(struct bench *b)
{
    struct pt_grant grant = {
        cordon_gpa_make(AT + 256 * PAGE), b->frames, 256, CORDON_RW, b->f.views, 0};
    struct pt_pool pool = {0};

    must(pt_reserve_grant(&b->f, &grant, &pool));
    pt_map_grant(&b->f, &grant, &pool, &b->retire);
    settle(b, &pool);
    b->calls++;
}

CALL op_fill(struct bench *b)
{
    struct pt_grant grant = {cordon_gpa_make(0), b->frames, FILL / PAGE, CORDON_RW, b->f.views, 0};
    struct pt_pool pool = {0};

    must(pt_reserve_grant(&b->f, &grant, &pool));
    pt_map_grant(&b->f, &grant, &pool, &b->retire);
    settle(b, &pool);
    b->calls++;
}

CALL op_clear(struct bench *b)
{
    unmap(b, 0, FILL / PAGE);
    b->calls++;
}

/* The same bytes of table, written by memset. */
CALL op_memset(struct bench *b)
{
    memset((uint8_t *)(uintptr_t)(b->ctx->frames.offset + RAM_BASE + RAM_SIZE), (int)b->sum | 1,
           FILL / PAGE * 8);
    b->calls++;
}

/* ---- measuring ---------------------------------------------------------------------------- */

typedef void (*call)(struct bench *b);

/* An operation, and the one that undoes it. */
static const struct row {
    const char *name, *undo;
    call run, back;
    uint64_t pages;   /* a call */
    uint64_t divisor; /* calls are divided by this: slow ones */
    bool two_views;
} rows[] = {
    {"map-1", "unmap-1", op_map_1, op_unmap_1, 1, 1, false},
    {"map-far", "unmap-far", op_map_far, op_unmap_far, 1, 1, false},
    {"map-256", "unmap-256", op_map_256, op_unmap_256, 256, 16, false},
    {"map-new", "unmap-new", op_map_new, op_unmap_new, 1, 4, false},
    {"grant-256", "unmap-256", op_grant_256, op_unmap_256, 256, 16, false},
    {"lookup", NULL, op_lookup, NULL, 1, 1, false},
    {"fill", "clear", op_fill, op_clear, FILL / PAGE, 10000, false},
    {"memset", NULL, op_memset, NULL, FILL / PAGE, 10000, false},
    {"map-1-shared", "unmap-1-shared", op_map_1, op_unmap_1, 1, 1, true},
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void open_bench(struct bench *b)
{
    struct cordon_extent bank = {{RAM_BASE}, RAM_SIZE}, none = {{0}, 0};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .reserved = &none,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14};
    uint64_t seed = 88172645463325252u, pages = FILL / PAGE;
    void *ram;

    must(posix_memalign(&ram, 2 * MIB, RAM_SIZE + FILL / PAGE * 8));
    memset(ram, 0, RAM_SIZE + FILL / PAGE * 8);
    cfg.ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE;
    must(cordon_ctx_create(&cfg, &b->ctx));
    must(pt_forest_init(&b->f, b->ctx, &pt_sv39x4));
    b->frames = malloc(pages * sizeof(*b->frames));
    if (b->frames == NULL) {
        exit(2);
    }
    for (uint64_t i = 0; i < pages; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        b->frames[i] = (struct cordon_extent){{(seed & 0xfffffff) * PAGE}, PAGE};
    }
    map(b, AT, 1); /* these keep the leaf tables of the small operations */
    map(b, AT + 32 * GIB, 1);
}

static void print(const char *name, double ns, uint64_t calls, uint64_t pages, bool json)
{
    double each = ns / (double)calls;

    printf(json ? "{\"op\": \"%s\", \"calls\": %llu, \"pages\": %llu, \"ns_call\": %.2f, "
                  "\"ns_page\": %.3f}\n"
                : "%-16s %10llu calls %8llu pages %12.1f ns/call %8.2f ns/page\n",
           name, (unsigned long long)calls, (unsigned long long)pages, each, each / (double)pages);
}

static void measure(struct bench *b, const struct row *row, uint64_t calls, bool json)
{
    double forth = 0, back = 0;
    struct pt_retire retire = {0};

    calls = calls / row->divisor > 0 ? calls / row->divisor : 1;
    if (row->two_views) {
        must(pt_view_add(&b->f, 1));
        must(pt_view_link(&b->f, 0, 1, cordon_gpa_make(0), 0));
    }
    for (uint64_t i = 0; i < calls; i++) {
        double start = now_ns(), middle;

        row->run(b);
        middle = now_ns();
        forth += middle - start;
        if (row->back != NULL) {
            row->back(b);
            back += now_ns() - middle;
        }
    }
    if (row->two_views) {
        pt_view_remove(&b->f, 1, &retire);
        pt_retire_free(&b->f, &retire);
    }
    print(row->name, forth, calls, row->pages, json);
    if (row->back != NULL) {
        print(row->undo, back, calls, row->pages, json);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    uint64_t calls = 100000;
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
            fprintf(stderr, "usage: bench_pt [--op NAME] [--calls N] [--json]\n");
            return 2;
        }
    }
    open_bench(&b);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (only == NULL || strcmp(only, rows[i].name) == 0) {
            measure(&b, &rows[i], calls, json);
            found = true;
        }
    }
    if (!found) {
        fprintf(stderr, "bench_pt: no operation is called %s\n", only);
    }
    return found ? 0 : 2;
}
