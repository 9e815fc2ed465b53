/*
 * Memory that was used for DMA is given back and used by another guest, while a port of the first
 * still has descriptors for it: nothing lands, nothing leaks, and faults name the port.
 *
 * Red has a pool of mbufs in memory of its own and lets its port work with a chain of them. Then it
 * frees the pool, takes the memory out of DPDK and gives the frames back; blue gets these very
 * frames and fills them; and the port goes on with what it still has. Four ways of having it:
 *
 *   stale   descriptors in the ring that the port has yet to look at
 *   late    requests that the port has made and the IOMMU has not seen
 *   held    requests in flight, translated already: they end before the frames go on
 *   kept    requests in flight that only a reset of the port ends: frames must wait for it
 *
 * In the control nothing confines the port: stale and late must be seen to land.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "chain.h"
#include "lib/json.h"
#include "lib/tool.h"
#include "port.h"

#define LOAN_LEN (64 * PAGE_4K)
/* Each round at another address, where nobody has a table yet. */
#define LOAN_RED UINT64_C(0x1100000000)
#define LOAN_BLUE UINT64_C(0x2100000000)
#define LOAN_PLACES 65536u
#define MBUFS 48u
#define MBUF_ROOM 1500u
#define BLUE 33u
#define POISON 0xee

enum way { STALE, LATE, HELD, KEPT, WAYS };

static const struct {
    const char *name;
    uint32_t mode; /* of the engine, while it has the chain */
} ways[WAYS] = {{"stale", CORDON_SG_AT_ONCE},
                {"late", CORDON_SG_LATE},
                {"held", CORDON_SG_HELD},
                {"kept", CORDON_SG_ROGUE}};

struct tally {
    uint64_t rounds, segments;
    uint64_t landed; /* bytes of blue's that changed */
    uint64_t leaked; /* bytes of blue's that came over the wire */
    uint64_t early;  /* times that frames went on before the port was reset */
    uint64_t untold; /* segments without a fault, or with one that names another */
};

struct world {
    struct machine m;
    struct guest red, blue;
    struct port port[2]; /* each has a view of its own, and they take turns */
    struct area loan;    /* whose the frames are now */
    uint8_t copy[LOAN_LEN];
    struct tally tally[WAYS];
};

/* One round. */
struct round {
    uint64_t number;
    enum way way;
    struct port *port;
    bool write;
    uint32_t count; /* descriptors, one a segment */
    uint32_t bytes; /* on the wire */
    struct pattern pattern;
};

/* ---- red ----------------------------------------------------------------------------------- */

static struct rte_mbuf *make_chain(struct world *w, struct rte_mempool *pool, struct round *r)
{
    struct rte_mbuf *head = NULL, **next = &head;

    r->count = machine_between(&w->m, 1, CHAIN_SEGMENTS);
    for (uint32_t i = 0; i < r->count; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

        must(m != NULL, "a pool of mbufs is empty", 0);
        m->data_off = (uint16_t)machine_between(&w->m, 0, 255);
        m->data_len = (uint16_t)machine_between(&w->m, 1, MBUF_ROOM - 255);
        r->bytes += m->data_len;
        *next = m;
        next = &m->next;
    }
    head->nb_segs = (uint16_t)r->count;
    return head;
}

/* The port works with the chain, and is left with as much again to do. */
static void use(struct world *w, struct round *r)
{
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("loan", MBUFS, 0, 0, MBUF_ROOM, w->loan.socket);
    struct rte_mbuf *chain;
    int err;

    must(pool != NULL, "no pool of mbufs", 0);
    chain = make_chain(w, pool, r);
    chain_fill(chain, r->pattern);
    pattern_fill(r->pattern, 0, r->port->wire, r->bytes);
    (void)port_put_chain(r->port, chain, r->write, 0);
    must(port_kick(r->port, NULL) == 0, "a port cannot reach its guest's memory", 0);
    (void)port_put_chain(r->port, chain, r->write, 0);
    if (!r->write) {
        memset(r->port->wire, POISON, r->bytes);
    }
    if (r->way != STALE) {
        err = cordon_sg_mode_set(r->port->sg, ways[r->way].mode);
        must(err == 0 && port_kick(r->port, NULL) == 0, "a port does not take its orders", 0);
    }
    chain_free(chain);
    rte_mempool_free(pool);
}

