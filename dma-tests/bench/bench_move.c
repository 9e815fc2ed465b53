/*
 * Contiguous runs in memory that is in pieces on purpose, and frames that move.
 *
 * usage: bench_move [--mib N] [--seeds N] [--json]
 *
 * For each seed: N MiB (default 256) are filled with single frames of a guest and 4 KiB holes at
 * random, until 90 % are in use; then a run of 8 MiB is made. After that the same random load, in
 * which pages of a guest come between tables, twice: kinds kept apart, and mixed; then as many runs
 * of 8 MiB as can be made. Prints what was made, and nanoseconds. Under callgrind with
 * --collect-atstart=no a dump is written for one page that moves ("one"), 16 that move together
 * ("sixteen"), and a large leaf ("large"):
 *   valgrind --tool=callgrind --collect-atstart=no bench_move --seeds 0
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

#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define G_RAM UINT64_C(0x40000000)
#define RUN (8 * MIB)
#define TIMES 32u
#define LOAD_PERCENT 60u

struct bench {
    uint8_t *ram;
    uint64_t len;
    cordon_ctx *ctx;
    cordon_domain *d;
    struct cordon_extent *list;
    uint64_t random;
};

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_move: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static uint64_t next(struct bench *b)
{
    b->random = b->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return b->random >> 33;
}

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(struct bench *b, uint64_t seed, uint32_t flags)
{
    const struct cordon_domain_config domain = {.size = sizeof(domain),
                                                .gpa_limit = UINT64_C(1) << 41};
    const struct cordon_extent bank = {{RAM_BASE}, b->len};
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .flags = flags,
                                      .ram_offset = (uint64_t)(uintptr_t)b->ram - RAM_BASE,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 14,
                                      .seed = seed};

    b->random = seed * 2 + 1;
    must(cordon_ctx_create(&cfg, &b->ctx), "context");
    must(cordon_domain_create(b->ctx, &domain, &b->d), "domain");
}

static void end(struct bench *b)
{
    struct cordon_finding found;

    must(cordon_audit(b->ctx, &found), "audit");
    must(cordon_domain_destroy(b->d), "the domain's end");
    must(cordon_ctx_destroy(b->ctx), "the context's end");
}

static uint64_t free_bytes(const struct bench *b)
{
    struct cordon_memory_stats s;

    cordon_memory_stats(b->ctx, &s);
    return s.free;
}

static void grant(struct bench *b, uint64_t gpa, uint64_t pages, uint32_t pieces)
{
    size_t count = pages;

    must(cordon_scatter_alloc(b->ctx, pages * PAGE, pieces, next(b), b->list, &count), "frames");
    const struct cordon_op op = {.kind = CORDON_OP_GRANT,
                                 .gpa = {gpa},
                                 .len = pages * PAGE,
                                 .perms = CORDON_RWX,
                                 .extents = b->list,
                                 .extent_count = count};

    must(cordon_change(b->d, &op, 1), "grant");
}

static int revoke(struct bench *b, uint64_t gpa)
{
    const struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = {gpa}, .len = PAGE};

    return cordon_change(b->d, &op, 1);
}

/* 90 % in use, by single frames, with holes of 4 KiB at random. */
static void fragment(struct bench *b)
{
    uint64_t pages = free_bytes(b) / PAGE * 98 / 100;

    grant(b, G_RAM, pages, 1);
    while (free_bytes(b) < b->len / 10) {
        (void)revoke(b, G_RAM + next(b) % pages * PAGE);
    }
}

static int make(struct bench *b, struct cordon_run_made *made)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = RUN, .align = 2 * MIB};

    return cordon_run_make(b->ctx, &want, 0, made);
}

static void one_seed(struct bench *b, uint64_t seed)
{
    struct cordon_run_made made;

    begin(b, seed, 0);
    fragment(b);
    uint64_t start = now_ns();
    int err = make(b, &made);
    uint64_t took = now_ns() - start;

    printf("{\"op\": \"run\", \"made\": %s, \"ns\": %lu, \"moved\": %lu, \"stops\": %lu}\n",
           err == 0 ? "true" : "false", (unsigned long)took, (unsigned long)made.moves.pages,
           (unsigned long)made.moves.stops);
    if (err == 0) {
        must(cordon_run_free(b->ctx, made.hpa, RUN), "free");
    }
    end(b);
}

