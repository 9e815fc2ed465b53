/*
 * Dirty logging of 16 GiB: what harvests cost, by how much was written; and large leaves cut up and
 * put together.
 *
 * usage: bench_log [--gib N] [--turns N] [--json]
 *
 * RAM is simulated: no page of it is touched but the tables. Prints nanoseconds a turn, and beside
 * the harvests a copy of the bitmap. Under callgrind with --collect-atstart=no, a dump is written
 * for each operation, named by it.
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
#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define RAM_BASE (4 * GIB)
#define LEAVES 512u
#define PTE_D UINT64_C(0x80)
#define MOST_GIB 64u

struct bench {
    cordon_ctx *ctx;
    cordon_domain *d;
    uint64_t offset; /* from an HPA to a pointer */
    uint64_t gib, pages;
    uint64_t **table; /* each leaf table's words */
    uint64_t *map, *copy;
    uint64_t fences;
    uint64_t dirty; /* that the last harvest found */
};

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_log: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static void fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    struct bench *b = user;

    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    b->fences++;
}

static void mark(const struct bench *b, uint64_t gpa, uint64_t len, uint32_t flags)
{
    struct cordon_op op = {.kind = CORDON_OP_MARK, .flags = flags, .gpa = {gpa}, .len = len};

    must(cordon_change(b->d, &op, 1), "mark");
}

static void find_tables(struct bench *b)
{
    for (uint64_t i = 0; i < b->pages / LEAVES; i++) {
        struct cordon_walk walk = {.size = sizeof(walk)};

        must(cordon_walk(b->d, 0, (cordon_gpa){i * LEAVES * PAGE}, 0, &walk), "walk");
        must(walk.hit.level == 0 ? 0 : -CORDON_ECORRUPT, "a small leaf");
        b->table[i] = (uint64_t *)(uintptr_t)(walk.step[walk.step_count - 1].word.v + b->offset);
    }
}

static void open_bench(struct bench *b)
{
    static struct cordon_port_ops ops = {.size = sizeof(ops), .hart_fence = fence};
    const struct cordon_extent bank = {{RAM_BASE}, (b->gib + 2) * GIB};
    struct cordon_entry entry = {.size = sizeof(entry)};
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};
    const struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = GIB, .align = GIB};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .cookie = &ops,
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14};
    void *ram = mmap(NULL, bank.len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(ram == MAP_FAILED ? -CORDON_ENOMEM : 0, "memory");
    ops.user = b;
    b->offset = cfg.ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE;
    b->pages = b->gib * GIB / PAGE;
    b->table = calloc(b->pages / LEAVES, sizeof(*b->table));
    b->map = calloc(b->pages / 64, sizeof(*b->map));
    b->copy = calloc(b->pages / 64, sizeof(*b->copy));
    must(b->table && b->map && b->copy ? 0 : -CORDON_ENOMEM, "maps");
    must(cordon_ctx_create(&cfg, &b->ctx), "context");
    must(cordon_domain_create(b->ctx, &dcfg, &b->d), "domain");
    must(cordon_domain_enter(b->d, 0, &entry), "hart"); /* somebody is to be told */
    for (uint64_t at = 0; at < b->gib; at++) {
        struct cordon_extent e = {.len = GIB};
        struct cordon_op op = {.kind = CORDON_OP_GRANT,
                               .gpa = {at * GIB},
                               .len = GIB,
                               .perms = CORDON_RWX,
                               .extents = &e,
                               .extent_count = 1};

        must(cordon_run_alloc(b->ctx, &want, &e.hpa), "a GiB");
        must(cordon_change(b->d, &op, 1), "grant");
    }
}

/* ---- operations --------------------------------------------------------------------------- */

/* Every STEP-th page is written to. */
static void write_pages(struct bench *b, uint64_t step)
{
    for (uint64_t i = 0; i < b->pages; i += step) {
        b->table[i / LEAVES][i % LEAVES] |= PTE_D;
    }
}