/* ---- from red to blue ---------------------------------------------------------------------- */

static int lend_to(struct world *w, struct guest *g, uint64_t round)
{
    w->loan.gpa = (g == &w->red ? LOAN_RED : LOAN_BLUE) + round % LOAN_PLACES * LOAN_LEN;
    w->loan.heap = g == &w->red ? "red.loan" : "blue.loan";
    return area_open(g, &w->loan);
}

/* Blue has the frames. Before, if the port holds requests that only a reset ends, they must have
 * been refused to blue. */
static void hand_over(struct world *w, struct round *r)
{
    int err;

    area_forget(&w->red, &w->loan);
    err = area_revoke(&w->red, &w->loan);
    if (r->way != KEPT) {
        must(err == 0, "red's memory is not given back", err);
    } else {
        must(err == -CORDON_EPENDING, "a port that must be reset is not waited for", err);
        err = lend_to(w, &w->blue, r->number);
        if (err == 0) {
            w->tally[KEPT].early++;
            return;
        }
        must(err == -CORDON_EPERM, "memory that is awaited is refused otherwise", err);
        port_reset(r->port);
    }
    err = lend_to(w, &w->blue, r->number);
    must(err == 0, "blue does not get the memory", err);
}

/* ---- the port goes on ---------------------------------------------------------------------- */

static void go_on(struct round *r)
{
    uint32_t at = 0, done = 0;

    (void)cordon_sg_step(r->port->sg, UINT32_MAX, NULL);
    (void)cordon_sg_mode_set(r->port->sg, CORDON_SG_AT_ONCE);
    while (r->way == STALE && at < r->count) {
        (void)cordon_sg_run(r->port->sg, r->port->ring_iova + 32ull * at, r->count - at, &done);
        at += done + 1;
    }
    r->port->used = 0;
}

/* Each of the segments that came too late has a fault, which names the port. */
static uint64_t untold(struct world *w, const struct round *r)
{
    uint64_t told = 0, others = 0, gpa = LOAN_RED + r->number % LOAN_PLACES * LOAN_LEN;
    struct cordon_fault f;

    while (machine_fault(&w->m, &f)) {
        bool ours = f.device_id == r->port->id && f.domain == cordon_domain_number(w->red.d) &&
                    f.iova.v - gpa < LOAN_LEN &&
                    f.access == (r->write ? CORDON_WRITE : CORDON_READ);

        told += ours ? f.count : 0;
        others += ours ? 0 : f.count;
    }
    return others + (r->way == STALE || r->way == LATE ? r->count - told : told);
}

/* Bytes that came over the wire and are not red's. What was held came while the frames were red's:
 * as its mbufs had it, or zeroed by DPDK, which does so with what is freed. */
static uint64_t leaks(const struct round *r)
{
    static uint8_t reds[CHAIN_SEGMENTS * MBUF_ROOM];
    uint64_t count = 0;

    pattern_fill(r->pattern, 0, reds, r->bytes);
    for (uint32_t i = 0; i < r->bytes && !r->write; i++) {
        uint8_t byte = r->port->wire[i];

        count += r->way == HELD ? byte != reds[i] && byte != 0 : byte != POISON;
    }
    return count;
}

