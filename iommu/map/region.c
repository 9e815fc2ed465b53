/*
 * Regions: cutting at the ends of a range, and joining neighbours that say the same.
 */
#include "map/region.h"
#include "core/bits.h"

bool regions_cover(const struct regions *r, uint64_t first, uint64_t pages)
{
    uint64_t end = first + pages;

    while (first < end) {
        const struct span *s = span_find(&r->set, first);

        if (s == NULL) {
            return false;
        }
        first = span_end(s);
    }
    return true;
}

void regions_insert(struct regions *r, uint64_t first, uint64_t pages, uint32_t attr,
                    struct span *below, struct span *above)
{
    bool joins_below = below != NULL && span_end(below) == first && below->attr == attr;
    bool joins_above = above != NULL && above->first == first + pages && above->attr == attr;

    r->last = NULL;
    cordon_assert(below == NULL || span_end(below) <= first);
    cordon_assert(above == NULL || above->first - first >= pages);
    if (joins_below) {
        below->pages += pages;
        if (joins_above) {
            below->pages += above->pages;
            span_remove(&r->set, above);
        }
    } else if (joins_above) {
        above->first = first; /* nothing stands between: the order stays */
        above->pages += pages;
    } else {
        (void)span_insert_behind(&r->set, below, first, pages, attr, 0);
    }
}

/* Take [FIRST, LAST) out of one region. */
static void take_out(struct regions *r, struct span *s, uint64_t first, uint64_t last)
{
    uint64_t end = span_end(s);

    if (s->first == first && end == last) {
        span_remove(&r->set, s);
    } else if (s->first == first) {
        s->pages = end - last;
        s->first = last;
    } else {
        s->pages = first - s->first;
        if (last < end) {
            (void)span_insert_behind(&r->set, s, last, end - last, s->attr, 0);
        }
    }
}

void regions_remove(struct regions *r, uint64_t first, uint64_t pages, struct span *inside)
{
    uint64_t end = first + pages;

    r->last = NULL;
    for (;;) {
        cordon_assert(inside != NULL && inside->first <= first && span_end(inside) > first);
        uint64_t last = span_end(inside) < end ? span_end(inside) : end;

        take_out(r, inside, first, last);
        if (last == end) {
            return;
        }
        first = last;
        inside = span_find(&r->set, first);
    }
}

/* Make [FIRST, LAST) of one region a region of its own. */
static struct span *cut_out(struct regions *r, struct span *s, uint64_t first, uint64_t last)
{
    uint64_t end = span_end(s);

    if (last < end) {
        (void)span_insert_behind(&r->set, s, last, end - last, s->attr, 0);
        s->pages = last - s->first;
    }
    if (s->first == first) {
        return s;
    }
    s->pages = first - s->first;
    return span_insert_behind(&r->set, s, first, last - first, s->attr, 0);
}

/* ABOVE becomes part of BELOW, if it goes on where BELOW ends and says the same. */
static void join(struct regions *r, struct span *below, struct span *above)
{
    if (below != NULL && above != NULL && span_end(below) == above->first &&
        below->attr == above->attr) {
        below->pages += above->pages;
        span_remove(&r->set, above);
    }
}

void regions_change(struct regions *r, uint64_t first, uint64_t pages, uint32_t mask, uint32_t attr,
                    struct span *inside)
{
    uint64_t end = first + pages;

    r->last = NULL;
    for (;;) {
        cordon_assert(inside != NULL && inside->first <= first && span_end(inside) > first);
        uint64_t last = span_end(inside) < end ? span_end(inside) : end;
        uint32_t wanted = (inside->attr & ~mask) | (attr & mask);

        if (wanted != inside->attr) {
            struct span *s = cut_out(r, inside, first, last);

            s->attr = wanted;
            join(r, s, span_after(s));
            join(r, span_before(s), s);
        }
        if (last == end) {
            return;
        }
        first = last;
        inside = span_find(&r->set, first);
    }
}
