/* What frames stand behind guest pages: read from the G-stage itself, which the map vouches for. */
#include "core/ctx.h"
#include "map/txn.h"

struct backing backing_of(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    return (struct backing){
        .d = d, .at = gfn << CORDON_PAGE_SHIFT, .end = (gfn + pages) << CORDON_PAGE_SHIFT};
}

/* Set the run that a leaf of LEVEL gives from b->at on. */
static void run_set(struct backing *b, uint64_t pte, uint32_t level)
{
    uint64_t span = CORDON_PAGE_SIZE << (9 * level);
    uint64_t inside = b->at & (span - 1);
    uint64_t left = b->end - b->at;

    cordon_assert((pte & PTE_V) != 0 && (pte & (PTE_R | PTE_X)) != 0); /* INV 1 */
    b->hpa = cordon_hpa_make((field_get(PTE_PPN, pte) << CORDON_PAGE_SHIFT) + inside);
    b->len = span - inside < left ? span - inside : left;
    b->at += b->len;
}

bool backing_next(struct backing *b)
{
    struct pt_hit hit;

    if (b->at >= b->end) {
        return false;
    }
    if (b->word != NULL && !is_aligned(b->at, BLOCK_SIZE)) {
        run_set(b, *b->word++, 0);
        return true;
    }
    int err = pt_lookup(&b->d->forest, 0, cordon_gpa_make(b->at), &hit);

    cordon_assert(err == 0 && hit.leaf); /* INV 1 */
    b->word = hit.level == 0 ? (const uint64_t *)frames_ptr(b->d->ctx, hit.word) + 1 : NULL;
    run_set(b, hit.pte, hit.level);
    return true;
}
