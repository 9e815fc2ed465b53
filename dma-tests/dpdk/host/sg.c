/*
 * Packets of 1 to 40 segments from port to port of a guest, through the IOMMU; every byte checked.
 *
 * The ports have views of their own, and take turns in sending. What is sent in one shape is
 * received in another, so that each segment that was read is written across borders of others.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_version.h>

#include "chain.h"
#include "options.h"
#include "port.h"

#define PACKETS_A_BURST 64u

/* What the segments of one direction were. */
struct seen {
    uint64_t segments, bytes, across_4k, across_2m;
    uint32_t smallest, largest;
    uint64_t counts;             /* bit N: packets of N segments */
    uint8_t alignments[PAGE_4K]; /* 1: some segment began there */
};

struct packet {
    struct rte_mbuf *sent, *received;
    struct pattern pattern;
};

struct run {
    struct machine m;
    struct guest red;
    struct port port[2];
    struct stock send, receive;
    struct packet packet[PACKETS_A_BURST];
    uint32_t count, largest;
    uint64_t wire; /* bytes of the burst */
    uint64_t packets, bursts, sequence;
    struct seen sent, received;
    struct pattern_wrong wrong;
    uint64_t guards; /* broken ones */
    uint64_t faults;
};

static void look(struct seen *seen, const struct rte_mbuf *m)
{
    seen->counts |= UINT64_C(1) << m->nb_segs;
    for (; m != NULL; m = m->next) {
        uint64_t first = rte_mbuf_data_iova(m), last = first + m->data_len - 1;

        seen->segments++;
        seen->bytes += m->data_len;
        seen->across_4k += first / PAGE_4K != last / PAGE_4K;
        seen->across_2m += first / PAGE_2M != last / PAGE_2M;
        seen->alignments[first % PAGE_4K] = 1;
        seen->smallest =
            seen->smallest == 0 || m->data_len < seen->smallest ? m->data_len : seen->smallest;
        seen->largest = m->data_len > seen->largest ? m->data_len : seen->largest;
    }
}

/* One packet more in the burst. Only its first has segments across a border of 2 MiB. */
static void add_packet(struct run *r)
{
    struct port *from = &r->port[r->bursts & 1], *to = &r->port[(r->bursts + 1) & 1];
    struct packet *p = &r->packet[r->count];
    struct shape shapes[CHAIN_SEGMENTS];
    uint32_t count = (uint32_t)(r->sequence % CHAIN_SEGMENTS) + 1, bytes = 0;
    uint32_t none = r->count == 0 ? 0 : CHAIN_SEGMENTS;

    for (uint32_t i = 0; i < count; i++) {
        shapes[i] = (struct shape){chain_length(&r->m, r->largest), chain_at(&r->send)};
        bytes += shapes[i].len;
    }
    p->pattern = (struct pattern){from->id & PATTERN_PORT_MAX, (uint32_t)r->sequence++};
    p->sent = chain_make(&r->send, shapes, count, none + machine_between(&r->m, 0, count - 1));
    count = chain_cut(&r->receive, bytes, shapes);
    p->received =
        chain_make(&r->receive, shapes, count, none + machine_between(&r->m, 0, count - 1));
    chain_fill(p->sent, p->pattern);
    chain_guard(p->received);
    (void)port_put_chain(from, p->sent, false, r->wire);
    r->wire = port_put_chain(to, p->received, true, r->wire);
    r->count++;
}

/* Send what was collected, and look at all of it. */
static void do_burst(struct run *r)
{
    struct port *from = &r->port[r->bursts & 1], *to = &r->port[(r->bursts + 1) & 1];
    struct cordon_fault fault;

    (void)port_kick(from, NULL);
    memcpy(to->wire, from->wire, r->wire);
    (void)port_kick(to, NULL);
    while (machine_fault(&r->m, &fault)) {
        r->faults++;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct packet *p = &r->packet[i];

        (void)chain_check(p->received, p->pattern, &r->wrong);
        r->guards += !chain_is_guarded(p->received);
        look(&r->sent, p->sent);
        look(&r->received, p->received);
        chain_free(p->sent);
        chain_free(p->received);
    }
    r->packets += r->count;
    r->bursts++;
    r->count = 0;
    r->wire = 0;
}

static void run_all(struct run *r, uint64_t packets)
{
    while (r->packets < packets) {
        uint32_t segments = 0;

        /* A chain of each stock at its longest must fit besides. */
        while (r->count < PACKETS_A_BURST && r->packets + r->count < packets &&
               segments + 2 * CHAIN_SEGMENTS <= STOCK_SEGMENTS) {
            add_packet(r);
            segments += CHAIN_SEGMENTS;
        }
        do_burst(r);
    }
}

