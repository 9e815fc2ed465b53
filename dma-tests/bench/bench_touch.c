/*
 * What a first touch costs in the library.
 *
 * usage: bench_touch [--json]
 *
 * A domain of 1 GiB on demand, in several ways, is touched 512 times in a row: page after page,
 * then anywhere; the same with memory that is promised; in runs of 2 MiB; then touched again,
 * populated and discarded. Prints nanoseconds. Under callgrind with --collect-atstart=no, a dump is
 * written for each operation, named by it, and one for zeroing a page alone: valgrind
 * --tool=callgrind --collect-atstart=no bench_touch
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
#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define TOUCHES 512u
#define HUGE_TOUCHES 16u

static cordon_ctx *ctx;
static cordon_domain *domain;
static uint8_t *ram;
static bool json;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_touch: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static void change(uint32_t kind, uint32_t flags, uint64_t gpa, uint64_t len)
{
    const struct cordon_op op = {.kind = kind,
                                 .flags = flags,
                                 .gpa = {gpa},
                                 .len = len,
                                 .perms = kind == CORDON_OP_GRANT ? CORDON_RW : 0};

    must(cordon_change(domain, &op, 1), "a change");
}

static void open_bench(void)
{
    const struct cordon_extent bank = {{RAM_BASE}, 2 * GIB};
    const struct cordon_domain_config dcfg = {.size = sizeof(dcfg), .gpa_limit = 256 * GIB};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = 1};

    ram = mmap(NULL, bank.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
    must(ram == MAP_FAILED ? -CORDON_ENOMEM : 0, "memory");
    cfg.ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE;
    must(cordon_ctx_create(&cfg, &ctx), "context");
    must(cordon_domain_create(ctx, &dcfg, &domain), "domain");
}

/* ---- measuring ----------------------------------------------------------------------------- */

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double started;

static void begin(void)
{
    started = now_ns();
    CALLGRIND_TOGGLE_COLLECT;
}

static void told(const char *name, uint64_t times)
{
    double ns = now_ns() - started;

    printf(json ? "{\"bench\": \"touch\", \"op\": \"%s\", \"calls\": %llu, \"ns\": %.1f}\n"
                : "%-14s %6llu times %12.1f ns each\n",
           name, (unsigned long long)times, ns / (double)times);
}

/* A macro, for callgrind wants the name as a literal. */
#define END(name, times)               \
    do {                               \
        CALLGRIND_TOGGLE_COLLECT;      \
        CALLGRIND_DUMP_STATS_AT(name); \
        told(name, times);             \
    } while (0)

/* Each is another page of the GiB; the golden ratio's multiples spread evenly. */
static uint64_t anywhere(uint64_t i)
{
    return (i * UINT64_C(11400714819323198485) >> 46) * PAGE;
}

static uint64_t in_a_row(uint64_t i)
{
    return i * PAGE;
}

static uint64_t in_blocks(uint64_t i)
{
    return i * 2 * MIB;
}

static void touch(uint64_t (*place)(uint64_t i), uint64_t times)
{
    struct cordon_touched out;

    for (uint64_t i = 0; i < times; i++) {
        must(cordon_touch(domain, (cordon_gpa){place(i)}, CORDON_WRITE, &out), "a touch");
    }
}

/* Every table stands already, as in a guest that has run for a while; the stock is not new. */
static void start(uint32_t flags)
{
    struct cordon_touched out;

    change(CORDON_OP_GRANT, CORDON_REGION_DEMAND | flags, 0, GIB);
    for (uint64_t at = 0; at < GIB && (flags & CORDON_REGION_HUGE) == 0; at += 2 * MIB) {
        must(cordon_touch(domain, (cordon_gpa){at + 2 * MIB - PAGE}, 0, &out), "a table");
    }
}

int main(int argc, char **argv)
{
    json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_touch [--json]\n");
        return 2;
    }
    open_bench();
    start(0);
    begin();
    touch(in_a_row, TOUCHES - 1);
    END("in-a-row", TOUCHES - 1);
    begin();
    touch(in_a_row, TOUCHES - 1);
    END("again", TOUCHES - 1);
    begin();
    touch(anywhere, TOUCHES);
    END("anywhere", TOUCHES);
    begin();
    must(cordon_populate(domain, (cordon_gpa){64 * MIB}, TOUCHES * PAGE), "populate");
    END("populate", TOUCHES - 1);
    begin();
    change(CORDON_OP_DISCARD, 0, 64 * MIB, TOUCHES * PAGE);
    END("discard", TOUCHES);
    change(CORDON_OP_REVOKE, 0, 0, GIB);
    start(CORDON_REGION_PROMISED);
    begin();
    touch(in_a_row, TOUCHES - 1);
    END("promised", TOUCHES - 1);
    change(CORDON_OP_REVOKE, 0, 0, GIB);
    start(CORDON_REGION_HUGE);
    begin();
    touch(in_blocks, HUGE_TOUCHES);
    END("huge", HUGE_TOUCHES);
    begin();
    for (uint64_t i = 0; i < TOUCHES; i++) {
        memset(ram + GIB + i * PAGE, 0, PAGE);
        __asm__ volatile("" ::: "memory");
    }
    END("zero", TOUCHES);
    must(cordon_domain_destroy(domain), "the end");
    must(cordon_ctx_destroy(ctx), "the end");
    return 0;
}
