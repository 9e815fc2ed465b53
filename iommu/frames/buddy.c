/*
 * Free lists: runs of 2^0 to 2^18 frames, naturally aligned, linked through nodes in the free
 * frames themselves. Runs of less than a block are listed by the kind of their block.
 *
 * The memory of a FREE frame is in no view (INV 4), so nobody but us can write a node; each is
 * checked against its place, its order and its neighbours when it is used, since a node that is not
 * as we left it means that the invariant is broken.
 */
#include "frames/stock.h"
#include <cordon/error.h>

struct free_node {
    uint64_t mark; /* key, place and order in one: stray or stale nodes do not match */
    uint64_t next, prev;
};

static struct free_node *node_at(const struct frame_pool *p, uint64_t hfn)
{
    return pool_ptr(p, hfn);
}

static uint64_t node_mark(const struct frame_pool *p, uint64_t hfn, unsigned order)
{
    return (p->key ^ hfn) * UINT64_C(0x9e3779b97f4a7c15) + order;
}

/* The word that a free run of an order starts with. */
static uint64_t free_word(unsigned order)
{
    return CORDON_FRAME_FREE | (uint64_t)order << 3;
}

/* The list that a free run belongs to: its first entry, and the mask that says which are not empty.
 */
struct free_list {
    uint64_t *first;
    uint32_t *nonempty;
};

static inline bool block_fixed(const struct frame_block *b)
{
    return b->words != NULL && (b->word & FW_SPLIT_FIXED) != 0;
}

/* B is the block that the run begins in. */
static inline struct free_list list_of(struct frame_pool *p, const struct frame_block *b,
                                       unsigned order)
{
    cordon_assert(order <= MAX_ORDER);
    if (order < BLOCK_ORDER && block_fixed(b)) {
        return (struct free_list){&p->fixed[order], &p->nonempty_fixed};
    }
    /* cppcheck-suppress arrayIndexOutOfBoundsCond ; it does not look at the assertion */
    return (struct free_list){&p->free[order], &p->nonempty};
}

uint64_t buddy_first(const struct frame_pool *p, unsigned order, enum frame_kind kind)
{
    cordon_assert(order <= MAX_ORDER);
    if (order < BLOCK_ORDER && kind == KIND_FIXED) {
        return p->fixed[order];
    }
    /* cppcheck-suppress arrayIndexOutOfBoundsCond */
    return p->free[order];
}

static inline bool node_ok(const struct frame_pool *p, const struct frame_block *b, uint64_t hfn,
                           unsigned order, uint64_t *next)
{
    const struct free_node *n = node_at(p, hfn);

    if (n->mark != node_mark(p, hfn, order) || pool_word(b, hfn) != free_word(order)) {
        return false;
    }
    if (n->prev == HFN_NONE
            ? buddy_first(p, order, block_fixed(b) ? KIND_FIXED : KIND_MOVABLE) != hfn
            : pool_bank(p, n->prev) == NULL || node_at(p, n->prev)->next != hfn) {
        return false;
    }
    if (n->next != HFN_NONE &&
        (pool_bank(p, n->next) == NULL || node_at(p, n->next)->prev != hfn)) {
        return false;
    }
    *next = n->next;
    return true;
}

bool buddy_node_ok(const struct frame_pool *p, uint64_t hfn, unsigned order, uint64_t *next)
{
    const struct frame_block *b = pool_block(p, hfn);

    return b != NULL && node_ok(p, b, hfn, order, next);
}

static void node_link(struct frame_pool *p, uint64_t hfn, unsigned order)
{
    struct free_node *n = node_at(p, hfn);
    struct free_list list = list_of(p, pool_block(p, hfn), order);

    n->mark = node_mark(p, hfn, order);
    n->prev = HFN_NONE;
    n->next = *list.first;
    if (n->next != HFN_NONE) {
        node_at(p, n->next)->prev = hfn;
    }
    *list.first = hfn;
    *list.nonempty |= 1u << order;
}