static void open_run(struct run *r, uint64_t seed)
{
    machine_open(&r->m, true, seed);
    guest_open(&r->red, &r->m, "red", UINT64_C(0x1000000000));
    port_open(&r->port[0], &r->red, 0x10, "red.0", CORDON_DRAIN_IOMMU);
    port_open(&r->port[1], &r->red, 0x11, "red.1", CORDON_DRAIN_IOMMU);
    stock_open(&r->send, &r->red, "send");
    stock_open(&r->receive, &r->red, "receive");
}

static void close_run(struct run *r)
{
    stock_close(&r->receive);
    stock_close(&r->send);
    port_close(&r->port[1]);
    port_close(&r->port[0]);
    guest_close(&r->red);
    machine_close(&r->m);
}

/* ---- what is said -------------------------------------------------------------------------- */

static void tell_seen(const char *name, const struct seen *seen)
{
    uint32_t alignments = 0, counts = 0;

    for (uint32_t i = 0; i < PAGE_4K; i++) {
        alignments += seen->alignments[i];
    }
    for (uint64_t left = seen->counts; left != 0; left &= left - 1) {
        counts++;
    }
    printf("\"%s\": {\"segments\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"smallest\": %u, "
           "\"largest\": %u, \"chain_lengths\": %u, \"alignments\": %u, \"across_4k\": %" PRIu64
           ", \"across_2m\": %" PRIu64 "}",
           name, seen->segments, seen->bytes, seen->smallest, seen->largest, counts, alignments,
           seen->across_4k, seen->across_2m);
}

static void tell(const struct run *r, uint32_t violations, double seconds, bool json)
{
    uint64_t segments = r->sent.segments + r->received.segments;
    char text[200];

    if (!json) {
        printf("%" PRIu64 " packets, %" PRIu64 " segments, %" PRIu64 " bytes each way in %.2f s: "
               "%.2f million segments a second, checked; %" PRIu64 " wrong bytes, %" PRIu64
               " guards broken, %" PRIu64 " faults\n",
               r->packets, segments, r->sent.bytes, seconds, (double)segments / seconds / 1e6,
               r->wrong.count, r->guards, r->faults);
    } else {
        printf("{\"program\": \"sg\", \"dpdk\": \"%s\", \"packets\": %" PRIu64 ", ", rte_version(),
               r->packets);
        tell_seen("sent", &r->sent);
        printf(", ");
        tell_seen("received", &r->received);
        printf(", \"wrong_bytes\": %" PRIu64 ", \"guards_broken\": %" PRIu64
               ", \"faults\": %" PRIu64 ", \"violations\": %u, \"seconds\": %.3f}\n",
               r->wrong.count, r->guards, r->faults, violations, seconds);
    }
    if (r->wrong.count != 0) {
        fprintf(stderr, "sg: %s\n", pattern_say(&r->wrong, text, sizeof(text)));
    }
}

static const char help[] =
    "usage: sg [--packets N] [--largest BYTES] [--seed N] [--json]\n"
    "Sends packets of 1 to 40 segments between two ports of a guest, in this process: DPDK's\n"
    "mbufs in memory that a Cordon map scatters, a DMA engine behind the software IOMMU, every\n"
    "byte checked.\n"
    "  --packets N      how many (20000)\n"
    "  --largest BYTES  of a segment, up to 16384 (16384)\n"
    "  --seed N         of memory's order and of the packets (1)\n"
    "  --json           one line of JSON\n"
    "Exit status: 0 all right, 1 a wrong byte, guard or fault, 2 it could not run.\n";

int main(int argc, char **argv)
{
    static struct run r;
    struct cordon_model_stats stats = {.size = sizeof(stats)};
    uint64_t packets = 20000, largest = CHAIN_LARGEST, seed = 1;
    bool json = false;
    double start;
    const struct choice choices[] = {
        {"packets", &packets, 1, UINT32_MAX, NULL},
        {"largest", &largest, 1, CHAIN_LARGEST, NULL},
        {"seed", &seed, 0, UINT32_MAX, NULL},
        {"json", NULL, 0, 0, &json},
    };

    options_read(argc, argv, choices, sizeof(choices) / sizeof(choices[0]), help);
    r.largest = (uint32_t)largest;
    dpdk_open();
    open_run(&r, seed);
    start = machine_seconds();
    run_all(&r, packets);
    (void)cordon_model_stats_get(r.m.model, &stats);
    tell(&r, stats.violations, machine_seconds() - start, json);
    close_run(&r);
    dpdk_close();
    return r.wrong.count != 0 || r.guards != 0 || r.faults != 0 || stats.violations != 0;
}
