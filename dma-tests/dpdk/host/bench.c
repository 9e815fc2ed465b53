/*
 * Segments a second through the IOMMU, beside memcpy of the same segments by host pointers.
 *
 * Chains of 16 segments of one size go from a port to another: read by one engine, carried over
 * the wire, written by the other. The reference does the same three copies and nothing else.
 * Nothing is checked while it is measured; what came is, afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "chain.h"
#include "lib/json.h"
#include "lib/tool.h"
#include "port.h"

#define SEGMENTS 16u
#define CHAINS (STOCK_SEGMENTS / SEGMENTS)

struct bench {
    struct machine m;
    struct guest red;
    struct port port[2];
    struct stock send, receive;
    struct rte_mbuf *sent[CHAINS], *received[CHAINS];
    uint64_t bytes; /* of all chains */
};

static void make_chains(struct bench *b, uint32_t len)
{
    struct shape shapes[SEGMENTS];

    b->bytes = 0;
    for (uint32_t c = 0; c < CHAINS; c++) {
        for (uint32_t i = 0; i < SEGMENTS; i++) {
            shapes[i] = (struct shape){len, chain_at(&b->send)};
        }
        b->sent[c] = chain_make(&b->send, shapes, SEGMENTS, SEGMENTS);
        b->received[c] = chain_make(&b->receive, shapes, SEGMENTS, SEGMENTS);
        chain_fill(b->sent[c], (struct pattern){1, c});
        b->bytes += b->sent[c]->pkt_len;
    }
}

static void check_chains(struct bench *b)
{
    struct pattern_wrong wrong = {0};

    for (uint32_t c = 0; c < CHAINS; c++) {
        must(chain_check(b->received[c], (struct pattern){1, c}, &wrong), "bench: a wrong byte", 0);
        chain_fill(b->received[c], (struct pattern){2, c});
    }
}

static void free_chains(struct bench *b)
{
    for (uint32_t c = 0; c < CHAINS; c++) {
        chain_free(b->sent[c]);
        chain_free(b->received[c]);
    }
}

/* All chains once, from descriptors on. */
static void by_engine(struct bench *b)
{
    uint64_t from = 0, to = 0;

    for (uint32_t c = 0; c < CHAINS; c++) {
        from = port_put_chain(&b->port[0], b->sent[c], false, from);
    }
    must(port_kick(&b->port[0], NULL) == 0, "bench: a fault", 0);
    memcpy(b->port[1].wire, b->port[0].wire, from);
    for (uint32_t c = 0; c < CHAINS; c++) {
        to = port_put_chain(&b->port[1], b->received[c], true, to);
    }
    must(port_kick(&b->port[1], NULL) == 0, "bench: a fault", 0);
}

static void by_memcpy(struct bench *b)
{
    uint8_t *at = b->port[0].wire;

    for (uint32_t c = 0; c < CHAINS; c++) {
        for (struct rte_mbuf *m = b->sent[c]; m != NULL; m = m->next) {
            memcpy(at, rte_pktmbuf_mtod(m, void *), m->data_len);
            at += m->data_len;
        }
    }
    memcpy(b->port[1].wire, b->port[0].wire, b->bytes);
    at = b->port[1].wire;
    for (uint32_t c = 0; c < CHAINS; c++) {
        for (struct rte_mbuf *m = b->received[c]; m != NULL; m = m->next) {
            memcpy(rte_pktmbuf_mtod(m, void *), at, m->data_len);
            at += m->data_len;
        }
    }
}

/* Segments a second, read and written each counted as one. */
static double rate(struct bench *b, void (*go)(struct bench *b), uint64_t turns)
{
    double start, seconds;

    go(b);
    start = machine_seconds();
    for (uint64_t i = 0; i < turns; i++) {
        go(b);
    }
    seconds = machine_seconds() - start;
    check_chains(b);
    return 2.0 * SEGMENTS * CHAINS * (double)turns / seconds;
}

/* The best of three turns of each, one beside the other. */
static void measure(struct bench *b, uint32_t len, uint64_t segments)
{
    uint64_t turns = segments / (2 * SEGMENTS * CHAINS) + 1;
    double engine = 0, reference = 0;

    make_chains(b, len);
    for (int turn = 0; turn < 3; turn++) {
        double ours = rate(b, by_engine, turns), beside = rate(b, by_memcpy, turns);

        engine = ours > engine ? ours : engine;
        reference = beside > reference ? beside : reference;
    }
    free_chains(b);
    json_open(NULL);
    json_text("program", tool_name());
    json_number("bytes", len);
    json_number("segments_per_second", (uint64_t)engine);
    json_number("memcpy_per_second", (uint64_t)reference);
    json_close();
}

static const struct argp_option options[] = {
    {"segments", 's', "N", 0, "a turn (2000000)", 0},
    {0},
};

static const char doc[] =
    "Segments a second of mbuf chains from port to port through the software IOMMU, of 64 "
    "bytes to 16 KiB, beside memcpy of the same segments.\v"
    "Prints a line of JSON for each size. Exit status: 0, 3 it could not run, 64 a wrong "
    "command line.";

static error_t take_option(int key, char *text, struct argp_state *state)
{
    uint64_t *segments = state->input;

    if (key != 's') {
        return ARGP_ERR_UNKNOWN;
    }
    *segments = tool_number(text, 1, UINT32_MAX, state);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, take_option, NULL, doc, NULL, NULL, NULL};
    static const uint32_t sizes[] = {64, 512, 1518, 9000, 16384};
    static struct bench b;
    uint64_t segments = 2000000;

    dpdk_start(&argp, argc, argv, &segments);
    machine_open(&b.m, true, 1);
    guest_open(&b.red, &b.m, "red", UINT64_C(0x1000000000));
    port_open(&b.port[0], &b.red, 0x10, "red.0", CORDON_DRAIN_IOMMU);
    port_open(&b.port[1], &b.red, 0x11, "red.1", CORDON_DRAIN_IOMMU);
    stock_open(&b.send, &b.red, "send");
    stock_open(&b.receive, &b.red, "receive");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        measure(&b, sizes[i], segments * 64 / (sizes[i] > 64 ? sizes[i] / 8 : 64));
    }
    stock_close(&b.receive);
    stock_close(&b.send);
    port_close(&b.port[1]);
    port_close(&b.port[0]);
    guest_close(&b.red);
    machine_close(&b.m);
    tool_end(TOOL_PASSED);
}
