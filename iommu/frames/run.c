/*
 * Contiguous runs: any number of pages, aligned, not across a boundary, below an address.
 *
 * The free lists answer most requests at once. Where they do not, the ownership words are read in
 * address order, so that a run is found wherever one exists, across neighbouring free blocks too.
 */
#include "frames/run.h"
#include "core/ctx.h"
#include "frames/owner.h"
#include "frames/stock.h"

#define LIST_TRIES 16u /* free runs looked at in each list, before the words are read */

int want_check(const struct cordon_run_want *w, struct want *out)
{
    if (w->size != sizeof(*w) || (w->flags & ~(CORDON_RUN_NOZERO | CORDON_RUN_FIXED)) != 0) {
        return -CORDON_EINVAL;
    }
    if (!is_aligned(w->len, CORDON_PAGE_SIZE) ||
        (w->align != 0 && (!is_power_of_two(w->align) || w->align < CORDON_PAGE_SIZE))) {
        return -CORDON_EALIGN;
    }
    if (w->boundary != 0 && !is_power_of_two(w->boundary)) {
        return -CORDON_EALIGN;
    }
    if (w->len == 0 || (w->boundary != 0 && w->boundary < w->len) ||
        (w->highest != 0 && w->highest < w->len - 1)) {
        return -CORDON_ERANGE;
    }
    *out = (struct want){
        .pages = w->len >> CORDON_PAGE_SHIFT,
        .align = w->align != 0 ? w->align >> CORDON_PAGE_SHIFT : 1,
        .boundary = w->boundary >> CORDON_PAGE_SHIFT,
        .end = HFN_LIMIT,
        .kind = (w->flags & CORDON_RUN_FIXED) != 0 ? KIND_FIXED : KIND_MOVABLE,
    };
    if (w->highest != 0 && (w->highest >> CORDON_PAGE_SHIFT) < HFN_LIMIT) {
        out->end = (w->highest >> CORDON_PAGE_SHIFT) +
                   ((w->highest & (CORDON_PAGE_SIZE - 1)) == CORDON_PAGE_SIZE - 1);
    }
    return 0;
}

uint64_t want_place(const struct want *w, uint64_t first, uint64_t end)
{
    uint64_t at = (first + w->align - 1) & ~(w->align - 1);

    end = end < w->end ? end : w->end;
    if (w->boundary != 0 && ((at ^ (at + w->pages - 1)) & ~(w->boundary - 1)) != 0) {
        uint64_t step = w->boundary > w->align ? w->boundary : w->align;

        at = (at + step - 1) & ~(step - 1);
    }
    return at < end && end - at >= w->pages ? at : HFN_NONE;
}

/* Look at a few runs of each list from ORDER to before END. */
static uint64_t find_in(const struct frame_pool *p, const struct want *w, unsigned order,
                        unsigned end, enum frame_kind kind)
{
    for (; order < end; order++) {
        uint64_t hfn = buddy_first(p, order, kind);

        for (unsigned i = 0; i < LIST_TRIES && hfn != HFN_NONE; i++) {
            uint64_t at = want_place(w, hfn, hfn + BIT64(order));
            uint64_t next;

            if (at != HFN_NONE) {
                return at;
            }
            bool sound = buddy_node_ok(p, hfn, order, &next);

            cordon_assert(sound); /* INV 4 */
            hfn = next;
        }
    }
    return HFN_NONE;
}

/* As buddy_take prefers them: blocks of the kind, whole ones, those of the other kind. */
static uint64_t find_in_lists(const struct frame_pool *p, const struct want *w)
{
    unsigned order = w->pages == 1 ? 0 : 64u - (unsigned)__builtin_clzll(w->pages - 1);
    unsigned whole = order < BLOCK_ORDER ? BLOCK_ORDER : order;
    uint64_t at = find_in(p, w, order, BLOCK_ORDER, w->kind);

    if (at == HFN_NONE) {
        at = find_in(p, w, whole, MAX_ORDER + 1, w->kind);
    }
    return at != HFN_NONE ? at
                          : find_in(p, w, order, BLOCK_ORDER,
                                    w->kind == KIND_FIXED ? KIND_MOVABLE : KIND_FIXED);
}

