/*
 * sg: scatter-gather by DMA, every byte checked. Packets of up to 40 segments go from port to port,
 * both ways at once; with one port, to the sg of another guest on the same wire.
 */
#include "lib/json.h"
#include "lib/stall.h"
#include "lib/tool.h"
#include "sg/flow.h"
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#define FLOWS_MAX 2u
#define STALL_MS 3000u
#define PART_MS 500u
#define LOOK_MS 10u /* longer between two looks: the machine was held up, not the packets */
#define CHAINS 4096u
#define FLOOD_FRAME_MAX 1514u

const char *argp_program_bug_address = NULL;

struct settings {
    struct port_settings port;
    uint16_t room;
    uint32_t packets; /* 0: a round */
    uint32_t size;    /* of every packet; 0: all sizes */
    uint32_t segments;
    uint32_t number;
    uint32_t wait_ms;
    uint32_t lag_us; /* of receivers, in a flood */
    bool every_size;
    bool flood;
};

static const struct argp_option options[] = {
    {"packets", 'n', "N", 0, "packets each way (default: all sizes, each with 1 to 40 segments)",
     0},
    {"every-size", 'e', NULL, 0, "every size from 1 to 16384, not only those beside powers of two",
     0},
    {"frame", 'f', "BYTES", 0, "longest packet, without CRC (default: 1514; 9014: a jumbo frame)",
     0},
    {"size", 's', "BYTES", 0, "every packet is so long, without CRC, in segments of equal length",
     0},
    {"segments", 'g', "N", 0, "of a packet, at most (default: 40)", 0},
    {"ring", 'r', "N", 0, "descriptors of each ring (default: 256; few wrap and run out often)", 0},
    {"room", 'b', "BYTES", 0, "of a receive buffer (default: 2048; longer packets take several)",
     0},
    {"number", 'i', "N", 0,
     "of the first port in its packets (default: 0; the other end has another)", 0},
    {"flood", 'x', "US", 0,
     "send without waiting for the other end, and look at what came every US", 0},
    {"wait", 'w', "MS", 0, "for links and for the other end (default: 10000)", 0},
    {0},
};

