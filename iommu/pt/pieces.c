/*
 * A grant's list of extents, cut so that the tables are descended once for each leaf table and not
 * once for each frame.
 */
#include <cordon/error.h>

#include "pt/edit.h"

int pt_grant_pages(const struct pt_grant *g, uint64_t *pages)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < g->count; i++) {
        uint64_t hpa = g->extents[i].hpa.v, len = g->extents[i].len;

        if (!is_aligned(hpa | len, CORDON_PAGE_SIZE)) {
            return -CORDON_EALIGN;
        }
        if (len - 1 >= BIT64(PT_HPA_BITS) || (hpa + len - 1) >> PT_HPA_BITS != 0 ||
            hpa >> PT_HPA_BITS != 0) {
            return -CORDON_ERANGE;
        }
        sum += len >> CORDON_PAGE_SHIFT;
        if (sum >> PT_HPA_BITS != 0) {
            return -CORDON_ERANGE;
        }
    }
    *pages = sum;
    return 0;
}

struct pt_pieces pt_pieces_of(const struct pt_fmt *fmt, const struct pt_grant *g, uint64_t pages)
{
    uint64_t first = pt_linear(fmt, g->gpa.v);

    return (struct pt_pieces){.at = {.extent = g->extents},
                              .next = first,
                              .last = first + (pages << CORDON_PAGE_SHIFT) - 1};
}

/* Go on by as many bytes as the extents hold contiguously, at most LIMIT; returns how many. */
static uint64_t take_run(struct pt_cursor *c, uint64_t limit)
{
    uint64_t end = c->extent->hpa.v + c->used, run = 0;

    while (run < limit && c->extent->hpa.v + c->used == end) {
        uint64_t part = c->extent->len - c->used;

        part = part < limit - run ? part : limit - run;
        run += part;
        end += part;
        c->used += part;
        if (c->used == c->extent->len) {
            c->extent++;
            c->used = 0;
        }
    }
    return run;
}

bool pt_piece_next(struct pt_pieces *p, struct pt_piece *out)
{
    uint64_t table_last = pt_entry_last(1, p->next, p->last);
    struct pt_cursor start = p->at;
    uint64_t run;

    if (p->next > p->last) {
        return false;
    }
    run = take_run(&p->at, p->last - p->next + 1);
    *out = (struct pt_piece){.first = p->next, .last = p->next + run - 1};
    out->offset = start.extent->hpa.v + start.used - p->next;
    if (out->last < table_last) {
        out->list = start;
        out->offset = CORDON_PAGE_SIZE; /* 4 KiB leaves only */
        while (out->last < table_last) {
            out->last += take_run(&p->at, table_last - out->last);
        }
    }
    p->next = out->last + 1;
    return true;
}
