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
        (void)span_insert(&r->set, first, pages, attr, 0);
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
            (void)span_insert(&r->set, last, end - last, s->attr, 0);
        }
    }
}

void regions_remove(struct regions *r, uint64_t first, uint64_t pages, struct span *inside)
{
    uint64_t end = first + pages;

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

void regions_protect(struct regions *r, uint64_t first, uint64_t pages, uint32_t perms)
{
    uint64_t end = first + pages;

    while (first < end) {
        struct span *below, *above, *s = span_find(&r->set, first);

        cordon_assert(s != NULL);
        uint64_t last = span_end(s) < end ? span_end(s) : end;
        uint32_t attr = region_attr(perms, region_flags(s));

        if (attr != s->attr) {
            take_out(r, s, first, last);
            span_around(&r->set, first, &below, &above);
            regions_insert(r, first, last - first, attr, below, above);
        }
        first = last;
    }
}