static void do_round(struct world *w, uint64_t number)
{
    struct round r = {.number = number,
                      .way = (enum way)(number % WAYS),
                      .port = &w->port[number / WAYS % 2],
                      .write = number / WAYS / 2 % 2 == 0,
                      .pattern = {1, (uint32_t)number}};
    struct tally *t = &w->tally[r.way];
    struct port kept;
    uint8_t *block;
    int err = lend_to(w, &w->red, number);

    must(err == 0, "red does not get its memory", err);
    if (r.way == KEPT) {
        port_open(&kept, &w->red, 0x12, "red.kept", CORDON_DRAIN_RESET);
        r.port = &kept;
    }
    use(w, &r);
    hand_over(w, &r);
    block = rte_malloc_socket("block", LOAN_LEN - PAGE_4K, 0, w->loan.socket);
    must(block != NULL, "blue cannot use the memory", 0);
    pattern_fill((struct pattern){BLUE, (uint32_t)number}, 0, block, LOAN_LEN - PAGE_4K);
    memcpy(w->copy, w->loan.va, LOAN_LEN);
    go_on(&r);
    for (uint64_t i = 0; i < LOAN_LEN; i++) {
        t->landed += w->copy[i] != w->loan.va[i];
    }
    memcpy(w->loan.va, w->copy, LOAN_LEN);
    t->leaked += leaks(&r);
    t->untold += untold(w, &r);
    t->segments += r.count;
    t->rounds++;
    rte_free(block);
    area_forget(&w->blue, &w->loan);
    err = area_revoke(&w->blue, &w->loan);
    must(err == 0, "blue's memory is not given back", err);
    if (r.way == KEPT) {
        port_close(&kept);
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void open_world(struct world *w, bool confined, uint64_t seed)
{
    machine_open(&w->m, confined, seed);
    guest_open(&w->red, &w->m, "red", UINT64_C(0x1000000000));
    guest_open(&w->blue, &w->m, "blue", UINT64_C(0x2000000000));
    port_open(&w->port[0], &w->red, 0x10, "red.0", CORDON_DRAIN_IOMMU);
    port_open(&w->port[1], &w->red, 0x11, "red.1", CORDON_DRAIN_IOMMU);
    w->loan = (struct area){
        .len = LOAN_LEN, .page = PAGE_4K, .perms = CORDON_RW, .flags = CORDON_REGION_KEEP};
    machine_open_up(&w->m);
}

static void close_world(struct world *w)
{
    free(w->loan.extents);
    port_close(&w->port[1]);
    port_close(&w->port[0]);
    guest_close(&w->blue);
    guest_close(&w->red);
    machine_close(&w->m);
}

/* Says what was found; whether all of it is good. */
static bool tell(const struct world *w, double seconds)
{
    bool good = true;

    json_open(NULL);
    json_text("program", tool_name());
    json_bool("confined", w->m.confined);
    json_open("ways");
    for (uint32_t i = 0; i < WAYS; i++) {
        const struct tally *t = &w->tally[i];

        json_open(ways[i].name);
        json_number("rounds", t->rounds);
        json_number("segments", t->segments);
        json_number("landed", t->landed);
        json_number("leaked", t->leaked);
        json_number("early", t->early);
        json_number("untold", t->untold);
        json_close();
        good &= t->landed == 0 && t->leaked == 0 && t->early == 0 && t->untold == 0;
    }
    json_close();
    json_number("cpu_us", (uint64_t)(seconds * 1e6));
    json_bool("passed", good);
    json_close();
    return good;
}

struct settings {
    uint64_t rounds;
    struct machine_options machine;
};

static const struct argp_option options[] = {
    {"rounds", 'r', "N", 0, "how often (400)", 0},
    {0},
};

static const char doc[] =
    "Gives memory that a port uses for DMA to another guest, round by round, while the port "
    "still has descriptors for it: DPDK's mbufs, a DMA engine behind the software IOMMU.\v"
    "Prints one line of JSON. Exit status: 0 all was confined and told, 1 not, 3 it could "
    "not run, 64 a wrong command line.";

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct settings *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->machine;
        return 0;
    case 'r':
        s->rounds = tool_number(text, 1, UINT32_MAX, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_child children[] = {{&machine_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, take_option, NULL, doc, children, NULL, NULL};
    static struct world w;
    struct settings s = {.rounds = 400, .machine = {.seed = 1}};
    double start;
    bool good;

    dpdk_start(&argp, argc, argv, &s);
    open_world(&w, !s.machine.control, s.machine.seed);
    start = machine_seconds();
    for (uint64_t i = 0; i < s.rounds; i++) {
        do_round(&w, i);
    }
    good = tell(&w, machine_seconds() - start);
    close_world(&w);
    tool_end(good ? TOOL_PASSED : TOOL_FAILED);
}
