/*
 * How the cost of a map grows with its regions.
 *
 * usage: bench_regions [--regions N] [--json]
 *
 * Makes a map of N regions of one page (default 1000), each backed by a frame from somewhere, a
 * page apart from the next; then finds, puts in and takes out a region, 64 times each, and audits
 * the whole. Prints nanoseconds. Under callgrind with --collect-atstart=no, a dump is written for
 * each operation, named by it:
 *   valgrind --tool=callgrind --collect-atstart=no bench_regions --regions 1000000
 */
#define _DEFAULT_SOURCE /* mmap's flags, clock_gettime */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include <cordon/cordon.h>

#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define BATCH 4096u
#define TIMES 64u
#define MOST 4000000u

struct bench {
    cordon_ctx *ctx;
    cordon_domain *d;
    struct cordon_extent frames[BATCH + 1];
    struct cordon_op ops[BATCH];
    uint64_t regions;
};

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_regions: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static struct cordon_op grant_of(uint64_t page, const struct cordon_extent *frame)
{
    return (struct cordon_op){.kind = CORDON_OP_GRANT,
                              .flags = CORDON_REGION_KEEP,
                              .gpa = {page * PAGE},
                              .len = PAGE,
                              .perms = CORDON_RW,
                              .extents = frame,
                              .extent_count = 1};
}

/* Regions stand on the even pages; the odd ones are free. */
static void fill(struct bench *b)
{
    for (uint64_t at = 0; at < b->regions; at += BATCH) {
        size_t count = b->regions - at < BATCH ? b->regions - at : BATCH, got = count;

        must(cordon_scatter_alloc(b->ctx, count * PAGE, 1, at, b->frames, &got), "frames");
        for (size_t i = 0; i < count; i++) {
            b->ops[i] = grant_of(2 * (at + i), &b->frames[i]);
        }
        must(cordon_change(b->d, b->ops, count), "a region");
    }
    size_t one = 1;

    must(cordon_scatter_alloc(b->ctx, PAGE, 1, 0, &b->frames[BATCH], &one), "a frame");
}

static void open_bench(struct bench *b)
{
    const struct cordon_extent bank = {{RAM_BASE}, (b->regions * 2 + 65536) * PAGE};
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = 1};
    void *ram = mmap(NULL, bank.len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(ram == MAP_FAILED ? -CORDON_ENOMEM : 0, "memory");
    cfg.ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE;
    must(cordon_ctx_create(&cfg, &b->ctx), "context");
    must(cordon_domain_create(b->ctx, &dcfg, &b->d), "domain");
    fill(b);
}

/* ---- one call each ------------------------------------------------------------------------- */

/* An odd page somewhere in the map: the golden ratio's multiples spread evenly. */
static uint64_t gap(const struct bench *b, uint64_t i)
{
    return (i * UINT64_C(11400714819323198485) >> 20) % b->regions * 2 + 1;
}

static void op_lookup(struct bench *b, uint64_t i)
{
    struct cordon_region_info found = {0};

    must(cordon_region_find(b->d, (cordon_gpa){(gap(b, i) - 1) * PAGE}, false, &found), "lookup");
}

static void op_insert(struct bench *b, uint64_t i)
{
    struct cordon_op op = grant_of(gap(b, i), &b->frames[BATCH]);

    op.perms = CORDON_READ; /* other rights than its neighbours': a region of its own */
    must(cordon_change(b->d, &op, 1), "insert");
}

static void op_remove(struct bench *b, uint64_t i)
{
    struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = {gap(b, i) * PAGE}, .len = PAGE};

    must(cordon_change(b->d, &op, 1), "remove");
}

static void op_audit(struct bench *b, uint64_t i)
{
    struct cordon_finding first = {0};

    (void)i;
    must(cordon_audit(b->ctx, &first), "audit");
}

/* ---- measuring ----------------------------------------------------------------------------- */

struct tally {
    const char *name;
    void (*run)(struct bench *b, uint64_t i);
    double ns;
    uint64_t times;
};

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void once(struct bench *b, struct tally *t, uint64_t i)
{
    double start = now_ns();

    CALLGRIND_TOGGLE_COLLECT;
    t->run(b, i);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(t->name);
    t->ns += now_ns() - start;
    t->times++;
}

static void measure(struct bench *b, bool json)
{
    struct tally t[] = {
        {"lookup", op_lookup, 0, 0},
        {"insert", op_insert, 0, 0},
        {"remove", op_remove, 0, 0},
        {"audit", op_audit, 0, 0},
    };

    for (uint64_t i = 0; i < TIMES; i++) {
        for (unsigned k = 0; k < 3; k++) {
            once(b, &t[k], i);
        }
    }
    once(b, &t[3], 0);
    for (unsigned k = 0; k < 4; k++) {
        printf(json ? "{\"bench\": \"regions\", \"op\": \"%s\", \"regions\": %llu, \"ns\": %.1f}\n"
                    : "%-8s in %8llu regions %14.1f ns\n",
               t[k].name, (unsigned long long)b->regions, t[k].ns / (double)t[k].times);
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.regions = 1000};
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--regions") == 0 && i + 1 < argc) {
            b.regions = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_regions [--regions N] [--json]\n");
            return 2;
        }
    }
    if (b.regions == 0 || b.regions > MOST) {
        fprintf(stderr, "bench_regions: --regions is 1 to %u\n", MOST);
        return 2;
    }
    open_bench(&b);
    measure(&b, json);
    return 0;
}