static void node_unlink(struct frame_pool *p, uint64_t hfn, unsigned order)
{
    struct free_node *n = node_at(p, hfn);
    const struct frame_block *b = pool_block(p, hfn);
    uint64_t next;

    cordon_assert(b != NULL && node_ok(p, b, hfn, order, &next)); /* INV 4 */
    struct free_list list = list_of(p, b, order);

    n->mark = 0;
    if (n->prev != HFN_NONE) {
        node_at(p, n->prev)->next = n->next;
    } else {
        *list.first = n->next;
    }
    if (n->next != HFN_NONE) {
        node_at(p, n->next)->prev = n->prev;
    }
    if (*list.first == HFN_NONE) {
        *list.nonempty &= ~(1u << order);
    }
}

/* Write the word of the frame, or of the whole block, that a free run starts at. */
static void word_write(struct frame_pool *p, uint64_t hfn, uint64_t word)
{
    struct frame_block *b = pool_block(p, hfn);

    cordon_assert(b != NULL);
    if (b->words != NULL) {
        b->words[hfn & (BLOCK_FRAMES - 1)] = word;
    } else {
        cordon_assert(is_aligned(hfn, BLOCK_FRAMES));
        b->word = word;
    }
}

unsigned buddy_piece(uint64_t hfn, uint64_t pages)
{
    unsigned order = 63u - (unsigned)__builtin_clzll(pages);
    unsigned align = hfn != 0 ? (unsigned)__builtin_ctzll(hfn) : MAX_ORDER;

    order = order < align ? order : align;
    return order < MAX_ORDER ? order : MAX_ORDER;
}

/* Say FREE over a run: words of split blocks, or blocks made whole. */
static void run_mark_free(struct frame_pool *p, uint64_t hfn, unsigned order)
{
    struct frame_block *b = pool_block(p, hfn);

    cordon_assert(b != NULL);
    if (order < BLOCK_ORDER) {
        cordon_assert(b->words != NULL);
        uint64_t *word = &b->words[hfn & (BLOCK_FRAMES - 1)];

        for (uint64_t i = 0; i < BIT64(order); i++) {
            word[i] = FW_FREE_INSIDE;
        }
        return;
    }
    for (uint64_t i = 0; i < BIT64(order - BLOCK_ORDER); i++) {
        if (b[i].words != NULL) {
            pool_join(p, &b[i], FW_FREE_INSIDE);
        }
        b[i].word = FW_FREE_INSIDE;
    }
}

void buddy_insert(struct frame_pool *p, uint64_t hfn, unsigned order)
{
    run_mark_free(p, hfn, order);
    word_write(p, hfn, free_word(order));
    node_link(p, hfn, order);
}

void buddy_put(struct frame_pool *p, uint64_t hfn, unsigned order)
{
    const struct frame_bank *bank = pool_bank(p, hfn);

    cordon_assert(bank != NULL && hfn + BIT64(order) <= bank->end);
    run_mark_free(p, hfn, order);
    for (; order < MAX_ORDER; order++) {
        uint64_t other = hfn ^ BIT64(order);

        if (other < bank->first || other >= bank->end ||
            pool_word(pool_block(p, other), other) != free_word(order)) {
            break;
        }
        node_unlink(p, other, order);
        word_write(p, other, FW_FREE_INSIDE);
        hfn &= ~BIT64(order);
        if (order + 1 == BLOCK_ORDER) {
            pool_join(p, pool_block(p, hfn), FW_FREE_INSIDE);
        }
    }
    word_write(p, hfn, free_word(order));
    node_link(p, hfn, order);
}

void buddy_put_run(struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    while (pages > 0) {
        unsigned order = buddy_piece(hfn, pages);

        buddy_put(p, hfn, order);
        hfn += BIT64(order);
        pages -= BIT64(order);
    }
}

unsigned buddy_remove(struct frame_pool *p, uint64_t hfn)
{
    uint64_t word = pool_word(pool_block(p, hfn), hfn);
    unsigned order = (unsigned)field_get(FW_ORDER, word);

    cordon_assert(field_get(FW_STATE, word) == CORDON_FRAME_FREE && order <= MAX_ORDER);
    node_unlink(p, hfn, order);
    word_write(p, hfn, FW_FREE_INSIDE);
    return order;
}

/* ---- taking ------------------------------------------------------------------------------- */

#define ORDERS_SMALL ((1u << BLOCK_ORDER) - 1u)

/* What there is of at least ORDER, as bits: in blocks of this kind, whole, in the other kind's. */
struct supply {
    uint32_t own, whole, other;
};