static void op_harvest(struct bench *b)
{
    const struct cordon_harvest what = {
        .size = sizeof(what), .len = b->pages * PAGE, .dirty = b->map};
    struct cordon_harvested out;

    must(cordon_log_harvest(b->d, &what, &out), "harvest");
    b->dirty = out.dirty;
}

static void op_copy(struct bench *b)
{
    memcpy(b->copy, b->map, b->pages / 8);
    __asm__ volatile("" : : "r"(b->copy) : "memory");
}

static void op_split(struct bench *b)
{
    mark(b, 0, GIB, CORDON_REGION_LOG);
}

/* What the hypervisor does under one hold of the lock (hyp/manage/log.c, hyp/vm/coalesce.c). */
static void op_split_piece(struct bench *b)
{
    mark(b, 0, 16 * MIB, CORDON_REGION_LOG);
}

static void op_merge_piece(struct bench *b)
{
    const struct cordon_coalesce what = {.size = sizeof(what), .len = GIB, .budget = 8};
    struct cordon_coalesced out;

    must(cordon_coalesce(b->d, &what, &out), "coalesce");
}

static void op_merge(struct bench *b)
{
    struct cordon_coalesce what = {.size = sizeof(what), .len = GIB};
    struct cordon_coalesced out;

    while (what.len > 0) {
        must(cordon_coalesce(b->d, &what, &out), "coalesce");
        what.len -= out.next.v - what.gpa.v;
        what.gpa = out.next;
    }
}

/* ---- measuring ----------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double once(struct bench *b, const char *name, void (*run)(struct bench *b))
{
    double start = now_ns();

    CALLGRIND_TOGGLE_COLLECT;
    run(b);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(name);
    return now_ns() - start;
}

static void say(const struct bench *b, const char *name, double ns, uint64_t pages, bool json)
{
    printf(json ? "{\"bench\": \"log\", \"op\": \"%s\", \"ns\": %.0f, \"pages\": %llu, "
                  "\"dirty\": %llu, \"fences\": %llu}\n"
                : "%-8s %14.0f ns  %10llu pages, %10llu dirty, %llu fences\n",
           name, ns, (unsigned long long)pages, (unsigned long long)b->dirty,
           (unsigned long long)b->fences);
}

static void measure_harvest(struct bench *b, const char *name, uint64_t step, bool json)
{
    if (step != 0) {
        write_pages(b, step);
    }
    b->fences = 0;
    say(b, name, once(b, name, op_harvest), b->pages, json);
}

static void measure(struct bench *b, uint64_t turns, bool json)
{
    for (uint64_t i = 0; i < turns; i++) {
        mark(b, 0, b->pages * PAGE, 0);
        op_merge(b);
        b->dirty = b->fences = 0;
        say(b, "split-piece", once(b, "split-piece", op_split_piece), 16 * MIB / PAGE, json);
        mark(b, 0, GIB, 0);
        say(b, "merge-piece", once(b, "merge-piece", op_merge_piece), 16 * MIB / PAGE, json);
        op_merge(b);
        b->fences = 0;
        say(b, "split", once(b, "split", op_split), GIB / PAGE, json);
        mark(b, 0, GIB, 0);
        b->fences = 0;
        say(b, "merge", once(b, "merge", op_merge), GIB / PAGE, json);
        mark(b, 0, b->pages * PAGE, CORDON_REGION_LOG);
        find_tables(b);
        measure_harvest(b, "clean", 0, json);
        measure_harvest(b, "one", 100, json);
        measure_harvest(b, "all", 1, json);
        say(b, "copy", once(b, "copy", op_copy), b->pages, json);
    }
}

int main(int argc, char **argv)
{
    static struct bench b = {.gib = 16};
    uint64_t turns = 1;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--gib") == 0 && i + 1 < argc) {
            b.gib = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--turns") == 0 && i + 1 < argc) {
            turns = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_log [--gib N] [--turns N] [--json]\n");
            return 2;
        }
    }
    if (b.gib == 0 || b.gib > MOST_GIB) {
        fprintf(stderr, "bench_log: --gib is 1 to %u\n", MOST_GIB);
        return 2;
    }
    open_bench(&b);
    measure(&b, turns, json);
    return 0;
}
