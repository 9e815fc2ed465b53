/* Packets of three pieces between two ports: see line.h. */
#include "lib/line.h"
#include "lib/tool.h"
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <string.h>

#define RING 64u
#define MBUFS 1023u /* more than any ring of virtio, which takes no wishes */
#define BUFFER_BYTES (RTE_PKTMBUF_HEADROOM + LINE_PIECE)
#define PIECES 3u
#define LINK_MS 8000u
#define COMES_MS 1000u
#define ETHERTYPE 0x88b5u /* for local experiments */

static const struct port_settings settings = {
    .tx_ring = RING, .rx_ring = RING, .frame_max = LINE_PACKET, .link_ms = LINK_MS};

enum line_where line_where(const char *word)
{
    static const char *const words[LINE_WHERES] = {"first", "middle", "last", "none"};
    unsigned i = 0;

    while (i < LINE_WHERES && strcmp(word, words[i]) != 0) {
        i++;
    }
    return (enum line_where)i;
}

/* A pool whose buffers come round in order: nobody keeps any in a cache. */
static struct rte_mempool *pool(const char *name, const struct rte_pktmbuf_extmem *memory)
{
    struct rte_mempool *mp =
        memory == NULL ? rte_pktmbuf_pool_create(name, MBUFS, 0, 0, BUFFER_BYTES, SOCKET_ID_ANY)
                       : rte_pktmbuf_pool_create_extbuf(name, MBUFS, 0, 0, BUFFER_BYTES,
                                                        SOCKET_ID_ANY, memory, 1);

    if (mp == NULL) {
        tool_cannot("no memory for %u buffers: more huge pages are needed", MBUFS);
    }
    return mp;
}

void line_open(struct line *l, const struct rte_pktmbuf_extmem *memory)
{
    port_count(2);
    l->send = pool("send", NULL);
    l->receive = pool("receive", memory);
    port_open(&l->from, 0, &settings, l->send);
    port_open(&l->to, 1, &settings, l->receive);
}

void line_close(struct line *l)
{
    port_close(&l->from);
    port_close(&l->to);
}

static struct rte_mbuf *get(struct rte_mempool *mp)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(mp);

    if (m == NULL) {
        tool_cannot("no buffer is free in pool '%s'", mp->name);
    }
    return m;
}

/* What an honest packet holds. */
static void packet_fill(uint8_t *at)
{
    static const struct rte_ether_hdr head = {.src_addr = {{2, 0xc0, 0x4d, 0, 0, 1}},
                                              .dst_addr = {{2, 0xc0, 0x4d, 0, 0, 2}}};

    memcpy(at, &head, sizeof(head));
    at[12] = ETHERTYPE >> 8;
    at[13] = ETHERTYPE & 0xff;
    for (size_t i = sizeof(head); i < LINE_PACKET; i++) {
        size_t letter = i % strlen(LINE_MARK);

        at[i] = (uint8_t)(letter == 0 ? '0' + i / LINE_PIECE : (size_t)LINE_MARK[letter]);
    }
}

static struct rte_mbuf *packet_make(struct line *l, unsigned pieces)
{
    uint8_t bytes[LINE_PACKET];
    struct rte_mbuf *head = NULL;

    packet_fill(bytes);
    for (unsigned i = 0; i < pieces; i++) {
        struct rte_mbuf *m = get(l->send);

        memcpy(rte_pktmbuf_append(m, LINE_PIECE), bytes + i * LINE_PIECE, LINE_PIECE);
        if (head == NULL) {
            head = m;
        } else if (rte_pktmbuf_chain(head, m) != 0) {
            tool_cannot("a packet of %u pieces is too long", pieces);
        }
    }
    return head;
}

static void packet_put(struct line *l, struct rte_mbuf *m)
{
    uint64_t hz = rte_get_timer_hz(), until = rte_get_timer_cycles() + hz;

    while (rte_eth_tx_burst(l->from.id, 0, &m, 1) == 0) {
        if (rte_get_timer_cycles() > until) {
            tool_cannot("port 0 takes no packet");
        }
    }
}

