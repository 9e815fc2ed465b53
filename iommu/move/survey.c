/* Where a run could be made: see survey.h. */
#include "move/survey.h"
#include "core/ctx.h"
#include "move/move.h"

#include <string.h>

#define COSTS_A_PAGE (CORDON_PAGE_SIZE / sizeof(uint16_t))
#define COST_NEVER UINT16_MAX
#define REGIONS_LOOKED 4096u /* of a domain, for one that could move */

_Static_assert(CORDON_MAX_DOMAINS <= CORDON_PAGE_SIZE, "a byte a domain is a page");

/* ---- what domains are --------------------------------------------------------------------- */

/* What every frame of a domain is; MOVABLE: some may be, at least. */
static enum cordon_frame_kind kind_of_domain(const struct cordon_domain *d)
{
    const struct span *s = span_next(&d->regions.set, 0);
    enum cordon_frame_kind kind = CORDON_KIND_MOVABLE;

    for (unsigned i = 0; i < REGIONS_LOOKED && s != NULL; i++, s = span_after(s)) {
        uint64_t word = field_put(FW_GFN, s->first);

        if (region_held(region_flags(s))) {
            continue;
        }
        kind = move_kind(d, HFN_NONE, word);
        if (kind == CORDON_KIND_MOVABLE || kind == CORDON_KIND_LENT) {
            return CORDON_KIND_MOVABLE;
        }
    }
    return s == NULL ? kind : CORDON_KIND_MOVABLE;
}

static void look_at_domains(struct survey *s)
{
    if (s->domain_kind == NULL) {
        return;
    }
    memset(s->domain_kind, CORDON_KIND_MOVABLE, CORDON_MAX_DOMAINS);
    lock_take(&s->ctx->lock);
    for (struct cordon_domain *d = s->ctx->domains; d != NULL; d = d->next) {
        lock_take(&d->lock);
        s->domain_kind[d->number] = (uint8_t)kind_of_domain(d);
        lock_give(&d->lock);
    }
    lock_give(&s->ctx->lock);
}

/* ---- blocks ------------------------------------------------------------------------------- */

static enum cordon_frame_kind kind_of(const struct survey *s, uint64_t word)
{
    enum cordon_frame_kind kind = move_kind_of_state(word);

    if (kind != CORDON_KIND_MOVABLE) {
        return kind;
    }
    if ((word & FW_KEEP) != 0) {
        return CORDON_KIND_PINNED;
    }
    return s->domain_kind != NULL ? s->domain_kind[field_get(FW_DOMAIN, word)]
                                  : CORDON_KIND_MOVABLE;
}

static uint8_t class_of(enum cordon_frame_kind kind)
{
    return kind == CORDON_KIND_FREE      ? CLASS_FREE
           : kind == CORDON_KIND_MOVABLE ? CLASS_MOVABLE
                                         : CLASS_FIXED;
}

void survey_block(const struct survey *s, const struct frame_bank *bank, uint64_t index,
                  uint8_t class[BLOCK_FRAMES], uint64_t *kinds)
{
    const struct frame_block *b = &bank->blocks[index];
    uint64_t none[CORDON_KINDS] = {0};
    uint64_t *count = kinds != NULL ? kinds : none;

    lock_take(&s->ctx->frames.lock);
    if (b->words == NULL) {
        enum cordon_frame_kind kind = kind_of(s, b->word);

        memset(class, class_of(kind), BLOCK_FRAMES);
        count[kind] += BLOCK_FRAMES;
        lock_give(&s->ctx->frames.lock);
        return;
    }
    for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
        uint64_t word = pool_word_in(b, i);
        enum cordon_frame_kind kind = kind_of(s, word);

        class[i] = class_of(kind);
        count[kind] += word != CORDON_FRAME_NONE;
    }
    lock_give(&s->ctx->frames.lock);
}

/* What it costs to have the run in this block, or to have the block for the run; where in it. */
static uint16_t cost_of(const struct want *w, uint64_t base, const uint8_t class[BLOCK_FRAMES],
                        uint64_t *place)
{
    uint64_t pages = w->pages < BLOCK_FRAMES ? w->pages : BLOCK_FRAMES;
    uint64_t moves = 0, fixed = 0;
    uint16_t best = COST_NEVER;

    for (uint64_t end = 1; end <= BLOCK_FRAMES; end++) {
        uint64_t first = end - pages;

        moves += class[end - 1] == CLASS_MOVABLE;
        fixed += class[end - 1] == CLASS_FIXED;
        if (end < pages) {
            continue;
        }
        if (fixed == 0 && moves < best &&
            (w->pages >= BLOCK_FRAMES || want_place(w, base + first, base + end) == base + first)) {
            best = (uint16_t)moves;
            *place = base + first;
        }
        moves -= class[first] == CLASS_MOVABLE;
        fixed -= class[first] == CLASS_FIXED;
    }
    return best;
}

/* ---- costs -------------------------------------------------------------------------------- */

static uint64_t all_blocks(const struct cordon_ctx *ctx)
{
    uint64_t blocks = 0;

    for (uint32_t i = 0; i < ctx->frames.bank_count; i++) {
        blocks += bank_blocks(&ctx->frames.bank[i]);
    }
    return blocks;
}

