/* See chain.h. */
#include "chain.h"

#include <stdio.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_mbuf.h>

#define FAR_ROOM (CHAIN_LARGEST + 4096 + 2 * CHAIN_GUARD)
#define NEAR_ROOM (CHAIN_NEAR + 2 * CHAIN_GUARD + 512)
#define BORDER_SIDE 32768u
#define BORDER_ROOM 65535u /* what an mbuf can tell of a buffer */
#define AT_STEP 389u       /* has no factor in common with 4096 */

_Static_assert(FAR_ROOM <= UINT16_MAX, "an mbuf's length is 16 bits");

static struct rte_mempool *open_pool(const char *name, const char *kind, uint16_t room, int socket)
{
    struct rte_mempool *pool;
    char full[RTE_MEMPOOL_NAMESIZE];

    (void)snprintf(full, sizeof(full), "%s.%s", name, kind);
    pool = rte_pktmbuf_pool_create(full, STOCK_SEGMENTS, 0, 0, room, socket);
    must(pool != NULL, "no pool of mbufs", 0);
    return pool;
}

void stock_open(struct stock *s, struct guest *g, const char *name)
{
    uint8_t *pair =
        rte_malloc_socket("border", PAGE_2M + BORDER_SIDE, 2 * PAGE_2M, g->large.socket);

    *s = (struct stock){.g = g};
    must(pair != NULL, "no room for a border of 2 MiB", 0);
    s->border = pair + PAGE_2M;
    s->far = open_pool(name, "far", FAR_ROOM, g->large.socket);
    s->near = open_pool(name, "near", NEAR_ROOM, g->small.socket);
}

void stock_close(struct stock *s)
{
    rte_mempool_free(s->near);
    rte_mempool_free(s->far);
    rte_free(s->border - PAGE_2M);
}

/* ---- shapes -------------------------------------------------------------------------------- */

uint32_t chain_at(struct stock *s)
{
    s->next_at = (s->next_at + AT_STEP) & 4095;
    return s->next_at;
}

uint32_t chain_length(struct machine *m, uint32_t largest)
{
    uint32_t bits = 0, top;

    while (largest >> bits > 1) {
        bits++;
    }
    top = 1u << machine_between(m, 0, bits);
    return machine_between(m, top, 2 * top - 1 < largest ? 2 * top - 1 : largest);
}

uint32_t chain_cut(struct stock *s, uint32_t bytes, struct shape *out)
{
    uint32_t fewest = (bytes + CHAIN_LARGEST - 1) / CHAIN_LARGEST;
    uint32_t most = bytes < CHAIN_SEGMENTS ? bytes : CHAIN_SEGMENTS;
    uint32_t count = machine_between(s->g->m, fewest, most);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t behind = count - 1 - i; /* segments that come after this one */
        uint32_t last = bytes - behind < CHAIN_LARGEST ? bytes - behind : CHAIN_LARGEST;
        uint32_t first = bytes > behind * CHAIN_LARGEST ? bytes - behind * CHAIN_LARGEST : 1;
        uint32_t len = chain_length(s->g->m, last);

        out[i] = (struct shape){.len = len > first ? len : first, .at = chain_at(s)};
        bytes -= out[i].len;
    }
    return count;
}

/* ---- chains -------------------------------------------------------------------------------- */

/* The border's memory belongs to the stock. */
static void keep_border(void *va, void *stock)
{
    (void)va, (void)stock;
}

static struct rte_mbuf *across(struct stock *s, uint32_t len)
{
    static struct rte_mbuf_ext_shared_info shared = {.free_cb = keep_border};
    uint8_t *start = s->border - BORDER_SIDE;
    struct rte_mbuf *m = rte_pktmbuf_alloc(s->near);

    must(m != NULL, "a pool of mbufs is empty", 0);
    rte_mbuf_ext_refcnt_set(&shared, 1);
    rte_pktmbuf_attach_extbuf(m, start, iova_of(start), BORDER_ROOM, &shared);
    m->data_off = (uint16_t)(BORDER_SIDE - machine_between(s->g->m, 1, len - 1));
    return m;
}

static struct rte_mbuf *within(struct stock *s, const struct shape *shape)
{
    bool near = shape->len <= CHAIN_NEAR && (machine_random(s->g->m) >> 20 & 1) != 0;
    struct rte_mbuf *m = rte_pktmbuf_alloc(near ? s->near : s->far);
    uint64_t first;

    must(m != NULL, "a pool of mbufs is empty", 0);
    first = (uintptr_t)m->buf_addr + CHAIN_GUARD;
    m->data_off = (uint16_t)(near ? CHAIN_GUARD + (shape->at & 511)
                                  : CHAIN_GUARD + ((shape->at - first) & 4095));
    return m;
}

struct rte_mbuf *chain_make(struct stock *s, const struct shape *shapes, uint32_t count,
                            uint32_t border)
{
    struct rte_mbuf *head = NULL, **next = &head;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < count; i++) {
        bool is_across = i == border && shapes[i].len > 1;
        struct rte_mbuf *m = is_across ? across(s, shapes[i].len) : within(s, &shapes[i]);

        m->data_len = (uint16_t)shapes[i].len;
        bytes += shapes[i].len;
        *next = m;
        next = &m->next;
    }
    head->nb_segs = (uint16_t)count;
    head->pkt_len = bytes;
    return head;
}

void chain_free(struct rte_mbuf *m)
{
    rte_pktmbuf_free(m);
}

void chain_fill(struct rte_mbuf *m, struct pattern p)
{
    for (uint64_t offset = 0; m != NULL; m = m->next) {
        pattern_fill(p, offset, rte_pktmbuf_mtod(m, void *), m->data_len);
        offset += m->data_len;
    }
}

bool chain_check(const struct rte_mbuf *m, struct pattern p, struct pattern_wrong *wrong)
{
    bool good = true;

    for (uint64_t offset = 0; m != NULL; m = m->next) {
        good &= pattern_check(p, offset, rte_pktmbuf_mtod(m, const void *), m->data_len, wrong);
        offset += m->data_len;
    }
    return good;
}

/* ---- guards -------------------------------------------------------------------------------- */

#define GUARD_BYTE 0xa5

void chain_guard(struct rte_mbuf *m)
{
    for (; m != NULL; m = m->next) {
        uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

        memset(data - CHAIN_GUARD, GUARD_BYTE, CHAIN_GUARD);
        memset(data + m->data_len, GUARD_BYTE, CHAIN_GUARD);
    }
}

bool chain_is_guarded(const struct rte_mbuf *m)
{
    uint8_t guard[CHAIN_GUARD];

    memset(guard, GUARD_BYTE, sizeof(guard));
    for (; m != NULL; m = m->next) {
        const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);

        if (memcmp(data - CHAIN_GUARD, guard, CHAIN_GUARD) != 0 ||
            memcmp(data + m->data_len, guard, CHAIN_GUARD) != 0) {
            return false;
        }
    }
    return true;
}
