/*
 * Flushes of harts, and VMIDs that run out.
 *
 * usage: bench_vmid
 *
 * A domain that 1 to 4 harts run has 1,000 changes of its map, each of which takes something away:
 * pages here and there, and now and then a table with them. One line of JSON for each number of
 * harts: calls of the port, harts told, and what it would have been with a call a hart. Then 64
 * domains take turns on one hart with 4 VMIDs, so that a new generation begins again and again.
 * Under callgrind with
 * --collect-atstart=no a dump is written for the changes with 4 harts, for entries that find their
 * VMID, and for those that do not: changes, entry, turns.
 */
#define _DEFAULT_SOURCE /* mmap's flags */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <valgrind/callgrind.h>

#include <cordon/cordon.h>

#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define RAM_BASE UINT64_C(0x80000000)
#define RAM_LEN (64 * MIB)
#define CHANGES 1000u
#define DOMAINS 64u
#define TURNS 1024u

static uint64_t calls, told, everybody;

static void must(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_vmid: %s: %s\n", what, cordon_strerror(error));
        exit(2);
    }
}

static void fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user, (void)vmid, (void)gpa, (void)len;
    calls++;
    told += (uint64_t)__builtin_popcountll(harts);
}

static void fence_all(void *user, uint64_t harts)
{
    (void)user, (void)harts;
    everybody++;
}

static cordon_ctx *open_ctx(uint8_t *ram, uint32_t vmid_bits)
{
    static struct cordon_port_ops ops = {
        .size = sizeof(ops), .hart_fence = fence, .hart_fence_all = fence_all};
    const struct cordon_extent bank = {{RAM_BASE}, RAM_LEN};
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = &ops,
                                      .ram_offset = (uint64_t)(uintptr_t)ram - RAM_BASE,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = vmid_bits,
                                      .seed = 1};
    cordon_ctx *ctx;

    must(cordon_ctx_create(&cfg, &ctx), "context");
    return ctx;
}

static cordon_domain *open_domain(cordon_ctx *ctx)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    cordon_domain *d;

    must(cordon_domain_create(ctx, &cfg, &d), "domain");
    return d;
}

static void enter(cordon_domain *d, uint32_t hart)
{
    struct cordon_entry entry = {.size = sizeof(entry)};

    must(cordon_domain_enter(d, hart, &entry), "entry");
}

static void grant(cordon_ctx *ctx, cordon_domain *d, uint64_t gpa, uint64_t len)
{
    const struct cordon_run_want want = {.size = sizeof(want), .len = len};
    struct cordon_extent e = {.len = len};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .gpa = {gpa},
                           .len = len,
                           .perms = CORDON_RW,
                           .extents = &e,
                           .extent_count = 1};

    must(cordon_run_alloc(ctx, &want, &e.hpa), "frames");
    must(cordon_change(d, &op, 1), "grant");
}

/* Every eighth change is of 16 MiB's last page: its table goes too. */
static uint64_t place_of(uint32_t i)
{
    return i % 8 == 7 ? UINT64_C(0x80000000) + i * 2 * MIB : UINT64_C(0x40000000) + i % 500 * PAGE;
}

static void run_changes(uint8_t *ram, uint32_t harts)
{
    cordon_ctx *ctx = open_ctx(ram, 14);
    cordon_domain *d = open_domain(ctx);

    for (uint32_t h = 0; h < harts; h++) {
        enter(d, h);
    }
    grant(ctx, d, UINT64_C(0x40000000) + 511 * PAGE, PAGE); /* that table stays */
    calls = told = 0;
    for (uint32_t i = 0; i < CHANGES; i++) {
        const struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = {place_of(i)}, .len = PAGE};

        grant(ctx, d, op.gpa.v, PAGE);
        if (harts == 4) {
            CALLGRIND_TOGGLE_COLLECT;
        }
        must(cordon_change(d, &op, 1), "revoke");
        if (harts == 4) {
            CALLGRIND_TOGGLE_COLLECT;
        }
    }
    if (harts == 4) {
        CALLGRIND_DUMP_STATS_AT("changes");
    }
    printf("{\"harts\": %u, \"changes\": %u, \"calls\": %llu, \"told\": %llu}\n", harts, CHANGES,
           (unsigned long long)calls, (unsigned long long)told);
}

static void turn(cordon_domain *d)
{
    enter(d, 0);
    must(cordon_domain_leave(d, 0), "leaving");
}

static void run_turns(uint8_t *ram)
{
    cordon_ctx *ctx = open_ctx(ram, 2);
    cordon_domain *d[DOMAINS];
    struct cordon_vmid_stats stats;

    for (uint32_t i = 0; i < DOMAINS; i++) {
        d[i] = open_domain(ctx);
    }
    turn(d[0]);
    CALLGRIND_TOGGLE_COLLECT;
    for (uint32_t i = 0; i < TURNS; i++) {
        turn(d[0]);
    }
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT("entry");
    everybody = 0;
    CALLGRIND_TOGGLE_COLLECT;
    for (uint32_t i = 0; i < TURNS; i++) {
        turn(d[i % DOMAINS]);
    }
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT("turns");
    must(cordon_vmid_stats(ctx, &stats), "counts");
    printf("{\"turns\": %u, \"roll_overs\": %llu, \"generation\": %llu}\n", TURNS,
           (unsigned long long)everybody, (unsigned long long)stats.generation);
}

int main(void)
{
    uint8_t *ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (ram == MAP_FAILED) {
        perror("bench_vmid");
        return 2;
    }
    for (uint32_t harts = 1; harts <= 4; harts++) {
        run_changes(ram, harts);
    }
    run_turns(ram);
    return 0;
}