/* Read the words of a bank: free runs that touch are one. */
static uint64_t find_in_bank(const struct frame_bank *bank, const struct want *w)
{
    uint64_t hfn = bank->first;
    uint64_t run = HFN_NONE; /* where the current stretch of free frames begins */

    while (hfn < bank->end && hfn < w->end) {
        const struct frame_block *b = &bank->blocks[(hfn >> BLOCK_ORDER) - bank->block0];
        uint64_t word = pool_word(b, hfn);

        if (field_get(FW_STATE, word) != CORDON_FRAME_FREE) {
            run = HFN_NONE;
            hfn = b->words != NULL ? hfn + 1 : (hfn | (BLOCK_FRAMES - 1)) + 1;
            continue;
        }
        run = run == HFN_NONE ? hfn : run;
        hfn += BIT64(field_get(FW_ORDER, word)); /* a free run always begins with its head */
        uint64_t at = want_place(w, run, hfn);

        if (at != HFN_NONE) {
            return at;
        }
    }
    return HFN_NONE;
}

static uint64_t find(struct frame_pool *p, const struct want *w)
{
    uint64_t at = find_in_lists(p, w);

    if (at == HFN_NONE) {
        stock_drain(p); /* and no run that is searched for below begins in it */
        at = find_in_lists(p, w);
    }
    for (uint32_t i = 0; i < p->bank_count && at == HFN_NONE; i++) {
        at = find_in_bank(&p->bank[i], w);
    }
    return at;
}

/* The head of the free run that holds a free frame: the lists hold natural runs, so it stands at
 * one of MAX_ORDER + 1 places. */
static uint64_t head_of(const struct frame_pool *p, uint64_t hfn)
{
    for (unsigned order = 0; order <= MAX_ORDER; order++) {
        uint64_t head = hfn & ~(BIT64(order) - 1);
        const struct frame_block *b = pool_block(p, head);
        uint64_t word = b != NULL ? pool_word(b, head) : CORDON_FRAME_NONE;

        if (field_get(FW_STATE, word) == CORDON_FRAME_FREE &&
            field_get(FW_ORDER, word) != FW_ORDER_INSIDE &&
            head + BIT64(field_get(FW_ORDER, word)) > hfn) {
            return head;
        }
    }
    cordon_port_panic("a free frame has a run", __FILE__, __LINE__);
}

/* Insert what is left of a free run, in natural pieces. Blocks in part free have their words. */
static void insert_rest(struct frame_pool *p, uint64_t hfn, uint64_t end)
{
    while (hfn < end) {
        unsigned order = buddy_piece(hfn, end - hfn);

        buddy_insert(p, hfn, order);
        hfn += BIT64(order);
    }
}

/* Split the block around an end of the run, if it is whole and the end lies inside. */
static void split_at(struct frame_pool *p, uint64_t hfn, enum frame_kind kind)
{
    struct frame_block *b = is_aligned(hfn, BLOCK_FRAMES) ? NULL : pool_block(p, hfn);

    if (b != NULL && b->words == NULL) {
        pool_split_for(p, b, meta_take(p), kind);
    }
}

void run_carve(struct frame_pool *p, uint64_t first, uint64_t pages, enum frame_kind kind)
{
    uint64_t end = first + pages;
    uint64_t at = first;

    while (at < end) {
        uint64_t head = head_of(p, at);
        uint64_t tail = head + BIT64(buddy_remove(p, head));

        split_at(p, at, kind);
        split_at(p, tail < end ? tail : end, kind);
        insert_rest(p, head, at);
        if (tail > end) {
            insert_rest(p, end, tail);
        }
        at = tail;
    }
}

