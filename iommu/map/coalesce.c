/* Coalescing, a bounded piece at a time: see pt/merge.h for how, this for where. */
#include <cordon/log.h>

#include "core/ctx.h"
#include "map/gone.h"
#include "port_word.h"
#include "pt/merge.h"

#define BUDGET_USUAL 512u

static int check_form(const struct cordon_domain *d, const struct cordon_coalesce *w)
{
    if (d == NULL || w == NULL || w->size != sizeof(*w) || w->flags != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    if (!is_aligned(w->gpa.v | w->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t first = w->gpa.v >> CORDON_PAGE_SHIFT, pages = w->len >> CORDON_PAGE_SHIFT;

    return pages != 0 && first < d->gfn_limit && pages <= d->gfn_limit - first ? 0 : -CORDON_ERANGE;
}

static uint64_t bytes(uint64_t pages)
{
    return pages << CORDON_PAGE_SHIFT;
}

/* The part of one region in [GFN, END), as far as *WORDS allow. Returns where to go on, a page
 * number. */
static uint64_t coalesce_region(struct cordon_domain *d, const struct span *s, uint64_t gfn,
                                uint64_t end, uint64_t *words, struct cordon_coalesced *out)
{
    uint64_t last = span_end(s) < end ? span_end(s) : end;
    const struct pt_merge what = {.first = bytes(s->first),
                                  .last = bytes(span_end(s)) - 1,
                                  .from = bytes(s->first > gfn ? s->first : gfn),
                                  .to = bytes(last) - 1,
                                  .budget = *words};
    struct pt_merged merged = {.words = PT_MERGE_ENTRY, .next = bytes(last)};

    if ((region_flags(s) & CORDON_REGION_LOG) == 0) {
        pt_merge(&d->forest, &what, &d->dead, &merged);
        out->looked += merged.looked;
        out->napot += merged.napot;
        out->mega += merged.made[0];
        out->giga += merged.made[1];
    }
    *words -= merged.words < *words ? merged.words : *words;
    return merged.next >> CORDON_PAGE_SHIFT;
}

static int coalesce(struct cordon_domain *d, const struct cordon_coalesce *w,
                    struct cordon_coalesced *out)
{
    uint64_t gfn = w->gpa.v >> CORDON_PAGE_SHIFT;
    uint64_t end = gfn + (w->len >> CORDON_PAGE_SHIFT);
    uint64_t budget = w->budget != 0 ? w->budget : BUDGET_USUAL;
    uint64_t words = budget < UINT64_MAX / PT_MERGE_TABLE ? budget * PT_MERGE_TABLE : UINT64_MAX;
    struct gone gone;

    gone_begin(&gone);
    gone_commit(d, &gone);
    gone.devised = true;
    gone.whole = true;
    while (gfn < end && words > 0) {
        const struct span *s = span_next(&d->regions.set, gfn);

        gfn = s == NULL || s->first >= end ? end : coalesce_region(d, s, gfn, end, &words, out);
    }
    out->next = cordon_gpa_make(bytes(gfn));
    port_fence(d->ctx->cookie);
    return gone_retire(d, &gone);
}

int cordon_coalesce(cordon_domain *d, const struct cordon_coalesce *what,
                    struct cordon_coalesced *out)
{
    struct cordon_coalesced done = {.looked = 0};
    int err = out != NULL ? check_form(d, what) : -CORDON_EINVAL;

    if (err != 0) {
        return err;
    }
    lock_take(&d->lock);
    err = coalesce(d, what, &done);
    lock_give(&d->lock);
    if (err == 0) {
        *out = done;
    }
    return err;
}
