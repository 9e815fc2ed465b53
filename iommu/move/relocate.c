/* cordon_relocate, by GPA; and cordon_block_query, which tells what could move. See cordon/move.h.
 */
#include "core/ctx.h"
#include "move/move.h"
#include "move/survey.h"

#include <string.h>

struct relocate {
    struct cordon_domain *d;
    uint64_t at, end; /* what is left, in page numbers */
    uint64_t isolated, patience;
    struct cordon_moves *told;
};

/* ---- by GPA ------------------------------------------------------------------------------- */

/* A leaf that is large, whole in the range, backed by a whole block, and has a place to go to. */
static bool is_large(const struct relocate *r, const struct pt_hit *hit, uint64_t hfn)
{
    struct frame_pool *p = &r->d->ctx->frames;

    if (hit->level == 0 || !is_aligned(r->at, BLOCK_FRAMES) || r->end - r->at < BLOCK_FRAMES) {
        return false;
    }
    lock_take(&p->lock);
    bool large = pool_block(p, hfn)->words == NULL && move_large_ready(r->d->ctx);

    lock_give(&p->lock);
    return large;
}

/* The next pages that go together, of those that are present. Errors: ENOENT, EPERM. */
static int gather(struct relocate *r, struct move_batch *b)
{
    b->count = 0;
    b->level = 0;
    while (r->at < r->end && b->count < MOVE_PAGES) {
        struct pt_hit hit;
        const struct span *region = span_find(&r->d->regions.set, r->at);
        int err = pt_lookup(&r->d->forest, 0, cordon_gpa_make(r->at << CORDON_PAGE_SHIFT), &hit);

        if (region == NULL) {
            return -CORDON_ENOENT;
        }
        if (region_held(region_flags(region))) {
            return -CORDON_EPERM;
        }
        if (err != 0 || !hit.leaf) {
            r->at++;
            continue;
        }
        uint64_t inside = r->at & (BIT64(9 * hit.level) - 1);
        uint64_t hfn = field_get(PTE_PPN, hit.pte) + inside;
        bool large = is_large(r, &hit, hfn);

        if (large && b->count > 0) {
            return 0;
        }
        if (move_kind_of_run(r->d, hfn, r->at, large ? BLOCK_FRAMES : 1) != CORDON_KIND_MOVABLE) {
            return -CORDON_EPERM;
        }
        b->leaf[b->count++] = (struct move_leaf){.gfn = r->at, .from = hfn};
        r->at += large ? BLOCK_FRAMES : 1;
        if (large) {
            b->level = 1;
            return 0;
        }
    }
    return 0;
}

/* One batch, whose old frames are free for all afterwards. */
static int relocate_some(struct relocate *r)
{
    struct move_batch b = {.d = r->d, .isolated = r->isolated};
    bool held;

    if (move_lock(r->d->ctx, r->d->number, &r->patience, &held) == NULL) {
        return held ? -CORDON_EBUSY : -CORDON_EHANDLE;
    }
    int err = gather(r, &b);

    if (err == 0 && b.count > 0) {
        err = move_batch(&b, r->told);
    }
    lock_give(&r->d->lock);
    for (uint32_t i = 0; i < b.count && err == 0; i++) {
        isolated_free(r->d->ctx, b.leaf[i].from, BIT64(9 * b.level), r->isolated);
    }
    return err;
}

