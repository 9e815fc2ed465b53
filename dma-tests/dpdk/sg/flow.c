/* Flows: windowed, in order, each packet's shape known to both ends. */
#include "sg/flow.h"
#include "lib/tool.h"
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>

#define TELL_MAX 8u /* lines of what is wrong; all is counted */
#define HELLO_MS 10u

/* ---- hello ---------------------------------------------------------------------------------- */

enum heard { HEARD_NOTHING, HEARD, HEARD_ALL };

/* A frame of one segment: who sends it, and what it has heard of the other end. */
struct hello {
    uint8_t to[6];
    uint8_t from[6];
    uint8_t type[2];
    uint8_t number;
    uint8_t heard;
    uint8_t rest[PORT_FRAME_MIN - 16];
};

static void say_hello(struct flow *f)
{
    struct shape s = {.count = 1, .len = {sizeof(struct hello)}};
    struct arena_seen seen = f->arena.seen;
    struct piece piece;
    struct hello h = {.type = {PACKET_TYPE_HELLO >> 8, PACKET_TYPE_HELLO & 0xff},
                      .number = (uint8_t)f->number,
                      .heard = flow_is_over(f) ? HEARD_ALL
                               : f->met        ? HEARD
                                               : HEARD_NOTHING};

    memset(h.to, 0xff, sizeof h.to);
    memcpy(h.from, (const uint8_t[]){2, 'c', 'o', 'r', 'd', h.number}, sizeof h.from);
    /* Where no packet is that may be under way. */
    arena_place(&f->arena, f->sent == 0 ? ARENA_SLOTS - 1 : f->sent, &s, &piece);
    f->arena.seen = seen;
    memcpy(piece.at, &h, sizeof h);
    struct rte_mbuf *m = packet_chain(f->chains, &piece, 1);

    if (m != NULL && rte_eth_tx_burst(f->port->id, 0, &m, 1) == 0) {
        rte_pktmbuf_free(m);
    }
}

static void hear_hello(struct flow *f, const struct rte_mbuf *m)
{
    struct hello copy;
    const struct hello *h = rte_pktmbuf_read(m, 0, sizeof copy, &copy);

    if (h == NULL) {
        return;
    }
    if (h->number == f->number) {
        tool_cannot("the other end of port %u has number %u too: give one of them --number",
                    f->port->id, f->number);
    }
    f->met = true;
    f->other = h->number;
    f->known = f->known || h->heard != HEARD_NOTHING;
    f->served = h->heard == HEARD_ALL;
}

static bool all_known(const struct flow *flows, unsigned count)
{
    bool all = true;

    for (unsigned i = 0; i < count; i++) {
        all = all && flows[i].known;
    }
    return all;
}

static void greet(struct flow *flows, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        say_hello(&flows[i]);
    }
}

/* Say hello, and hear what has come after a while. */
static void exchange(struct flow *flows, unsigned count)
{
    greet(flows, count);
    rte_delay_ms(HELLO_MS);
    for (unsigned i = 0; i < count; i++) {
        (void)flow_receive(&flows[i]);
    }
}

void flow_meet(struct flow *flows, unsigned count, uint32_t ms)
{
    for (uint32_t waited = 0; !all_known(flows, count); waited += HELLO_MS) {
        if (waited > ms) {
            tool_cannot("nothing has come from the other end within %u ms: with one port, another "
                        "guest on its wire runs sg, too, with another --number",
                        ms);
        }
        exchange(flows, count);
    }
    greet(flows, count); /* the last that it sent may have told that it had heard nothing */
}

static bool all_served(const struct flow *flows, unsigned count)
{
    bool all = true;

    for (unsigned i = 0; i < count; i++) {
        all = all && flows[i].served;
    }
    return all;
}

void flow_part(struct flow *flows, unsigned count, uint32_t ms)
{
    for (uint32_t waited = 0; waited <= ms && !all_served(flows, count); waited += HELLO_MS) {
        exchange(flows, count);
    }
    greet(flows, count); /* its last may have told that it had not all yet */
}

/* ---- sending -------------------------------------------------------------------------------- */

/* A packet of a flood: nobody tells when it has come, so its memory is the mbuf's own. */
static struct rte_mbuf *make_copy(struct flow *f, uint32_t number)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(f->copies);
    struct shape s;

    if (m == NULL) {
        return NULL;
    }
    shape_of(&f->limits, number, &s);
    struct piece piece = {(uint8_t *)rte_pktmbuf_append(m, (uint16_t)s.total), 0,
                          (uint16_t)s.total};

    packet_fill((struct pattern){f->number, number}, &piece, 1);
    return m;
}