static struct supply supply_of(const struct frame_pool *p, unsigned order, enum frame_kind kind)
{
    uint32_t enough = ~((1u << order) - 1u);
    uint32_t movable = p->nonempty & ORDERS_SMALL & enough, fixed = p->nonempty_fixed & enough;

    return (struct supply){kind == KIND_FIXED ? fixed : movable,
                           p->nonempty & ~ORDERS_SMALL & enough,
                           kind == KIND_FIXED ? movable : fixed};
}

int buddy_ready(struct frame_pool *p, unsigned order, enum frame_kind kind)
{
    return pool_keeps(p, BIT64(order), 1) ? buddy_prepare(p, order, kind, false) : -CORDON_ENOMEM;
}

int buddy_prepare(struct frame_pool *p, unsigned order, enum frame_kind kind, bool promised)
{
    struct supply s = supply_of(p, order, kind);

    if ((s.own | s.whole | s.other) == 0) {
        stock_drain(p);
        s = supply_of(p, order, kind);
    }
    if (order < BLOCK_ORDER && s.own == 0 && s.whole != 0) {
        int err = meta_prepare(p, 1, promised);

        if (err != 0) {
            return err;
        }
        s = supply_of(p, order, kind);
    }
    return (s.own | s.whole | s.other) != 0 ? 0 : -CORDON_ENOMEM;
}

unsigned buddy_hole(const struct frame_pool *p, unsigned most, enum frame_kind kind)
{
    struct supply s = supply_of(p, 0, kind);
    uint32_t from = s.own != 0 ? s.own : s.whole != 0 ? s.whole : s.other;
    unsigned order = from != 0 ? (unsigned)__builtin_ctz(from) : MAX_ORDER + 1;

    return from != 0 && order > most ? most : order;
}

/* A block of what moves becomes one of what does not: its free runs change lists. */
static void block_fix(struct frame_pool *p, uint64_t hfn)
{
    struct frame_block *b = pool_block(p, hfn);
    uint64_t base = hfn & ~(uint64_t)(BLOCK_FRAMES - 1), heads[BLOCK_FRAMES / 64] = {0};

    for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
        uint64_t word = pool_word_in(b, i);

        if (field_get(FW_STATE, word) == CORDON_FRAME_FREE &&
            field_get(FW_ORDER, word) <= MAX_ORDER) {
            heads[i / 64] |= BIT64(i % 64);
            node_unlink(p, base + i, (unsigned)field_get(FW_ORDER, word));
        }
    }
    b->word |= FW_SPLIT_FIXED;
    for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
        if ((heads[i / 64] >> i % 64 & 1u) != 0) {
            node_link(p, base + i, (unsigned)field_get(FW_ORDER, pool_word_in(b, i)));
        }
    }
}

/* Where the run comes from: an order of one of the lists. HFN_NONE: there is none. */
static uint64_t pick(struct frame_pool *p, unsigned order, enum frame_kind kind)
{
    struct supply s = supply_of(p, order, kind);
    uint32_t first = s.own != 0 ? s.own : s.whole;

    if (first != 0) {
        return buddy_first(p, (unsigned)__builtin_ctz(first), kind);
    }
    if (s.other == 0) {
        return HFN_NONE;
    }
    if (kind == KIND_MOVABLE) {
        return p->fixed[__builtin_ctz(s.other)];
    }
    unsigned largest = 31u - (unsigned)__builtin_clz(s.other);
    uint64_t hfn = p->free[largest];

    if (largest + 1 == BLOCK_ORDER && !p->mixed) {
        block_fix(p, hfn);
    }
    return hfn;
}

uint64_t buddy_take(struct frame_pool *p, unsigned order, enum frame_kind kind)
{
    uint64_t hfn = pick(p, order, kind);

    if (hfn == HFN_NONE) {
        return HFN_NONE;
    }
    for (unsigned at = buddy_remove(p, hfn); at > order;) {
        if (at == BLOCK_ORDER) {
            pool_split_for(p, pool_block(p, hfn), meta_take(p), kind);
        }
        at--;
        word_write(p, hfn + BIT64(at), free_word(at));
        node_link(p, hfn + BIT64(at), at);
    }
    return hfn;
}