/* Pages that come and go at random over a wide space, and with them the tables that hold them. */
static void random_load(struct bench *b)
{
    uint64_t places = b->len / PAGE * LOAD_PERCENT / 200, used = 0;

    for (uint64_t i = 0; i < 4 * places && used < places; i++) {
        uint64_t gpa = G_RAM + next(b) % places * 2 * MIB;
        struct cordon_hit hit;

        if (cordon_translate(b->d, 0, cordon_gpa_make(gpa), 0, &hit) == 0) {
            must(revoke(b, gpa), "revoke");
            used--;
        } else {
            grant(b, gpa, 1, 1);
            used++;
        }
    }
}

static void grouping(struct bench *b, uint64_t seed, uint32_t flags)
{
    struct cordon_run_made made;
    unsigned runs = 0;

    begin(b, seed, flags);
    random_load(b);
    uint64_t could = free_bytes(b) / RUN;

    while (make(b, &made) == 0) {
        b->list[runs++] = (struct cordon_extent){made.hpa, RUN};
    }
    printf("{\"op\": \"%s\", \"runs\": %u, \"free\": %lu}\n", flags != 0 ? "mixed" : "apart", runs,
           (unsigned long)could);
    while (runs > 0) {
        runs--;
        must(cordon_run_free(b->ctx, b->list[runs].hpa, RUN), "free");
    }
    end(b);
}

/* A dump for moving LEN bytes, TIMES times. */
static void counted(struct bench *b, const char *name, uint64_t len)
{
    uint64_t start = now_ns();

    for (unsigned i = 0; i < TIMES; i++) {
        CALLGRIND_ZERO_STATS;
        CALLGRIND_TOGGLE_COLLECT;
        int err = cordon_relocate(b->d, cordon_gpa_make(G_RAM + i % 4 * 2 * MIB), len, NULL);

        CALLGRIND_TOGGLE_COLLECT;
        CALLGRIND_DUMP_STATS_AT(name);
        must(err, name);
    }
    printf("{\"op\": \"%s\", \"ns\": %lu}\n", name, (unsigned long)((now_ns() - start) / TIMES));
}

static void count_moves(struct bench *b)
{
    begin(b, 1, 0);
    grant(b, G_RAM, 8 * MIB / PAGE, 1u << 9);
    counted(b, "large", 2 * MIB);
    must(cordon_relocate(b->d, cordon_gpa_make(G_RAM), PAGE, NULL), "split");
    must(cordon_relocate(b->d, cordon_gpa_make(G_RAM + 2 * MIB), PAGE, NULL), "split");
    must(cordon_relocate(b->d, cordon_gpa_make(G_RAM + 4 * MIB), PAGE, NULL), "split");
    must(cordon_relocate(b->d, cordon_gpa_make(G_RAM + 6 * MIB), PAGE, NULL), "split");
    counted(b, "one", PAGE);
    counted(b, "sixteen", 16 * PAGE);
    end(b);
}

static uint64_t number(int argc, char **argv, const char *name, uint64_t usual)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return strtoull(argv[i + 1], NULL, 0);
        }
    }
    return usual;
}

int main(int argc, char **argv)
{
    struct bench b = {.len = number(argc, argv, "--mib", 256) * MIB};
    uint64_t seeds = number(argc, argv, "--seeds", 8);

    b.ram = mmap(NULL, b.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
    b.list = calloc(b.len / PAGE, sizeof(*b.list));
    if (b.ram == MAP_FAILED || b.list == NULL) {
        fprintf(stderr, "bench_move: no memory\n");
        return 2;
    }
    count_moves(&b);
    for (uint64_t seed = 0; seed < seeds; seed++) {
        one_seed(&b, seed);
        grouping(&b, seed, 0);
        grouping(&b, seed, CORDON_CTX_MIXED);
    }
    free(b.list);
    return 0;
}