static struct rte_mbuf *make_packet(struct flow *f, uint32_t number)
{
    struct piece pieces[SHAPE_SEGMENTS_MAX];
    struct shape s;

    shape_of(&f->limits, number, &s);
    arena_place(&f->arena, number, &s, pieces);
    packet_fill((struct pattern){f->number, number}, pieces, s.count);
    return packet_chain(f->chains, pieces, s.count);
}

uint32_t flow_ahead(uint32_t ring, uint32_t buffers)
{
    uint32_t fit = ring / (4 * buffers);

    return fit < 1 ? 1 : fit < ARENA_SLOTS / 2 ? fit : ARENA_SLOTS / 2;
}

/* Make what may be sent now, behind what has been refused. */
static void make_ready(struct flow *f)
{
    uint32_t end = f->received + f->ahead < f->count ? f->received + f->ahead : f->count;

    end = f->copies != NULL ? f->count : end;
    while (f->ready_count < FLOW_BURST && f->sent + f->ready_count < end) {
        uint32_t number = f->sent + f->ready_count;
        struct rte_mbuf *m = f->copies != NULL ? make_copy(f, number) : make_packet(f, number);

        if (m == NULL) {
            return;
        }
        f->ready[f->ready_count++] = m;
    }
}

uint32_t flow_send(struct flow *f)
{
    make_ready(f);
    if (f->ready_count == 0) {
        return 0;
    }
    uint16_t went = rte_eth_tx_burst(f->port->id, 0, f->ready, f->ready_count);

    f->refused += went < f->ready_count;
    f->ready_count = (uint16_t)(f->ready_count - went);
    memmove(f->ready, f->ready + went, f->ready_count * sizeof f->ready[0]);
    f->sent += went;
    return went;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static void tell(struct flow *f, uint32_t number, const char *what)
{
    if (f->wrong + f->strange <= TELL_MAX) {
        fprintf(stderr, "%s: port %u: packet %u of end %u: %s\n", tool_name(), f->port->id, number,
                f->other, what);
    }
}

static void check(struct flow *f, const struct rte_mbuf *m, uint32_t number)
{
    struct pattern_wrong wrong = {0};
    struct shape s;
    char text[160];

    shape_of(&f->limits, number, &s);
    f->bytes += m->pkt_len;
    f->buffers += m->nb_segs;
    if (m->pkt_len != s.total) {
        f->wrong++;
        snprintf(text, sizeof text, "%u bytes long, it was sent with %u", m->pkt_len, s.total);
        tell(f, number, text);
    } else if (!packet_check(m, (struct pattern){f->other, number}, &wrong)) {
        f->wrong++;
        tell(f, number, pattern_say(&wrong, text, sizeof text));
    }
}

/* Whether packet NUMBER may come now. */
static bool is_expected(const struct flow *f, uint32_t number)
{
    if (f->seen != NULL) {
        return number < f->count && f->seen[number] == 0;
    }
    return number >= f->received && number < f->count;
}

/* One that says nothing of itself is taken for the next, so that what stands in its place is told.
 */
static void take_data(struct flow *f, const struct rte_mbuf *m)
{
    struct pattern p = {f->other, f->received};

    f->known = true;
    bool named = packet_name(m, &p);

    if ((named && p.port != f->other) || !is_expected(f, p.sequence)) {
        f->strange++;
        tell(f, p.sequence, "it was not to come here now");
        return;
    }
    check(f, m, p.sequence);
    f->came++;
    f->received = p.sequence + 1;
    if (f->seen != NULL) {
        f->seen[p.sequence] = 1;
        f->received = f->came;
    }
}

uint32_t flow_receive(struct flow *f)
{
    struct rte_mbuf *burst[FLOW_BURST];
    uint16_t count = rte_eth_rx_burst(f->port->id, 0, burst, FLOW_BURST);

    for (uint16_t i = 0; i < count; i++) {
        uint16_t type = packet_type(burst[i]);

        if (type == PACKET_TYPE_HELLO) {
            hear_hello(f, burst[i]);
        } else if (f->met && (type == PACKET_TYPE_DATA || f->received < f->count)) {
            take_data(f, burst[i]);
        } else {
            f->strange += f->met; /* before, a wire may still hold what another program sent */
        }
        packet_free(burst[i]);
    }
    return count;
}

bool flow_is_over(const struct flow *f)
{
    return f->sent == f->count && f->received == f->count;
}