int cordon_relocate(cordon_domain *d, cordon_gpa gpa, uint64_t len, struct cordon_moves *out)
{
    struct cordon_moves told = {.pages = 0};
    int err = 0;

    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(gpa.v | len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t first = gpa.v >> CORDON_PAGE_SHIFT, pages = len >> CORDON_PAGE_SHIFT;

    if (pages == 0 || first >= d->gfn_limit || pages > d->gfn_limit - first) {
        return -CORDON_ERANGE;
    }
    struct relocate r = {.d = d,
                         .at = first,
                         .end = first + pages,
                         .isolated = move_call(d->ctx),
                         .patience = MOVE_PATIENCE_US,
                         .told = &told};

    while (err == 0 && r.at < r.end) {
        err = relocate_some(&r);
    }
    if (out != NULL) {
        *out = told;
    }
    return err;
}

int cordon_domain_moves(const cordon_domain *d, struct cordon_moves *out)
{
    if (d == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    struct lock *lock = &((struct cordon_domain *)(uintptr_t)d)->lock; /* only it is written to */

    lock_take(lock);
    *out = d->moved;
    lock_give(lock);
    return 0;
}

/* ---- what could move ---------------------------------------------------------------------- */

/* Frames of a domain from INDEX on whose GPAs follow: where they end. */
static uint64_t same_owner(const uint64_t word[BLOCK_FRAMES], uint64_t index)
{
    uint64_t end = index + 1;

    while (end < BLOCK_FRAMES && word[end] == pool_derive(word[index], end - index)) {
        end++;
    }
    return end;
}

/* Of frames that were OWNED a moment ago. */
static void count_owned(struct cordon_ctx *ctx, uint64_t hfn, uint64_t word, uint64_t pages,
                        uint32_t *count)
{
    struct cordon_domain *d = domain_lock(ctx, (uint32_t)field_get(FW_DOMAIN, word));

    for (uint64_t i = 0; i < pages; i++) {
        enum cordon_frame_kind kind =
            d != NULL ? move_kind(d, hfn + i, pool_derive(word, i)) : CORDON_KIND_REVOKING;

        count[kind]++;
    }
    if (d != NULL) {
        lock_give(&d->lock);
    }
}

static void block_words(struct cordon_ctx *ctx, const struct frame_block *b,
                        struct cordon_block_info *out, uint64_t word[BLOCK_FRAMES])
{
    lock_take(&ctx->frames.lock);
    out->fixed = b->words != NULL && (b->word & FW_SPLIT_FIXED) != 0;
    for (uint64_t i = 0; i < BLOCK_FRAMES; i++) {
        word[i] = pool_word(b, i);
    }
    lock_give(&ctx->frames.lock);
}

static void look(struct cordon_ctx *ctx, const struct frame_bank *bank, uint64_t index,
                 struct cordon_block_info *out)
{
    uint64_t base = (bank->block0 + index) << BLOCK_ORDER;
    uint64_t word[BLOCK_FRAMES];

    block_words(ctx, &bank->blocks[index], out, word);
    for (uint64_t i = 0, next; i < BLOCK_FRAMES; i = next) {
        next = i + 1;
        if (base + i < bank->first || base + i >= bank->end) {
            continue;
        }
        if (out->len == 0) {
            out->hpa = cordon_hpa_make((base + i) << CORDON_PAGE_SHIFT);
        }
        if (field_get(FW_STATE, word[i]) == CORDON_FRAME_OWNED) {
            next = same_owner(word, i);
            count_owned(ctx, base + i, word[i], next - i, out->pages);
        } else {
            out->pages[move_kind_of_state(word[i])]++;
        }
        out->len += (next - i) << CORDON_PAGE_SHIFT;
    }
}

int cordon_block_query(const cordon_ctx *ctx, cordon_hpa hpa, struct cordon_block_info *out)
{
    if (ctx == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    uint64_t block = hpa.v >> (CORDON_PAGE_SHIFT + BLOCK_ORDER);

    for (uint32_t i = 0; i < ctx->frames.bank_count; i++) {
        const struct frame_bank *bank = &ctx->frames.bank[i];
        uint64_t from = block > bank->block0 ? block - bank->block0 : 0;

        if (from < bank_blocks(bank)) {
            struct cordon_block_info info = {.len = 0};

            /* Only locks are written to. */
            look((struct cordon_ctx *)(uintptr_t)ctx, bank, from, &info);
            *out = info;
            return 0;
        }
    }
    return -CORDON_ENOENT;
}
