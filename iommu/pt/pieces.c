/*
 * A grant's list of extents, cut so that the tables are descended once for each leaf table and not
 * once for each frame.
 */
#include <cordon/error.h>

#include "pt/edit.h"

int pt_grant_pages(const struct pt_grant *g, uint64_t *pages)
{
    const struct cordon_extent *end = g->extents + g->count;
    uint64_t sum = 0, sums = 0, all = 0;

    for (const struct cordon_extent *x = g->extents; x != end; x++) {
        if (x->len == 0) {
            return -CORDON_ERANGE;
        }
        sum += x->len;
        sums |= sum;
        all |= x->hpa.v | x->len | (x->hpa.v + x->len - CORDON_PAGE_SIZE);
    }
    if (!is_aligned(all, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    /* Lengths below 2^56 cannot carry the sum past 2^60 and round without its being seen there. */
    if ((all & ~PT_HPA_PAGE) != 0 || sums >> 60 != 0) {
        return -CORDON_ERANGE;
    }
    *pages = sum >> CORDON_PAGE_SHIFT;
    return 0;
}

bool pt_grant_split(const struct pt_forest *f, const struct pt_grant *g, struct pt_grant *typed,
                    struct pt_grant *plain)
{
    if (g->type == 0 || (g->views & ~f->typed) == 0) {
        return false;
    }
    *typed = *plain = *g;
    typed->views &= f->typed;
    plain->views &= ~f->typed;
    plain->type = 0;
    return true;
}

struct pt_cursor pt_grant_begin(const struct pt_fmt *fmt, const struct pt_grant *g)
{
    return (struct pt_cursor){
        .extent = g->extents, .end = g->extents + g->count, .linear = pt_linear(fmt, g->gpa.v)};
}

/* Go over as many extents as follow each other in host memory. */
static void skip_run(struct pt_cursor *at)
{
    uint64_t end;

    do {
        end = at->extent->hpa.v + at->extent->len;
        at->linear += at->extent->len - at->used;
        at->used = 0;
        at->extent++;
    } while (at->extent != at->end && at->extent->hpa.v == end);
}

static bool is_superpage(const struct cordon_extent *x)
{
    return x->len == pt_span(1) && is_aligned(x->hpa.v, pt_span(1));
}

/* The level of a list that starts here: of superpages, if the first extent is just one. */
static unsigned list_level(const struct pt_cursor *at)
{
    return at->used == 0 && is_aligned(at->linear, pt_span(1)) && is_superpage(at->extent);
}

/* The last address of a list of 2 MiB superpages that may go on to LAST. */
static uint64_t list_end(const struct pt_cursor *at, uint64_t last)
{
    const struct cordon_extent *x = at->extent;
    uint64_t linear = at->linear;

    while (x != at->end && linear < last && is_superpage(x)) {
        linear += pt_span(1);
        x++;
    }
    return linear - 1;
}

bool pt_grant_next(struct pt_cursor *at, struct pt_piece *out)
{
    struct pt_cursor behind = *at;

    if (at->extent == at->end) {
        return false;
    }
    unsigned level = list_level(at);

    skip_run(&behind);
    out->first = at->linear;
    out->last = at->linear | (pt_span(level + 1) - 1);
    out->list = behind.linear <= out->last && behind.extent != at->end;
    out->offset = pt_span(level); /* allows leaves of just this level */
    if (!out->list) {
        out->last = behind.linear - 1;
        out->offset = at->extent->hpa.v + at->used - at->linear;
        *at = behind;
    } else if (level != 0) {
        out->last = list_end(at, out->last);
    }
    return true;
}

void pt_grant_skip(struct pt_cursor *at, uint64_t last)
{
    const struct cordon_extent *x = at->extent;
    uint64_t room = last + 1 - at->linear + at->used;

    /* Room is counted from the start of extent X. */
    while (x != at->end && x->len <= room) {
        room -= x->len;
        x++;
    }
    at->extent = x;
    at->used = x != at->end ? room : 0;
    at->linear = last + 1 - (x != at->end ? 0 : room);
}
