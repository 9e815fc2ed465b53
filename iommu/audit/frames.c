/*
 * Ownership words, free lists and counts; and that everything owned is where it says it is.
 */
#include "audit/audit.h"
#include "frames/loan.h"

#define MSI_ONLY_GFN BIT64(52) /* riscv/msi.h: held for MSIs alone, at no GPA */

struct census {
    struct audit *a;
    uint64_t pages[FRAME_STATES];
    uint64_t domains[CORDON_MAX_DOMAINS / 64]; /* bit n: domain n exists */
};

static struct audit_place frame_place(uint64_t hfn, uint64_t word)
{
    return (struct audit_place){.hpa = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT), .value = word};
}

/* ---- free runs ---------------------------------------------------------------------------- */

/* A free run at HFN: a head, aligned, inside the bank, and all of it free. Returns its pages. */
static int check_free_run(const struct census *c, const struct frame_bank *bank, uint64_t hfn,
                          uint64_t word, uint64_t *pages)
{
    const struct frame_pool *p = &c->a->ctx->frames;
    struct audit_place at = frame_place(hfn, word);
    uint64_t order = field_get(FW_ORDER, word);

    if (order == FW_ORDER_STOCK && hfn >= p->stock && hfn - p->stock < p->stock_left) {
        *pages = 1;
        return 0;
    }
    if (order > MAX_ORDER || !is_aligned(hfn, BIT64(order)) || bank->end - hfn < BIT64(order)) {
        return audit_fail(c->a, AUDIT_FREE, &at, "a free frame that no free run begins at");
    }
    for (uint64_t i = 1; i < BIT64(order);) {
        const struct frame_block *b = pool_block(p, hfn + i);

        if (pool_word(b, hfn + i) != FW_FREE_INSIDE) {
            at = frame_place(hfn + i, pool_word(b, hfn + i));
            return audit_fail(c->a, AUDIT_FREE, &at, "a frame inside a free run is not free");
        }
        i = b->words != NULL ? i + 1 : ((hfn + i) | (BLOCK_FRAMES - 1)) + 1 - hfn;
    }
    *pages = BIT64(order);
    return 0;
}

/* One list; its pages are added up. */
static int check_list(const struct census *c, uint64_t hfn, unsigned order, uint64_t *pages)
{
    const struct frame_pool *p = &c->a->ctx->frames;

    while (hfn != HFN_NONE) {
        uint64_t next;

        if (*pages > c->pages[CORDON_FRAME_FREE] || pool_block(p, hfn) == NULL ||
            !buddy_node_ok(p, hfn, order, &next)) {
            struct audit_place at = frame_place(hfn, 0);

            return audit_fail(c->a, AUDIT_FREE, &at, "a node of a free list was written to");
        }
        *pages += BIT64(order);
        hfn = next;
    }
    return 0;
}

/* Every run on the lists says so itself, and there are, with the stock, as many as words say. */
static int check_lists(const struct census *c)
{
    const struct frame_pool *p = &c->a->ctx->frames;
    uint64_t pages = p->stock_left;
    struct audit_place none = {.domain = 0};

    for (unsigned order = 0; order <= MAX_ORDER; order++) {
        int err = check_list(c, p->free[order], order, &pages);

        if (err == 0 && order < BLOCK_ORDER) {
            err = check_list(c, p->fixed[order], order, &pages);
        }
        if (err != 0) {
            return err;
        }
    }
    if (pages != c->pages[CORDON_FRAME_FREE]) {
        return audit_fail(c->a, AUDIT_FREE, &none, "free frames that are on no list");
    }
    return 0;
}

/* ---- words -------------------------------------------------------------------------------- */

static const struct cordon_domain *domain_of(const struct cordon_ctx *ctx, uint64_t number)
{
    const struct cordon_domain *d = ctx->domains;

    while (d != NULL && d->number != number) {
        d = d->next;
    }
    return d;
}

static bool exists(const struct census *c, uint64_t domain)
{
    return domain < CORDON_MAX_DOMAINS && (c->domains[domain / 64] >> domain % 64 & 1u) != 0;
}

/* Count the frame, or run of frames, at HFN; *PAGES is how many. */
static int take_word(struct census *c, const struct frame_bank *bank, uint64_t hfn, uint64_t *pages)
{
    const struct frame_block *b = &bank->blocks[(hfn >> BLOCK_ORDER) - bank->block0];
    uint64_t word = pool_word(b, hfn);
    uint64_t state = field_get(FW_STATE, word);
    struct audit_place at = frame_place(hfn, word);
    bool owned = state == CORDON_FRAME_OWNED || state == CORDON_FRAME_REVOKING;
    int err = 0;

    *pages = b->words != NULL ? 1 : BLOCK_FRAMES;
    if (state == CORDON_FRAME_NONE || state == FRAME_SPLIT) {
        return audit_fail(c->a, AUDIT_OWNER, &at, "a frame of RAM without a state");
    }
    if (state == CORDON_FRAME_FREE) {
        err = check_free_run(c, bank, hfn, word, pages);
    }
    if (owned && !exists(c, field_get(FW_DOMAIN, word))) {
        return audit_fail(c->a, AUDIT_OWNER, &at, "a frame of a domain that does not exist");
    }
    c->pages[state] += *pages;
    return err;
}