int run_take(struct cordon_ctx *ctx, const struct want *w, uint64_t *hfn)
{
    struct frame_pool *p = &ctx->frames;
    /* The run's two ends may each split a block. */
    int err = pool_keeps(p, w->pages, 2) ? meta_ready(p, 2) : -CORDON_ENOMEM;

    if (err != 0) {
        return err;
    }
    *hfn = find(p, w);
    if (*hfn == HFN_NONE) {
        return -CORDON_ENOMEM;
    }
    run_carve(p, *hfn, w->pages, w->kind);
    pool_mark(p, *hfn, w->pages, CORDON_FRAME_HELD);
    pool_count(p, CORDON_FRAME_FREE, CORDON_FRAME_HELD, w->pages);
    return 0;
}

void owner_note_run(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages, uint64_t word)
{
    for (uint64_t n; pages > 0; hfn += n, pages -= n) {
        n = pages < BLOCK_FRAMES ? pages : BLOCK_FRAMES;
        block_note(cookie, note, hfn, n, word);
    }
}

void owner_scrub_run(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, bool nozero)
{
    if (!nozero) {
        memset(pool_ptr(&ctx->frames, hfn), 0, pages << CORDON_PAGE_SHIFT);
    }
    owner_note_run(ctx->cookie, PORT_NOTE_SCRUB, hfn, pages, nozero);
}

int cordon_run_alloc(cordon_ctx *ctx, const struct cordon_run_want *want, cordon_hpa *out)
{
    struct want w;
    uint64_t hfn;
    int err = ctx != NULL && want != NULL && out != NULL ? want_check(want, &w) : -CORDON_EINVAL;

    if (err != 0) {
        return err;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (!port_may_alloc(ctx->cookie)) {
        return -CORDON_ENOMEM;
    }
    lock_take(&ctx->frames.lock);
    err = run_take(ctx, &w, &hfn);
    pool_unlock(ctx);
    if (err != 0) {
        return err;
    }
    owner_note_run(ctx->cookie, PORT_NOTE_CLAIM, hfn, w.pages, CORDON_FRAME_HELD);
    *out = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
    owner_scrub_run(ctx, hfn, w.pages, (want->flags & CORDON_RUN_NOZERO) != 0);
    return 0;
}

/* A whole HELD block around PLACE, which lies inside of it; null: none. */
static struct frame_block *block_to_split(const struct frame_pool *p, uint64_t place)
{
    struct frame_block *b = is_aligned(place, BLOCK_FRAMES) ? NULL : pool_block(p, place - 1);

    return b != NULL && b->words == NULL ? b : NULL;
}

/* Blocks that a HELD run covers in part get their words first. ENOMEM. */
static int split_ends(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages)
{
    struct frame_block *first = block_to_split(&ctx->frames, hfn);
    int err = first != NULL ? pool_split(ctx, first, 0) : 0;
    struct frame_block *last = block_to_split(&ctx->frames, hfn + pages);

    if (err == 0 && last != NULL) {
        err = pool_split(ctx, last, 0);
        if (err != 0 && first != NULL) {
            pool_join(&ctx->frames, first, CORDON_FRAME_HELD);
        }
    }
    return err;
}

int cordon_run_free(cordon_ctx *ctx, cordon_hpa hpa, uint64_t len)
{
    if (ctx == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(hpa.v | len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    if (len == 0 || range_wraps(hpa.v, len)) {
        return -CORDON_ERANGE;
    }
    struct frame_pool *p = &ctx->frames;
    uint64_t hfn = hpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = len >> CORDON_PAGE_SHIFT;
    int err = -CORDON_EPERM;

    lock_take(&p->lock);
    if (frames_all(ctx, hpa, len, CORDON_FRAME_HELD)) {
        err = split_ends(ctx, hfn, pages);
    }
    if (err == 0) {
        owner_note_run(ctx->cookie, PORT_NOTE_FREE, hfn, pages, CORDON_FRAME_HELD);
        pool_count(p, CORDON_FRAME_HELD, CORDON_FRAME_FREE, pages);
        buddy_put_run(p, hfn, pages);
    }
    pool_unlock(ctx);
    return err;
}
