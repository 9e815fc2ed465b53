/*
 * Memory in pieces, scattered over the machine on purpose: what a guest gets that should prove that
 * nothing depends on luck.
 *
 * A piece is one half of a natural pair, chosen by the seed; the other half stays with us until the
 * end and is free then. So no two pieces touch, and who scatters next takes the holes: neighbours
 * in HPA belong to others. Where memory is too tight for pairs, pieces are taken as they come.
 */
#include "core/ctx.h"
#include "core/random.h"
#include "frames/owner.h"

#include <string.h>

#define PIECES_ALL ((1u << (MAX_ORDER + 1)) - 1u)
#define HALF_HELD UINT64_C(1) /* in an extent's address while we work: the other half is ours */
#define SMALLER_ONE_IN 4u     /* so many slots of a size are filled with smaller pieces */
#define SWAP_TRIES 8u

/* Slots of one size in a row: LEFT to come, of which the one SMALLER from the end is cut up. */
struct slots {
    uint32_t left, smaller;
};

struct scatter {
    struct cordon_ctx *ctx;
    uint32_t pieces;
    uint64_t random;
    uint64_t smaller_until[MAX_ORDER + 1]; /* in pages: no piece of this size before */
    struct slots slots[MAX_ORDER + 1];
    bool tight; /* no room for pairs: pieces as they come */
    struct cordon_extent *out;
    size_t room, count;
};

/* Of each few slots of a size one, at random, is filled with smaller pieces. LEFT: pages to go. */
static bool slot_is_smaller(struct scatter *s, unsigned order, uint64_t left)
{
    struct slots *slots = &s->slots[order];

    if (slots->left == 0) {
        uint64_t all = left >> order;

        slots->left = all < SMALLER_ONE_IN ? (uint32_t)all : SMALLER_ONE_IN;
        slots->smaller = (uint32_t)(random_next(&s->random) % (all == 1 ? 2 : slots->left)) + 1;
    }
    return slots->left-- == slots->smaller;
}

/* Which size stands at page AT with LEFT pages to go: natural in the sum, so that large pieces can
 * be large leaves. -1: none fits. */
static int size_at(struct scatter *s, uint64_t at, uint64_t left)
{
    for (unsigned order = MAX_ORDER + 1; order-- > 0;) {
        bool smallest = (s->pieces & (BIT64(order) - 1)) == 0;

        if ((s->pieces >> order & 1u) == 0 || at < s->smaller_until[order] ||
            !is_aligned(at, BIT64(order)) || BIT64(order) > left) {
            continue;
        }
        if (smallest || !slot_is_smaller(s, order, left)) {
            return (int)order;
        }
        s->smaller_until[order] = at + BIT64(order);
    }
    return -1;
}

static void put(struct scatter *s, uint64_t hfn, uint64_t pages)
{
    struct frame_pool *p = &s->ctx->frames;

    pool_count(p, CORDON_FRAME_HELD, CORDON_FRAME_FREE, pages);
    buddy_put_run(p, hfn, pages);
}

/* Free the other halves; on failure the pieces themselves too. The caller holds the lock. */
static void settle(struct scatter *s, bool keep)
{
    for (size_t i = 0; i < s->count; i++) {
        struct cordon_extent *e = &s->out[i];
        uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;
        uint64_t pages = e->len >> CORDON_PAGE_SHIFT;

        if ((e->hpa.v & HALF_HELD) != 0) {
            put(s, hfn ^ pages, pages);
            e->hpa.v &= ~HALF_HELD;
        }
        if (!keep) {
            put(s, hfn, pages);
        }
    }
}

/* Ready for a pair of pieces? A block that is cut in two needs its words. */
static bool pair_ready(struct frame_pool *p, unsigned order)
{
    if (order == MAX_ORDER || buddy_ready(p, order + 1, KIND_MOVABLE) != 0) {
        return false;
    }
    return order + 1 != BLOCK_ORDER ||
           (meta_ready(p, 1) == 0 && buddy_ready(p, order + 1, KIND_MOVABLE) == 0);
}

/* Take one piece: a hole of just this size that somebody left, half of a pair, or whatever there
 * is. The caller holds the lock. */
static int piece_take(struct scatter *s, unsigned order, struct cordon_extent *out)
{
    struct frame_pool *p = &s->ctx->frames;
    bool hole = (p->nonempty >> order & 1u) != 0;
    bool pair = !hole && !s->tight && pair_ready(p, order);

    if (!pair && buddy_ready(p, order, KIND_MOVABLE) != 0) {
        if (s->tight) {
            return -CORDON_ENOMEM;
        }
        settle(s, true); /* the halves that were kept back are all that is left */
        s->tight = true;
        if (buddy_ready(p, order, KIND_MOVABLE) != 0) {
            return -CORDON_ENOMEM;
        }
    }
    unsigned take = pair ? order + 1 : order;
    uint64_t hfn = buddy_take(p, take, KIND_MOVABLE);

    pool_mark(p, hfn, BIT64(take), CORDON_FRAME_HELD);
    pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HELD, BIT64(take));
    if (pair && take == BLOCK_ORDER) {
        pool_split_with(p, pool_block(p, hfn), meta_take(p));
    }
    hfn += pair && (random_next(&s->random) & 1) != 0 ? BIT64(order) : 0;
    *out =
        (struct cordon_extent){cordon_hpa_make(hfn << CORDON_PAGE_SHIFT | (pair ? HALF_HELD : 0)),
                               CORDON_PAGE_SIZE << order};
    return 0;
}