static const char doc[] =
    "Scatter-gather by DMA, every byte checked.\v"
    "With two ports, packets go between them; with one, to an sg that runs in another guest on "
    "the same wire. A packet has a segment whose size, alignment and place (across a border of "
    "4 KiB or 2 MiB) the program goes through; others stand before and behind it. Each 8 bytes "
    "name their packet, so a wrong byte is told with what came in its place.\n\n"
    "\"sg: traffic: N packets each way\" is said when the first have come at each port. The "
    "result is one line of JSON; what a limit of the device left out stands in \"skipped\". "
    "Exit status: 0 all right, 1 something was wrong or lost, 3 it could not run.\n\n"
    "  sg                                two ports, all sizes up to 1514 bytes\n"
    "  sg --frame 9014 --ring 64         jumbo frames, through rings that run out\n"
    "  sg --every-size --frame 16000     what an igb can\n"
    "  sg --size 60 --packets 100000     the shortest; the result says how many a second\n"
    "  sg --number 1 -- -a 0000:00:02.0  one port, as the second end; behind -- EAL's options";

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct settings *s = state->input;

    switch (key) {
    case 'n':
        s->packets = (uint32_t)tool_number(text, 1, (1u << PATTERN_SEQUENCE_BITS) - 1, state);
        break;
    case 'e':
        s->every_size = true;
        break;
    case 'f':
        s->port.frame_max = (uint32_t)tool_number(text, PORT_FRAME_MIN, SHAPE_SIZE_MAX, state);
        break;
    case 's':
        s->size = (uint32_t)tool_number(text, PORT_FRAME_MIN, SHAPE_SIZE_MAX, state);
        break;
    case 'g':
        s->segments = (uint32_t)tool_number(text, 1, SHAPE_SEGMENTS_MAX, state);
        break;
    case 'r':
        s->port.rx_ring = s->port.tx_ring = (uint16_t)tool_number(text, 32, 4096, state);
        break;
    case 'b':
        s->room = (uint16_t)tool_number(text, 256, 16384, state);
        break;
    case 'i':
        s->number = (uint32_t)tool_number(text, 0, PATTERN_PORT_MAX - 1, state);
        break;
    case 'x':
        s->flood = true;
        s->lag_us = (uint32_t)tool_number(text, 0, 1000000, state);
        break;
    case 'w':
        s->wait_ms = (uint32_t)tool_number(text, 0, 600000, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

/* Says so when packets have come at each port; true: it has. */
static bool say_traffic(const struct flow *flows, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (flows[i].came == 0) {
            return false;
        }
    }
    fprintf(stderr, "%s: traffic: %u packets each way\n", tool_name(), flows[0].count);
    return true;
}

/* True: all went and came. False: nothing moved any more. */
static bool run(struct flow *flows, unsigned count, uint32_t lag_us)
{
    bool traffic = false;
    uint64_t ms = rte_get_timer_hz() / 1000;
    uint64_t lag = ms * lag_us / 1000;
    uint64_t looked = rte_get_timer_cycles();
    struct stall stall = {.patience = ms * STALL_MS, .step = ms * LOOK_MS, .last = looked};

    for (;;) {
        uint32_t moved = 0;
        bool over = true, look = rte_get_timer_cycles() - looked >= lag;

        looked = look ? rte_get_timer_cycles() : looked;
        for (unsigned i = 0; i < count; i++) {
            moved += flow_send(&flows[i]) + (look ? flow_receive(&flows[i]) : 0);
            over = over && flow_is_over(&flows[i]);
        }
        traffic = traffic || say_traffic(flows, count);
        if (over) {
            return true;
        }
        if (stall_look(&stall, rte_get_timer_cycles(), moved != 0)) {
            return false;
        }
    }
}

/* Nothing is lost without a word: how many of the other end's packets did not come. */
static void say_missing(const struct flow *f)
{
    uint32_t missing = f->count - f->came;

    if (missing != 0) {
        fprintf(stderr,
                "%s: port %u: %u of %u packets have not come; its card counts %" PRIu64
                " as missed\n",
                tool_name(), f->port->id, missing, f->count, port_missed(f->port));
    }
}

/* The limits that both ends share: a packet must be possible on each port here. */
static struct shape_limits limits_of(const struct settings *s, const struct port *ports,
                                     unsigned count)
{
    struct shape_limits l = {s->port.frame_max, s->segments, s->every_size, s->size,
                             PORT_FRAME_MIN};

    if (s->flood) {
        l.frame_max = l.frame_max < FLOOD_FRAME_MAX ? l.frame_max : FLOOD_FRAME_MAX;
        l.segments_max = 1;
    }

    for (unsigned i = 0; i < count; i++) {
        l.frame_max = ports[i].frame_max < l.frame_max ? ports[i].frame_max : l.frame_max;
        l.segments_max =
            ports[i].segments_max < l.segments_max ? ports[i].segments_max : l.segments_max;
    }
    if (l.size > l.frame_max) {
        tool_cannot("no packet can have %u bytes: %u are the most", l.size, l.frame_max);
    }
    return l;
}

static void make_flows(const struct settings *s, struct port *ports, struct flow *flows,
                       unsigned count)
{
    struct shape_limits limits = limits_of(s, ports, count);
    struct rte_mempool *chains = packet_pool("chains", CHAINS);
    struct rte_mempool *copies = s->flood ? packet_buffers("copies", CHAINS, 2048) : NULL;

    for (unsigned i = 0; i < count; i++) {
        flows[i] = (struct flow){.port = &ports[i], .number = s->number + i, .limits = limits};
        flows[i].count = s->packets != 0 ? s->packets : shape_round(&limits);
        flows[i].ahead = flow_ahead(ports[i].rx_ring, limits.frame_max / s->room + 1);
        flows[i].chains = chains;
        flows[i].copies = copies;
        if (s->flood && (flows[i].seen = calloc(flows[i].count, 1)) == NULL) {
            tool_cannot("no memory to note %u packets", flows[i].count);
        }
        arena_make(&flows[i].arena, i == 0 ? "arena0" : "arena1");
    }
}

/* ---- the result ----------------------------------------------------------------------------- */

static bool is_right(const struct flow *f)
{
    return flow_is_over(f) && f->came == f->count && f->strange + f->wrong == 0 &&
           port_missed(f->port) == 0;
}

static void say_flow(const struct flow *f)
{
    const struct arena_seen *seen = &f->arena.seen;

    json_open(NULL);
    json_number("number", f->number);
    json_number("packets", f->count);
    json_number("ahead", f->ahead);
    json_number("sent", f->sent);
    json_number("received", f->came);
    json_number("bytes", f->bytes);
    json_number("buffers", f->buffers);
    json_number("lost", f->count - f->came);
    json_number("wrong", f->wrong);
    json_number("strange", f->strange);
    json_number("refused", f->refused);
    json_number("segments", seen->segments);
    json_number("segments_most", seen->count_most);
    arena_say(seen);
    json_number("ring_wraps", seen->segments / f->port->tx_ring);
    json_close();
}

static void say_skipped(const struct settings *s, const struct flow *f)
{
    uint32_t first = 0;
    uint32_t sizes = shape_sizes_skipped(&f->limits, &first);
    char text[128];

    json_list("skipped");
    if (f->limits.frame_max < s->port.frame_max) {
        snprintf(text, sizeof text,
                 "packets of more than %u bytes: the device takes no longer ones",
                 f->limits.frame_max);
        json_text(NULL, text);
    }
    if (sizes != 0) {
        snprintf(text, sizeof text, "%u sizes of segments, from %u bytes on: packets have %u",
                 sizes, first, f->limits.frame_max);
        json_text(NULL, text);
    }
    if (f->limits.segments_max < s->segments && !s->flood) {
        snprintf(text, sizeof text, "more than %u segments: the driver takes no more, or the ring",
                 f->limits.segments_max);
        json_text(NULL, text);
    }
    json_close();
}

static bool say(const struct settings *s, const struct flow *flows, unsigned count, uint64_t us)
{
    bool right = true;
    uint64_t packets = 0;

    for (unsigned i = 0; i < count; i++) {
        right = right && is_right(&flows[i]);
        packets += flows[i].came;
    }
    json_open(NULL);
    json_text("program", tool_name());
    json_bool("passed", right);
    json_list("ports");
    for (unsigned i = 0; i < count; i++) {
        port_say(flows[i].port);
    }
    json_close();
    json_list("flows");
    for (unsigned i = 0; i < count; i++) {
        say_flow(&flows[i]);
    }
    json_close();
    say_skipped(s, &flows[0]);
    json_number("us", us);
    json_number("packets_per_second", us == 0 ? 0 : packets * 1000000 / us);
    json_close();
    return right;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, take_option, "[-- EAL-OPTION...]", doc, 0, 0, 0};
    struct settings s = {.port = {256, 256, 1514, 10000},
                         .segments = SHAPE_SEGMENTS_MAX,
                         .room = 2048,
                         .wait_ms = 10000};
    static struct port ports[FLOWS_MAX];
    static struct flow flows[FLOWS_MAX];

    tool_start(&argp, argc, argv, &s);
    unsigned count = port_count(1) < FLOWS_MAX ? 1 : FLOWS_MAX;
    struct rte_mempool *buffers = packet_buffers("buffers", 2048, s.room);

    s.port.link_ms = s.wait_ms;
    s.port.frame_max = s.size != 0 ? s.size : s.port.frame_max;
    for (unsigned i = 0; i < count; i++) {
        port_open(&ports[i], (uint16_t)i, &s.port, buffers);
    }
    make_flows(&s, ports, flows, count);
    flow_meet(flows, count, s.wait_ms);
    uint64_t start = rte_get_timer_cycles();
    bool moved = run(flows, count, s.lag_us);
    uint64_t us = (rte_get_timer_cycles() - start) * 1000000 / rte_get_timer_hz();

    if (moved) {
        flow_part(flows, count, PART_MS);
    } else {
        fprintf(stderr, "%s: nothing has moved for %u ms\n", tool_name(), STALL_MS);
    }
    for (unsigned i = 0; i < count; i++) {
        say_missing(&flows[i]);
    }
    bool right = say(&s, flows, count, us);

    for (unsigned i = 0; i < count; i++) {
        port_close(&ports[i]);
    }
    tool_end(right ? TOOL_PASSED : TOOL_FAILED);
}
