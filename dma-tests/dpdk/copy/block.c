/* Blocks: see block.h. */
#include "copy/block.h"
#include <string.h>

#define BESIDE 8u     /* bytes on either side of a piece that are looked at */
#define NOBODYS 0xeeu /* stands there, and in the pieces before they are written to */
#define FILL UINT64_C(0x0102040810204081)

const char *block_kind_name(enum block_kind kind)
{
    static const char *const names[BLOCK_KINDS] = {"copies", "gathers", "scatters", "regroups",
                                                   "fills"};

    return names[kind];
}

static const enum block_kind of_pieces[] = {BLOCK_GATHER, BLOCK_SCATTER, BLOCK_REGROUP};
#define WAYS (sizeof of_pieces / sizeof of_pieces[0])

static uint32_t laps(const struct shape_limits *limits, bool fills)
{
    return (limits->segments_max == 1 ? 1 : (uint32_t)WAYS) + fills;
}

uint32_t block_round(const struct shape_limits *limits, bool fills)
{
    return shape_round(limits) * laps(limits, fills);
}

static enum block_kind kind_of(uint32_t number, unsigned pieces, const struct shape_limits *limits,
                               bool fills)
{
    uint32_t round = shape_round(limits), all = laps(limits, fills);
    uint32_t lap = number / round % all;

    if (fills && lap == all - 1) {
        return BLOCK_FILL;
    }
    return pieces == 1 ? BLOCK_COPY : of_pieces[(number % round + lap) % WAYS];
}

/* As many bytes in one piece. */
static struct shape one_piece(const struct shape *s)
{
    struct shape one = {.count = 1, .len = {(uint16_t)s->total}, .total = s->total};

    one.align[0] = s->align[s->count - 1];
    one.border = s->border;
    one.cut = s->cut;
    return one;
}

/* As many bytes in the same pieces, the last of them first. */
static struct shape turned(const struct shape *s)
{
    struct shape t = *s;

    for (unsigned k = 0; k < s->count; k++) {
        t.len[k] = s->len[s->count - 1 - k];
        t.align[k] = (uint8_t)((s->align[k] + 1) % 64);
    }
    t.of_interest = s->count - 1 - s->of_interest;
    return t;
}

/* How many of the BESIDE bytes before piece K (or behind it) are no other piece's. */
static unsigned free_beside(const struct block *b, unsigned k, bool behind)
{
    const uint8_t *edge = b->to[k].at + (behind ? b->to[k].len : 0);
    unsigned room = BESIDE;

    for (unsigned i = 0; i < b->to_count; i++) {
        ptrdiff_t gap = behind ? b->to[i].at - edge : edge - (b->to[i].at + b->to[i].len);

        if (i != k && gap >= 0 && gap < (ptrdiff_t)room) {
            room = (unsigned)gap;
        }
    }
    return room;
}

static void clear(const struct block *b)
{
    for (unsigned k = 0; k < b->to_count; k++) {
        memset(b->to[k].at - BESIDE, NOBODYS, b->to[k].len + 2 * BESIDE);
    }
}

void block_make(struct block *b, uint32_t number, const struct shape_limits *limits, bool fills,
                struct arena *from, struct arena *to)
{
    struct shape pieces, one, other;

    shape_of(limits, number, &pieces);
    one = one_piece(&pieces);
    other = turned(&pieces);
    b->number = number;
    b->kind = kind_of(number, pieces.count, limits, fills);

    const struct shape *source = b->kind == BLOCK_SCATTER ? &one : &pieces;
    const struct shape *target = b->kind == BLOCK_SCATTER   ? &pieces
                                 : b->kind == BLOCK_REGROUP ? &other
                                                            : &one;

    b->from_count = b->kind == BLOCK_FILL ? 0 : source->count;
    b->to_count = target->count;
    arena_place(to, number, target, b->to);
    clear(b);
    if (b->kind != BLOCK_FILL) {
        arena_place(from, number, source, b->from);
        pieces_fill((struct pattern){0, number}, b->from, b->from_count);
    }
}

bool block_start(const struct block *b, struct engine *e)
{
    if (b->kind == BLOCK_FILL) {
        return engine_fill(e, FILL + b->number, b->to);
    }
    return engine_copy(e, b->from, b->from_count, b->to, b->to_count);
}

static bool check_fill(const struct block *b, struct pattern_wrong *wrong)
{
    uint64_t before = wrong->count, pattern = FILL + b->number;

    for (unsigned i = 0; i < b->to->len; i++) {
        uint8_t wanted = (uint8_t)(pattern >> i % 8 * 8);

        if (b->to->at[i] != wanted && wrong->count++ == 0) {
            wrong->offset = i;
            wrong->wanted = wanted;
            wrong->found = b->to->at[i];
            wrong->kind = PATTERN_UNKNOWN;
        }
    }
    return wrong->count == before;
}

static bool check_copy(const struct block *b, struct pattern_wrong *wrong)
{
    bool right = true;
    uint64_t offset = 0;

    for (unsigned k = 0; k < b->to_count; k++) {
        right = pattern_check((struct pattern){0, b->number}, offset, b->to[k].at, b->to[k].len,
                              wrong) &&
                right;
        offset += b->to[k].len;
    }
    return right;
}

static unsigned changed(const uint8_t *at, unsigned len)
{
    unsigned count = 0;

    for (unsigned i = 0; i < len; i++) {
        count += at[i] != NOBODYS;
    }
    return count;
}

bool block_check(const struct block *b, struct block_wrong *wrong)
{
    uint64_t before = wrong->beside;
    bool right =
        b->kind == BLOCK_FILL ? check_fill(b, &wrong->bytes) : check_copy(b, &wrong->bytes);

    for (unsigned k = 0; k < b->to_count; k++) {
        unsigned front = free_beside(b, k, false), behind = free_beside(b, k, true);

        wrong->beside += changed(b->to[k].at - front, front);
        wrong->beside += changed(b->to[k].at + b->to[k].len, behind);
    }
    return right && wrong->beside == before;
}
