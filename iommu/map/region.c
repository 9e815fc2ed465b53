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

/* Make a region boundary at PAGE, if one region holds both sides. */
static void cut(struct regions *r, uint64_t page)
{
    struct span *s = span_find(&r->set, page);

    if (s == NULL || s->first == page) {
        return;
    }
    uint64_t end = span_end(s);

    s->pages = page - s->first;
    (void)span_insert(&r->set, page, end - page, s->attr, s->value);
}

/* Join the regions on both sides of PAGE if they touch and say the same. */
static void heal(struct regions *r, uint64_t page)
{
    struct span *right = span_find(&r->set, page);

    if (page == 0 || right == NULL || right->first != page) {
        return;
    }
    struct span *left = span_find(&r->set, page - 1);

    if (left != NULL && left->attr == right->attr) {
        left->pages += right->pages;
        span_remove(&r->set, right);
    }
}

void regions_insert(struct regions *r, uint64_t first, uint64_t pages, uint32_t attr)
{
    struct span *left, *right;

    span_around(&r->set, first, &left, &right);
    cordon_assert(left == NULL || span_end(left) <= first);
    cordon_assert(right == NULL || right->first >= first + pages);
    bool joins_left = left != NULL && span_end(left) == first && left->attr == attr;
    bool joins_right = right != NULL && right->first == first + pages && right->attr == attr;

    if (joins_left) {
        left->pages += pages;
        if (joins_right) {
            left->pages += right->pages;
            span_remove(&r->set, right);
        }
    } else if (joins_right) {
        right->first = first;
        right->pages += pages;
    } else {
        (void)span_insert(&r->set, first, pages, attr, 0);
    }
}

void regions_remove(struct regions *r, uint64_t first, uint64_t pages)
{
    uint64_t end = first + pages;

    cut(r, first);
    cut(r, end);
    while (first < end) {
        struct span *s = span_find(&r->set, first);

        cordon_assert(s != NULL && s->first == first);
        first = span_end(s);
        span_remove(&r->set, s);
    }
}

void regions_protect(struct regions *r, uint64_t first, uint64_t pages, uint32_t perms)
{
    uint64_t end = first + pages;
    uint64_t at = first;

    cut(r, first);
    cut(r, end);
    while (at < end) {
        struct span *s = span_find(&r->set, at);

        cordon_assert(s != NULL && s->first == at);
        s->attr = region_attr(perms, region_flags(s));
        at = span_end(s);
        heal(r, s->first);
    }
    heal(r, end);
}
