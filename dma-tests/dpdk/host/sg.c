/*
 * Packets of 1 to 40 segments from port to port of a guest, through the IOMMU; every byte checked.
 *
 * The ports have views of their own, and take turns in sending. What is sent in one shape is
 * received in another, so that each segment that was read is written across borders of others.
 */
#include <string.h>

#include <rte_mbuf.h>

#include "chain.h"
#include "lib/json.h"
#include "lib/tool.h"
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

/* One packet more in the burst. Only its first has segments across a border of 2 MiB, and host
 * addresses are in pieces there. */
static void add_packet(struct run *r)
{
    struct port *from = &r->port[r->bursts & 1], *to = &r->port[(r->bursts + 1) & 1];
    struct packet *p = &r->packet[r->count];
    struct shape shapes[CHAIN_SEGMENTS];
    uint32_t count = (uint32_t)(r->sequence % CHAIN_SEGMENTS) + 1, bytes = 0;
    uint32_t none = r->count == 0 && r->m.confined ? 0 : CHAIN_SEGMENTS;

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

static void open_run(struct run *r, const struct machine_options *o)
{
    machine_open(&r->m, !o->control, o->seed);
    guest_open(&r->red, &r->m, "red", UINT64_C(0x1000000000));
    port_open(&r->port[0], &r->red, 0x10, "red.0", CORDON_DRAIN_IOMMU);
    port_open(&r->port[1], &r->red, 0x11, "red.1", CORDON_DRAIN_IOMMU);
    stock_open(&r->send, &r->red, "send");
    stock_open(&r->receive, &r->red, "receive");
    machine_open_up(&r->m);
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
    uint64_t alignments = 0;

    for (uint32_t i = 0; i < PAGE_4K; i++) {
        alignments += seen->alignments[i];
    }
    json_open(name);
    json_number("segments", seen->segments);
    json_number("bytes", seen->bytes);
    json_number("size_least", seen->smallest);
    json_number("size_most", seen->largest);
    json_number("chain_lengths", (uint64_t)__builtin_popcountll(seen->counts));
    json_number("alignments", alignments);
    json_number("across_4k", seen->across_4k);
    json_number("across_2m", seen->across_2m);
    json_close();
}

/* Says what was found; whether all of it is right. */
static bool tell(const struct run *r, double seconds)
{
    uint64_t segments = r->sent.segments + r->received.segments;
    struct cordon_model_stats stats = {.size = sizeof(stats)};
    char text[200];
    bool right;

    (void)cordon_model_stats_get(r->m.model, &stats);
    right = r->wrong.count == 0 && r->guards == 0 && r->faults == 0 && stats.violations == 0;
    json_open(NULL);
    json_text("program", tool_name());
    json_bool("passed", right);
    json_number("packets", r->packets);
    tell_seen("sent", &r->sent);
    tell_seen("received", &r->received);
    json_number("wrong_bytes", r->wrong.count);
    if (r->wrong.count != 0) {
        json_text("first", pattern_say(&r->wrong, text, sizeof(text)));
    }
    json_number("guards_broken", r->guards);
    json_number("faults", r->faults);
    json_number("violations", stats.violations);
    json_number("cpu_us", (uint64_t)(seconds * 1e6));
    json_number("segments_per_second", (uint64_t)((double)segments / seconds));
    json_close();
    return right;
}

struct settings {
    uint64_t packets, largest;
    struct machine_options machine;
};

static const struct argp_option options[] = {
    {"packets", 'p', "N", 0, "how many (20000)", 0},
    {"largest", 'l', "BYTES", 0, "of a segment, up to 16384 (16384)", 0},
    {0},
};

static const char doc[] =
    "Sends packets of 1 to 40 segments between two ports of a guest, in this process: "
    "DPDK's mbufs in memory that a Cordon map scatters, a DMA engine behind the software "
    "IOMMU, every byte checked.\v"
    "Prints one line of JSON. Exit status: 0 all is right, 1 something is wrong with DMA, 3 "
    "it could not run, 64 a wrong command line.";

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct settings *s = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &s->machine;
        return 0;
    case 'p':
        s->packets = tool_number(text, 1, UINT32_MAX, state);
        return 0;
    case 'l':
        s->largest = tool_number(text, 1, CHAIN_LARGEST, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_child children[] = {{&machine_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {options, take_option, NULL, doc, children, NULL, NULL};
    static struct run r;
    struct settings s = {.packets = 20000, .largest = CHAIN_LARGEST, .machine = {.seed = 1}};
    double start;
    bool good;

    dpdk_start(&argp, argc, argv, &s);
    r.largest = (uint32_t)s.largest;
    open_run(&r, &s.machine);
    start = machine_seconds();
    run_all(&r, s.packets);
    good = tell(&r, machine_seconds() - start);
    close_run(&r);
    tool_end(good ? TOOL_PASSED : TOOL_FAILED);
}
