/*
 * Retiring: harts first, then IOMMUs and devices, and only then frames and tables. [INV 4]
 */
#include "map/gone.h"
#include "core/ctx.h"
#include "port_word.h"
#include "touch/promise.h"

#define RUNS_PER_PAGE                            \
    ((CORDON_PAGE_SIZE - 2 * sizeof(uint64_t)) / \
     (sizeof(struct cordon_extent) + sizeof(uint64_t *)))

struct gone_page {
    struct gone_page *next; /* the one filled before */
    uint64_t reserved;
    struct cordon_extent run[RUNS_PER_PAGE];
    uint64_t *word[RUNS_PER_PAGE];
};

_Static_assert(sizeof(struct gone_page) <= CORDON_PAGE_SIZE, "a page holds it");

/* ---- the list ----------------------------------------------------------------------------- */

static bool room_make(struct cordon_ctx *ctx, struct gone *g)
{
    lock_take(&ctx->frames.lock);
    uint64_t most = GONE_PAGES + ctx->frames.word_pages / GONE_BLOCKS;

    lock_give(&ctx->frames.lock);
    struct gone_page *page = g->page_count < most ? pool_page_take(ctx) : NULL;

    if (page == NULL) {
        return false;
    }
    page->next = g->page;
    g->page = page;
    g->page_count++;
    g->used = 0;
    g->room = RUNS_PER_PAGE;
    return true;
}

struct frames_gone gone_room(struct cordon_ctx *ctx, struct gone *g)
{
    if (g->used == g->room && !room_make(ctx, g)) {
        gone_clear(ctx, g);
        g->lost = true; /* the place is written to again and again */
    }
    return (struct frames_gone){
        .run = (g->page == NULL ? g->run : g->page->run) + g->used,
        .word = (g->page == NULL ? g->word : g->page->word) + g->used,
        .count = g->room - g->used,
    };
}

void gone_range(struct gone *g, cordon_gpa gpa, uint64_t len)
{
    g->pages += len >> CORDON_PAGE_SHIFT;
    if (g->ranges == GONE_RANGES || g->pages > GONE_FENCE_PAGES) {
        g->whole = true;
        return;
    }
    if (g->ranges > 0 && g->range[g->ranges - 1].gpa.v + g->range[g->ranges - 1].len == gpa.v) {
        g->range[g->ranges - 1].len += len;
        return;
    }
    g->range[g->ranges++] = (struct retire_range){gpa, len};
}

void gone_clear(struct cordon_ctx *ctx, struct gone *g)
{
    while (g->page != NULL) {
        struct gone_page *next = g->page->next;

        pool_page_free(ctx, g->page);
        g->page = next;
    }
    g->page_count = 0;
    g->used = 0;
    g->room = GONE_INLINE;
}

/* All of the list is proven to be unused; it is complete. */
static void list_release(struct cordon_domain *d, struct gone *g)
{
    uint64_t used = g->used;

    for (struct gone_page *page = g->page; page != NULL; page = page->next) {
        const struct frames_gone some = {page->run, page->word, used};

        frames_release(d, &some);
        used = page->next != NULL ? RUNS_PER_PAGE : GONE_INLINE;
    }
    if (used > 0) {
        const struct frames_gone some = {g->run, g->word, used};

        frames_release(d, &some);
    }
}

/* ---- retiring ----------------------------------------------------------------------------- */

/* Everything REVOKING of the domain, and every dead table, is proven to be unused. */
static void release_all(struct cordon_domain *d)
{
    (void)frames_release_domain(d);
    resource_release_domain(d->ctx, d->number);
    promise_dead_free(d);
    d->pending = false;
}

int gone_retire_all(struct cordon_domain *d, bool again)
{
    const struct retire_request req = {.whole = true, .again = again};

    port_fence(d->ctx->cookie);
    vmid_fence(d, NULL, 0, true);
    if (retire_devices(d, &req) != 0) {
        d->pending = true;
        return -CORDON_EPENDING;
    }
    release_all(d);
    return 0;
}

/* This change's own part is proven to be unused; what older ones left may still be pending. */
static void release_own(struct cordon_domain *d, struct gone *g)
{
    if (g->lost) {
        (void)frames_release_domain(d);
    } else {
        list_release(d, g);
    }
    if (!d->pending) {
        resource_release_domain(d->ctx, d->number);
        promise_dead_free(d);
    }
}

/* Tell the IOMMUs. Rights that only came need no proof, unless tables went with them. */
static int devices_retire(struct cordon_domain *d, const struct gone *g, bool whole)
{
    const struct retire_request req = {.ranges = g->range, .count = g->ranges, .whole = whole};
    int err;

    if (g->rights) {
        return g->devised ? retire_devices(d, &req) : retire_invalidate(d, &req);
    }
    if (!g->devised) {
        return 0;
    }
    err = retire_invalidate(d, &req);
    return d->dead.count != g->dead_before ? err : 0;
}

int gone_retire(struct cordon_domain *d, struct gone *g)
{
    bool whole = g->whole || d->dead.nonleaf;

    if (!g->rights && !d->dead.downgrade && !d->dead.nonleaf) {
        return 0;
    }
    if (g->rights && d->pending && (g->devised || g->lost)) {
        return gone_retire_all(d, false);
    }
    vmid_fence(d, g->range, g->ranges, whole);
    if (devices_retire(d, g, whole) != 0) {
        d->pending = true;
        return -CORDON_EPENDING;
    }
    release_own(d, g);
    return 0;
}
