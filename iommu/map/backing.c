/* What frames stand behind guest pages: read from the G-stage itself, which the map vouches for. */
#include "core/ctx.h"
#include "map/txn.h"
#include "pt/word.h"

struct backing backing_of(const struct cordon_domain *d, uint64_t gfn, uint64_t pages)
{
    return (struct backing){
        .d = d, .at = gfn << CORDON_PAGE_SHIFT, .end = (gfn + pages) << CORDON_PAGE_SHIFT};
}

static void leaf_check(uint64_t pte)
{
    cordon_assert((pte & PTE_V) != 0 && (pte & (PTE_R | PTE_X)) != 0); /* INV 1 */
}

/* Set the run that a leaf of LEVEL gives from b->at on. */
static void run_set(struct backing *b, uint64_t pte, uint32_t level)
{
    uint64_t span = CORDON_PAGE_SIZE << (9 * level);
    uint64_t inside = b->at & (span - 1);
    uint64_t left = b->end - b->at;

    leaf_check(pte);
    b->hpa = cordon_hpa_add(pt_word_hpa(pte), inside);
    b->len = span - inside < left ? span - inside : left;
    b->at += b->len;
}

/* Does the table of 4 KiB leaves that b->word is in go on? */
static inline bool same_table(const struct backing *b)
{
    return !is_aligned(b->at, BLOCK_SIZE) && b->at < b->end;
}

/* The run of 4 KiB leaves from b->word on, to the end of their table. */
static inline void run_of_pages(struct backing *b)
{
    uint64_t pte = *b->word;

    leaf_check(pte);
    b->hpa = pt_word_hpa(pte);
    b->len = 0;
    do {
        b->word++;
        b->at += CORDON_PAGE_SIZE;
        b->len += CORDON_PAGE_SIZE;
        pte += pt_leaf_step(0);
    } while (same_table(b) && *b->word == pte);
}

bool backing_next(struct backing *b)
{
    struct pt_hit hit;

    if (b->at >= b->end) {
        return false;
    }
    if (b->word == NULL || is_aligned(b->at, BLOCK_SIZE)) {
        int err = pt_lookup(&b->d->forest, 0, cordon_gpa_make(b->at), &hit);

        cordon_assert(err == 0 && hit.leaf); /* INV 1 */
        b->word = (const uint64_t *)frames_ptr(b->d->ctx, hit.word);
        if (hit.level != 0) {
            b->word = NULL;
            run_set(b, hit.pte, hit.level);
            return true;
        }
    }
    run_of_pages(b);
    return true;
}
