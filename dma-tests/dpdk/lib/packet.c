/* Chains of mbufs over memory of any address, and their patterns. */
#include "lib/packet.h"
#include "lib/tool.h"
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <string.h>

static const uint8_t to_everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void header(struct pattern p, uint8_t *out)
{
    memcpy(out, to_everybody, 6);
    memcpy(out + 6, (const uint8_t[]){0x02, 'c', 'o', 'r', 'd', (uint8_t)p.port}, 6);
    out[12] = PACKET_TYPE_DATA >> 8;
    out[13] = PACKET_TYPE_DATA & 0xff;
}

void pieces_fill(struct pattern p, const struct piece *pieces, unsigned count)
{
    uint64_t offset = 0;

    for (unsigned i = 0; i < count; i++) {
        pattern_fill(p, offset, pieces[i].at, pieces[i].len);
        offset += pieces[i].len;
    }
}

void packet_fill(struct pattern p, const struct piece *pieces, unsigned count)
{
    uint8_t head[PACKET_HEADER];
    size_t offset = 0;

    header(p, head);
    pieces_fill(p, pieces, count);
    for (unsigned i = 0; i < count && offset < PACKET_HEADER; i++) {
        size_t room = PACKET_HEADER - offset;
        size_t len = pieces[i].len < room ? pieces[i].len : room;

        memcpy(pieces[i].at, head + offset, len);
        offset += len;
    }
}

/* ---- chains --------------------------------------------------------------------------------- */

/* The memory of pieces is nobody's to free; the count of its users is all that mbufs need. */
static void keep(void *at, void *opaque)
{
    (void)at;
    (void)opaque;
}

static struct rte_mbuf_ext_shared_info shared = {.free_cb = keep, .refcnt = 1};

struct rte_mbuf *packet_chain(struct rte_mempool *pool, const struct piece *pieces, unsigned count)
{
    struct rte_mbuf *first = NULL, *last = NULL;

    for (unsigned i = 0; i < count; i++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

        if (m == NULL) {
            rte_pktmbuf_free(first);
            return NULL;
        }
        rte_mbuf_ext_refcnt_update(&shared, 1);
        rte_pktmbuf_attach_extbuf(m, pieces[i].at, pieces[i].iova, pieces[i].len, &shared);
        m->data_len = pieces[i].len;
        if (first == NULL) {
            first = m;
        } else {
            last->next = m;
            first->nb_segs++;
        }
        first->pkt_len += m->data_len;
        last = m;
    }
    return first;
}

struct rte_mempool *packet_pool(const char *name, unsigned count)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, count, 0, 0, 0, SOCKET_ID_ANY);

    if (pool == NULL) {
        tool_cannot("no memory for %u mbufs: %s; give the guest more huge pages", count,
                    rte_strerror(rte_errno));
    }
    return pool;
}

static void poison(struct rte_mempool *pool, void *opaque, void *object, unsigned i)
{
    struct rte_mbuf *m = object;

    (void)pool;
    (void)opaque;
    (void)i;
    memset(m->buf_addr, PACKET_POISON, m->buf_len);
}

struct rte_mempool *packet_buffers(const char *name, unsigned count, uint16_t room)
{
    struct rte_mempool *pool = rte_pktmbuf_pool_create(
        name, count, 0, 0, (uint16_t)(room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);

    if (pool == NULL) {
        tool_cannot("no memory for %u buffers of %u bytes: %s; give the guest more huge pages",
                    count, room, rte_strerror(rte_errno));
    }
    rte_mempool_obj_iter(pool, poison, NULL);
    return pool;
}

void packet_free(struct rte_mbuf *chain)
{
    for (struct rte_mbuf *m = chain; m != NULL; m = m->next) {
        memset(m->buf_addr, PACKET_POISON,
               (size_t)m->data_off + m->data_len); /* virtio's header too */
    }
    rte_pktmbuf_free(chain);
}

/* ---- what was received ---------------------------------------------------------------------- */

uint16_t packet_type(const struct rte_mbuf *chain)
{
    uint8_t copy[2];
    const uint8_t *type = rte_pktmbuf_read(chain, PACKET_HEADER - 2, sizeof copy, copy);

    return type == NULL ? 0 : (uint16_t)(type[0] * 256u + type[1]);
}

bool packet_name(const struct rte_mbuf *chain, struct pattern *p)
{
    uint8_t copy[PATTERN_WORD];
    const void *word = rte_pktmbuf_read(chain, PACKET_NAME_AT, sizeof copy, copy);
    uint64_t offset;

    return word != NULL && pattern_name(word, p, &offset) && offset == PACKET_NAME_AT;
}

static void check_header(struct pattern p, uint64_t offset, const uint8_t *at, size_t len,
                         struct pattern_wrong *wrong)
{
    uint8_t head[PACKET_HEADER];

    header(p, head);
    for (size_t k = 0; k < len && offset + k < PACKET_HEADER; k++) {
        if (at[k] != head[offset + k] && wrong->count++ == 0) {
            wrong->offset = offset + k;
            wrong->wanted = head[offset + k];
            wrong->found = at[k];
            wrong->kind = PATTERN_UNKNOWN;
        }
    }
}

/* Bytes of the last buffer behind the packet: the device had no business there. */
static void check_behind(const struct rte_mbuf *last, uint64_t offset, struct pattern_wrong *wrong)
{
    const uint8_t *at = rte_pktmbuf_mtod(last, const uint8_t *) + last->data_len;

    for (uint16_t k = 0; k < rte_pktmbuf_tailroom(last); k++) {
        if (at[k] != PACKET_POISON && wrong->count++ == 0) {
            wrong->offset = offset + k;
            wrong->wanted = PACKET_POISON;
            wrong->found = at[k];
            wrong->kind = PATTERN_UNKNOWN;
        }
    }
}

bool packet_check(const struct rte_mbuf *chain, struct pattern p, struct pattern_wrong *wrong)
{
    uint64_t before = wrong->count, offset = 0;

    for (const struct rte_mbuf *m = chain; m != NULL; m = m->next) {
        const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);
        size_t skip = offset < PACKET_HEADER ? PACKET_HEADER - (size_t)offset : 0;

        check_header(p, offset, at, m->data_len, wrong);
        if (m->data_len > skip) {
            (void)pattern_check(p, offset + skip, at + skip, m->data_len - skip, wrong);
        }
        offset += m->data_len;
        if (m->next == NULL) {
            check_behind(m, offset, wrong);
        }
    }
    return wrong->count == before;
}