static void *page_take(struct cordon_ctx *ctx)
{
    cordon_hpa hpa;

    return frames_alloc_table(ctx, 0, &hpa) == 0 ? frames_ptr(ctx, hpa) : NULL;
}

static void page_give(struct cordon_ctx *ctx, void *page)
{
    frames_free(ctx, cordon_hpa_make((uint64_t)(uintptr_t)page - ctx->frames.offset), 0);
}

static void costs_make(struct survey *s)
{
    uint64_t pages = (all_blocks(s->ctx) + COSTS_A_PAGE - 1) / COSTS_A_PAGE;

    s->cost_pages = 0;
    s->costs = pages <= CORDON_PAGE_SIZE / sizeof(*s->costs) ? page_take(s->ctx) : NULL;
    while (s->costs != NULL && s->cost_pages < pages) {
        uint16_t *page = page_take(s->ctx);

        if (page == NULL) {
            return; /* the rest of memory is looked at without */
        }
        s->costs[s->cost_pages++] = page;
    }
}

/* Null: nothing is remembered of this block. */
static uint16_t *cost_at(const struct survey *s, uint64_t number)
{
    return number / COSTS_A_PAGE < s->cost_pages
               ? &s->costs[number / COSTS_A_PAGE][number % COSTS_A_PAGE]
               : NULL;
}

static uint64_t base_of(const struct frame_bank *bank, uint64_t index)
{
    return (bank->block0 + index) << BLOCK_ORDER;
}

void survey_begin(struct survey *s, struct cordon_ctx *ctx, const struct want *want)
{
    uint64_t number = 0, place;

    memset(s, 0, sizeof(*s));
    s->ctx = ctx;
    s->want = want;
    s->domain_kind = page_take(ctx);
    look_at_domains(s);
    costs_make(s);
    for (uint32_t i = 0; i < ctx->frames.bank_count; i++) {
        const struct frame_bank *bank = &ctx->frames.bank[i];

        for (uint64_t n = 0; n < bank_blocks(bank); n++, number++) {
            uint64_t base = base_of(bank, n);
            uint8_t class[BLOCK_FRAMES];
            uint16_t *cost = cost_at(s, number);

            survey_block(s, bank, n, class, base < want->end ? s->kinds : NULL);
            if (cost != NULL) {
                *cost = cost_of(want, base, class, &place);
            }
        }
    }
}

void survey_end(struct survey *s)
{
    for (uint64_t i = 0; i < s->cost_pages; i++) {
        page_give(s->ctx, s->costs[i]);
    }
    if (s->costs != NULL) {
        page_give(s->ctx, s->costs);
    }
    if (s->domain_kind != NULL) {
        page_give(s->ctx, s->domain_kind);
    }
}

void survey_refuse(struct survey *s, uint64_t hfn)
{
    uint64_t number = 0;

    for (uint32_t i = 0; i < s->ctx->frames.bank_count; i++) {
        const struct frame_bank *bank = &s->ctx->frames.bank[i];

        if (hfn >= bank->first && hfn < bank->end) {
            uint16_t *cost = cost_at(s, number + (hfn >> BLOCK_ORDER) - bank->block0);

            if (cost != NULL) {
                *cost = COST_NEVER;
            }
            return;
        }
        number += bank_blocks(bank);
    }
}

/* ---- the best place ----------------------------------------------------------------------- */

/* The best place that begins with a block of BANK, whose first block has NUMBER. */
static uint64_t best_in(const struct survey *s, const struct frame_bank *bank, uint64_t number,
                        uint64_t *cost)
{
    const struct want *w = s->want;
    uint64_t blocks = (w->pages + BLOCK_FRAMES - 1) >> BLOCK_ORDER;
    uint64_t best = HFN_NONE, sum = 0, never = 0;

    for (uint64_t end = 1; end <= bank_blocks(bank); end++) {
        const uint16_t *in = cost_at(s, number + end - 1), *out;
        uint64_t base;

        if (in == NULL) {
            return best;
        }
        never += *in == COST_NEVER;
        sum += *in;
        if (end < blocks) {
            continue;
        }
        base = base_of(bank, end - blocks);
        if (never == 0 && sum < *cost &&
            (w->pages < BLOCK_FRAMES || want_place(w, base, base + w->pages) == base)) {
            best = base;
            *cost = sum;
        }
        out = cost_at(s, number + end - blocks);
        never -= *out == COST_NEVER;
        sum -= *out;
    }
    return best;
}

uint64_t survey_best(const struct survey *s, uint64_t *cost)
{
    const struct frame_pool *p = &s->ctx->frames;
    const struct frame_bank *bank = NULL;
    uint64_t best = HFN_NONE, number = 0;

    *cost = UINT64_MAX;
    for (uint32_t i = 0; i < p->bank_count; i++) {
        uint64_t at = best_in(s, &p->bank[i], number, cost);

        if (at != HFN_NONE) {
            best = at;
            bank = &p->bank[i];
        }
        number += bank_blocks(&p->bank[i]);
    }
    if (best == HFN_NONE || s->want->pages >= BLOCK_FRAMES) {
        return best;
    }
    uint8_t class[BLOCK_FRAMES];
    uint64_t place = HFN_NONE;

    survey_block(s, bank, (best >> BLOCK_ORDER) - bank->block0, class, NULL);
    (void)cost_of(s->want, best, class, &place);
    return place; /* none: it has changed since */
}