void line_send(struct line *l, enum line_where where, uint64_t iova)
{
    struct rte_mbuf *head = packet_make(l, PIECES), *piece = head;
    uint64_t honest;

    for (unsigned i = 0; i < (unsigned)where && piece != NULL; i++) {
        piece = piece->next;
    }
    if (piece == NULL) {
        packet_put(l, head);
        return;
    }
    honest = rte_mbuf_iova_get(piece);
    rte_mbuf_iova_set(piece, iova - piece->data_off);
    packet_put(l, head);
    rte_mbuf_iova_set(piece, honest); /* the driver has read it */
}

void line_send_one(struct line *l)
{
    packet_put(l, packet_make(l, 1));
}

/* The packet that comes next, or NULL after a moment. */
static struct rte_mbuf *packet_get(struct line *l)
{
    uint64_t until = rte_get_timer_cycles() + rte_get_timer_hz() * COMES_MS / 1000;
    struct rte_mbuf *m;

    while (rte_eth_rx_burst(l->to.id, 0, &m, 1) == 0) {
        if (rte_get_timer_cycles() > until) {
            return NULL;
        }
    }
    return m;
}

/* Its buffers are the card's to use again, each where it stands. */
static void release(struct line *l, struct rte_mbuf *m)
{
    for (struct rte_mbuf *s = m; s != NULL; s = s->next) {
        if (s == l->aimed) {
            rte_mbuf_iova_set(s, l->aimed_iova);
            l->aimed = NULL;
        }
    }
    rte_pktmbuf_free(m);
}

void line_take(struct line *l, struct line_packet *out)
{
    struct rte_mbuf *m = packet_get(l);

    out->len = 0;
    if (m == NULL) {
        return;
    }
    for (const struct rte_mbuf *s = m; s != NULL; s = s->next) {
        uint32_t n = RTE_MIN((uint32_t)s->data_len, LINE_PACKET - out->len);

        memcpy(out->bytes + out->len, rte_pktmbuf_mtod(s, const uint8_t *), n);
        out->len += n;
    }
    release(l, m);
}

bool line_drop(struct line *l)
{
    struct rte_mbuf *m = packet_get(l);
    bool came = m != NULL;

    for (uint16_t more = came; more != 0; more = rte_eth_rx_burst(l->to.id, 0, &m, 1)) {
        release(l, m);
    }
    return came;
}

/* The buffers that nobody has, in the order in which the card will be given them. */
static unsigned all_free(struct line *l, struct rte_mbuf **list)
{
    unsigned count = 0;
    void *m;

    while (count < MBUFS && rte_mempool_get(l->receive, &m) == 0) {
        list[count++] = m;
    }
    for (unsigned i = 0; i < count; i++) {
        rte_mempool_put(l->receive, list[i]);
    }
    return count;
}

void line_aim(struct line *l, enum line_where where, uint64_t iova)
{
    struct rte_mbuf *list[MBUFS], *m;
    unsigned count = all_free(l, list);

    if (where >= LINE_NONE) {
        return;
    }
    if (count < 1 + PIECES) {
        tool_cannot("%u buffers of port 1 are free, %u needed", count, 1 + PIECES);
    }
    l->aimed = list[1 + where];
    l->aimed_iova = rte_mbuf_iova_get(l->aimed);
    rte_mbuf_iova_set(l->aimed, iova - RTE_PKTMBUF_HEADROOM);
    do { /* each packet of one piece brings the buffer behind list[0] one nearer */
        line_send_one(l);
        m = packet_get(l);
        if (m == NULL) {
            tool_cannot("an honest packet does not arrive");
        }
        rte_pktmbuf_free(m);
    } while (m != list[0]);
}

static bool is_of(enum line_where where, size_t i)
{
    return i / LINE_PIECE == (size_t)where;
}

void line_fill(uint8_t *at, enum line_where where)
{
    uint8_t bytes[LINE_PACKET];

    packet_fill(bytes);
    memcpy(at, bytes + (unsigned)where * LINE_PIECE, LINE_PIECE);
}

bool line_rest_right(const struct line_packet *p, enum line_where where)
{
    uint8_t want[LINE_PACKET];

    packet_fill(want);
    for (size_t i = 0; i < p->len; i++) {
        if (!is_of(where, i) && p->bytes[i] != want[i]) {
            return false;
        }
    }
    return p->len == LINE_PACKET;
}

uint32_t line_foreign(const struct line_packet *p, enum line_where where)
{
    uint32_t count = 0;

    for (size_t i = 0; i < p->len; i++) {
        count += is_of(where, i) && p->bytes[i] != 0;
    }
    return count;
}