static int take_all(struct scatter *s, uint64_t pages)
{
    uint64_t at = 0;
    int err = 0;

    while (at < pages && err == 0) {
        int order = size_at(s, at, pages - at);

        if (order < 0) {
            return -CORDON_EINVAL;
        }
        if (s->count == s->room) {
            return -CORDON_ELIMIT;
        }
        if (!port_may_alloc(s->ctx->cookie)) {
            return -CORDON_ENOMEM;
        }
        err = piece_take(s, (unsigned)order, &s->out[s->count]);
        s->count += err == 0;
        at += BIT64((unsigned)order);
    }
    return err;
}

/* Largest first, in address order as they come; pieces that touch are one extent. */
static int take_largest(struct scatter *s, uint64_t pages)
{
    struct frame_pool *p = &s->ctx->frames;

    while (pages > 0) {
        unsigned order = buddy_piece(0, pages);
        struct cordon_extent *last = s->count > 0 ? &s->out[s->count - 1] : NULL;

        if (!port_may_alloc(s->ctx->cookie)) {
            return -CORDON_ENOMEM;
        }
        while (buddy_ready(p, order, KIND_MOVABLE) != 0) {
            if (order-- == 0) {
                return -CORDON_ENOMEM;
            }
        }
        uint64_t hfn = buddy_take(p, order, KIND_MOVABLE);
        uint64_t hpa = hfn << CORDON_PAGE_SHIFT;

        pool_mark(p, hfn, BIT64(order), CORDON_FRAME_HELD);
        pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HELD, BIT64(order));
        pages -= BIT64(order);
        if (last != NULL && last->hpa.v + last->len == hpa) {
            last->len += CORDON_PAGE_SIZE << order;
        } else if (s->count < s->room) {
            s->out[s->count++] =
                (struct cordon_extent){cordon_hpa_make(hpa), CORDON_PAGE_SIZE << order};
        } else {
            put(s, hfn, BIT64(order));
            return -CORDON_ELIMIT;
        }
    }
    return 0;
}

static bool touch(const struct cordon_extent *a, const struct cordon_extent *b)
{
    return a->hpa.v + a->len == b->hpa.v || b->hpa.v + b->len == a->hpa.v;
}

/* Would extent I, at its place, touch the one before or behind? */
static bool touches_next(const struct scatter *s, size_t i)
{
    return (i > 0 && touch(&s->out[i - 1], &s->out[i])) ||
           (i + 1 < s->count && touch(&s->out[i], &s->out[i + 1]));
}

static void swap(struct scatter *s, size_t a, size_t b)
{
    struct cordon_extent e = s->out[a];

    s->out[a] = s->out[b];
    s->out[b] = e;
}

/* Mix pieces of equal size, then move those that stand beside a neighbour of theirs in HPA. */
static void shuffle(struct scatter *s)
{
    for (size_t i = s->count; i > 1; i--) {
        for (unsigned try = 0; try < SWAP_TRIES; try++) {
            size_t k = random_next(&s->random) % i;

            if (s->out[k].len == s->out[i - 1].len) {
                swap(s, k, i - 1);
                break;
            }
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        for (unsigned try = 0; try < SWAP_TRIES && touches_next(s, i); try++) {
            size_t k = random_next(&s->random) % s->count;

            if (s->out[k].len != s->out[i].len) {
                continue;
            }
            swap(s, k, i);
            if (touches_next(s, k)) {
                swap(s, k, i);
            }
        }
    }
}

static int scatter(struct scatter *s, uint64_t len)
{
    uint64_t pages = len >> CORDON_PAGE_SHIFT;

    lock_take(&s->ctx->frames.lock);
    int err = s->pieces != 0 ? take_all(s, pages) : take_largest(s, pages);

    settle(s, err == 0);
    pool_unlock(s->ctx);
    if (err != 0) {
        return err;
    }
    if (s->pieces != 0) {
        shuffle(s);
    }
    for (size_t i = 0; i < s->count; i++) {
        uint64_t hfn = s->out[i].hpa.v >> CORDON_PAGE_SHIFT;
        uint64_t n = s->out[i].len >> CORDON_PAGE_SHIFT;

        owner_note_run(s->ctx->cookie, PORT_NOTE_CLAIM, hfn, n, CORDON_FRAME_HELD);
        owner_scrub_run(s->ctx, hfn, n, false);
    }
    return 0;
}

int cordon_scatter_alloc(cordon_ctx *ctx, uint64_t len, uint32_t pieces, uint64_t seed,
                         struct cordon_extent *out, size_t *count)
{
    if (ctx == NULL || out == NULL || count == NULL || (pieces & ~PIECES_ALL) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    if (len == 0) {
        return -CORDON_ERANGE;
    }
    struct scatter s = {.ctx = ctx, .pieces = pieces, .random = seed, .out = out, .room = *count};
    int err = scatter(&s, len);

    if (err == 0) {
        *count = s.count;
    }
    return err;
}