static int check_counts(const struct census *c)
{
    const struct frame_pool *p = &c->a->ctx->frames;

    for (uint32_t state = 0; state < FRAME_STATES; state++) {
        struct audit_place at = {.value = state};

        if (c->pages[state] != p->pages[state]) {
            return audit_fail(c->a, AUDIT_OWNER, &at, "the count of frames in a state is wrong");
        }
    }
    return 0;
}

static int check_reserved(const struct audit *a)
{
    const struct frame_pool *p = &a->ctx->frames;

    for (uint32_t i = 0; i < p->reserved_count; i++) {
        const struct cordon_extent *e = &p->reserved[i];

        for (uint64_t at = e->hpa.v; at < e->hpa.v + e->len; at += CORDON_PAGE_SIZE) {
            uint64_t word = frames_word(a->ctx, cordon_hpa_make(at));

            if (word != CORDON_FRAME_HYP && word != CORDON_FRAME_NONE) {
                struct audit_place place = frame_place(at >> CORDON_PAGE_SHIFT, word);

                return audit_fail(a, AUDIT_HIDDEN, &place, "reserved memory has another owner");
            }
        }
    }
    return 0;
}

static int census_take(struct census *c)
{
    const struct frame_pool *p = &c->a->ctx->frames;
    int err = 0;

    for (uint32_t i = 0; i < p->bank_count && err == 0; i++) {
        uint64_t hfn = p->bank[i].first;

        while (hfn < p->bank[i].end && err == 0) {
            uint64_t pages = 0;

            err = take_word(c, &p->bank[i], hfn, &pages);
            hfn += pages;
        }
    }
    if (err == 0) {
        err = check_counts(c);
    }
    if (err == 0 && p->promised != c->a->promised) {
        struct audit_place none = {.value = p->promised};

        err = audit_fail(c->a, AUDIT_OWNER, &none, "the count of promised frames is wrong");
    }
    return err == 0 ? check_lists(c) : err;
}

int audit_frames(struct audit *a)
{
    struct census c = {.a = a};

    for (const struct cordon_domain *d = a->ctx->domains; d != NULL; d = d->next) {
        c.domains[d->number / 64] |= BIT64(d->number % 64);
    }
    lock_take(&a->ctx->frames.lock);
    int err = census_take(&c);

    lock_give(&a->ctx->frames.lock);
    return err == 0 ? check_reserved(a) : err;
}

/* ---- everything owned was seen ------------------------------------------------------------ */

/* Is this frame where it says it stands? */
static bool stands(const struct cordon_ctx *ctx, uint64_t hfn, uint64_t word)
{
    const struct cordon_domain *d = domain_of(ctx, field_get(FW_DOMAIN, word));
    uint64_t gfn = field_get(FW_GFN, word);
    struct audit_leaf leaf;

    if (d == NULL || !audit_lookup(d, 0, gfn, &leaf)) {
        return false;
    }
    uint64_t inside = gfn & (BIT64(9 * leaf.level) - 1);

    return field_get(PTE_PPN, leaf.pte) + inside == hfn;
}

/* The slow way to the first frame that is not. */
static int find_astray(struct audit *a)
{
    const struct frame_pool *p = &a->ctx->frames;
    struct audit_place at = {.domain = 0};

    for (uint32_t i = 0; i < p->bank_count; i++) {
        for (uint64_t hfn = p->bank[i].first; hfn < p->bank[i].end; hfn++) {
            uint64_t word = pool_word(pool_block(p, hfn), hfn);

            if (field_get(FW_STATE, word) != CORDON_FRAME_OWNED || stands(a->ctx, hfn, word)) {
                continue;
            }
            at = frame_place(hfn, word);
            at.domain = (uint32_t)field_get(FW_DOMAIN, word);
            at.gpa = cordon_gpa_make(field_get(FW_GFN, word) << CORDON_PAGE_SHIFT);
            return audit_fail(a, AUDIT_LEAF, &at, "an owned frame is not where it says it stands");
        }
    }
    return audit_fail(a, AUDIT_LEAF, &at, "leaves and owned frames differ in number");
}

static uint64_t holdings_pages(struct resources *r)
{
    uint64_t pages = 0;

    lock_take(&r->lock);
    for (const struct span *s = span_next(&r->holdings, 0); s != NULL;
         s = span_next(&r->holdings, span_end(s))) {
        bool counts = (s->attr & (RESOURCE_REVOKING | LOAN_COMING)) == 0 && s->value < MSI_ONLY_GFN;

        pages += counts ? s->pages : 0;
    }
    lock_give(&r->lock);
    return pages;
}

int audit_owned(struct audit *a)
{
    struct audit_place none = {.domain = 0};

    /* Each page of a G-stage was found to have a word that names that very page: equal numbers mean
     * that there is no other such word. */
    if (a->frames != a->ctx->frames.pages[CORDON_FRAME_OWNED]) {
        return find_astray(a);
    }
    if (a->resources != holdings_pages(&a->ctx->resources)) {
        return audit_fail(a, AUDIT_OWNER, &none,
                          "a domain has MMIO or borrowed frames that its map does not show");
    }
    return 0;
}
