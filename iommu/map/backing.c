/* What frames stand behind guest pages: read from the G-stage itself, which the map vouches for. */
#include "core/ctx.h"
#include "map/txn.h"
#include "pt/walk.h"

struct backing backing_of(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    return (struct backing){
        .d = d, .at = gfn << CORDON_PAGE_SHIFT, .end = (gfn + pages) << CORDON_PAGE_SHIFT};
}

/* Runs as they are found. */
struct found {
    struct cordon_extent *run, *end; /* where the next one is written, and the end of the room */
    uint64_t next; /* the 4 KiB leaf that would go on with the last one; 0: there is none */
};

/* A run of LEN bytes behind LEAF, as a 4 KiB leaf would say it. False: there is no room for it. */
static inline bool found_new(struct found *f, uint64_t leaf, uint64_t len)
{
    cordon_assert((leaf & PTE_V) != 0 && (leaf & (PTE_R | PTE_X)) != 0); /* INV 1 */
    if (f->run == f->end) {
        return false;
    }
    *f->run++ = (struct cordon_extent){pt_word_hpa(leaf), len};
    f->next = leaf + pt_ppn_put(len);
    return true;
}

/* The page behind WORD: one of a 64 KiB leaf may go on with the last run, though its word does not.
 */
static bool found_page(struct found *f, const uint64_t *word)
{
    uint64_t leaf = pt_page_leaf(word);

    if (leaf != f->next) {
        return found_new(f, leaf, CORDON_PAGE_SIZE);
    }
    f->run[-1].len += CORDON_PAGE_SIZE;
    f->next += pt_leaf_step(0);
    return true;
}

/* As many leaves from WORD on as go on with the last run. Returns the first that does not. */
static inline const uint64_t *found_more(struct found *f, const uint64_t *word, const uint64_t *end)
{
    const uint64_t *first = word;

    for (; word != end && *word == f->next; word++) {
        f->next += pt_leaf_step(0);
    }
    if (word != first) {
        f->run[-1].len += (uint64_t)(word - first) << CORDON_PAGE_SHIFT;
    }
    return word;
}

/* The leaves from WORD on, to the end of their table or of the range. */
static void add_pages(struct backing *b, const uint64_t *word, struct found *f)
{
    uint64_t last = b->at | (BLOCK_SIZE - 1);
    uint64_t bytes = (last < b->end ? last + 1 : b->end) - b->at;
    const uint64_t *start = word, *end = word + (bytes >> CORDON_PAGE_SHIFT);
    struct found to = *f;

    if (to.next != 0) {
        word = found_more(&to, word, end);
    }
    while (word != end && (int64_t)*word > 0 && found_new(&to, *word, CORDON_PAGE_SIZE)) {
        word = found_more(&to, word + 1, end);
    }
    while (word != end && *word != 0 && found_page(&to, word)) { /* from the first of 64 KiB on */
        word = found_more(&to, word + 1, end);
    }
    b->at += (uint64_t)(word - start) << CORDON_PAGE_SHIFT;
    *f = to;
}

/* The part of a larger leaf from b->at on. */
static void add_large(struct backing *b, const struct pt_hit *hit, struct found *f)
{
    uint64_t span = pt_span(hit->level);
    uint64_t inside = b->at & (span - 1);
    uint64_t left = b->end - b->at;
    uint64_t len = span - inside < left ? span - inside : left;
    uint64_t leaf = hit->pte + pt_ppn_put(inside);

    if (leaf == f->next) {
        f->run[-1].len += len;
        f->next += pt_ppn_put(len);
    } else if (!found_new(f, leaf, len)) {
        return;
    }
    b->at += len;
}

/* Pages that are absent, up to the next leaf: only a DEMAND region has such. */
static void add_hole(struct backing *b, struct found *f)
{
    const struct span *s = span_find(&b->d->regions.set, b->at >> CORDON_PAGE_SHIFT);
    cordon_gpa next = cordon_gpa_make(b->at);
    uint64_t end = b->end;
    struct pt_hit hit;

    cordon_assert(s != NULL && (region_flags(s) & CORDON_REGION_DEMAND) != 0); /* INV 1 */
    if (pt_next_leaf(&b->d->forest, 0, &next, &hit) == 0 && next.v < end) {
        end = next.v;
    }
    if (span_end(s) << CORDON_PAGE_SHIFT < end) {
        end = span_end(s) << CORDON_PAGE_SHIFT;
    }
    if (b->holes) {
        if (f->run == f->end) {
            return;
        }
        *f->run++ = (struct cordon_extent){cordon_hpa_make(BACKING_HOLE), end - b->at};
    }
    f->next = 0;
    b->at = end;
}

/* What one leaf table, or larger leaf, has for the range. */
static void add_some(struct backing *b, struct found *f)
{
    const struct pt_forest *forest = &b->d->forest;
    const uint64_t *word;
    struct pt_hit hit;

    if (pt_is_ready(forest, forest->views, b->at, b->at)) {
        word = &forest->ready[pt_index_below(0, b->at)];
    } else {
        int err = pt_lookup(forest, 0, cordon_gpa_make(b->at), &hit);

        cordon_assert(err == 0); /* INV 1 */
        if (hit.level != 0 && hit.leaf) {
            add_large(b, &hit, f);
            return;
        }
        word = frames_ptr(b->d->ctx, hit.word);
    }
    if (*word == 0) {
        add_hole(b, f);
    } else {
        add_pages(b, word, f);
    }
}

uint64_t backing_next(struct backing *b, struct cordon_extent *runs, uint64_t room)
{
    struct found f = {.run = runs, .end = runs + room};

    uint64_t before;

    do {
        before = b->at;
        if (before < b->end) {
            add_some(b, &f);
        }
    } while (b->at != before);
    return (uint64_t)(f.run - runs);
}
