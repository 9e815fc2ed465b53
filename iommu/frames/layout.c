/*
 * Laying a pool over RAM: where the context lies, which frames are the layer's own, and which are
 * free. The plan is pure; nothing of the RAM is touched before it has succeeded.
 *
 *   boot blocks:  | context | block words of each bank | first meta frames ... | header |
 */
#include "core/ctx.h"

static uint64_t pages_of(uint64_t bytes)
{
    return (bytes + CORDON_PAGE_SIZE - 1) >> CORDON_PAGE_SHIFT;
}

static uint64_t extent_end(const struct cordon_extent *e)
{
    return e->hpa.v + e->len;
}

static int extent_check(const struct cordon_extent *e)
{
    if (!is_aligned(e->hpa.v | e->len, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    if (e->len == 0 || range_wraps(e->hpa.v, e->len) ||
        extent_end(e) > HFN_LIMIT << CORDON_PAGE_SHIFT) {
        return -CORDON_ERANGE;
    }
    return 0;
}

/* Banks must ascend; those that touch become one, so that runs may cross. */
static int plan_banks(const struct cordon_config *cfg, struct pool_layout *out)
{
    out->bank_count = 0;
    for (uint32_t i = 0; i < cfg->bank_count; i++) {
        const struct cordon_extent *e = &cfg->banks[i];
        int err = extent_check(e);

        if (err != 0) {
            return err;
        }
        struct cordon_extent *last = out->bank_count > 0 ? &out->bank[out->bank_count - 1] : NULL;

        if (last != NULL && e->hpa.v < extent_end(last)) {
            return -CORDON_ERANGE;
        }
        if (last != NULL && e->hpa.v == extent_end(last)) {
            last->len += e->len;
        } else {
            out->bank[out->bank_count++] = *e;
        }
    }
    return 0;
}

/* Insert a hole where it belongs, ascending by start. */
static void hole_insert(struct pool_layout *out, struct cordon_extent e)
{
    uint32_t at = out->hole_count++;

    while (at > 0 && out->hole[at - 1].hpa.v > e.hpa.v) {
        out->hole[at] = out->hole[at - 1];
        at--;
    }
    out->hole[at] = e;
}

/* Join holes that overlap or touch. */
static void holes_merge(struct pool_layout *out)
{
    uint32_t kept = 0;

    for (uint32_t i = 1; i < out->hole_count; i++) {
        struct cordon_extent *last = &out->hole[kept];
        const struct cordon_extent *e = &out->hole[i];

        if (e->hpa.v > extent_end(last)) {
            out->hole[++kept] = *e;
        } else if (extent_end(e) > extent_end(last)) {
            last->len = extent_end(e) - last->hpa.v;
        }
    }
    out->hole_count = kept + 1;
}

static int plan_reserved(const struct cordon_config *cfg, struct pool_layout *out)
{
    out->hole_count = 0;
    /* Address 0 means "none" in chains of tables and in the public interface. */
    hole_insert(out, (struct cordon_extent){cordon_hpa_make(0), CORDON_PAGE_SIZE});
    for (uint32_t i = 0; i < cfg->reserved_count; i++) {
        int err = extent_check(&cfg->reserved[i]);

        if (err != 0) {
            return err;
        }
        hole_insert(out, cfg->reserved[i]);
    }
    holes_merge(out);
    return 0;
}

static uint64_t extent_blocks(const struct cordon_extent *bank)
{
    return ((extent_end(bank) + BLOCK_SIZE - 1) / BLOCK_SIZE) - bank->hpa.v / BLOCK_SIZE;
}

static uint64_t array_bytes(const struct pool_layout *plan)
{
    uint64_t blocks = 0;

    for (uint32_t i = 0; i < plan->bank_count; i++) {
        blocks += extent_blocks(&plan->bank[i]);
    }
    return blocks * sizeof(struct frame_block);
}

/* The highest place for LEN bytes of whole blocks in BANK that no hole touches. */
static bool place_in(const struct pool_layout *plan, const struct cordon_extent *bank, uint64_t len,
                     uint64_t *hpa)
{
    uint64_t end = extent_end(bank) & ~(BLOCK_SIZE - 1);
    uint32_t i = plan->hole_count;

    while (i > 0 && end >= len && end - len >= bank->hpa.v) {
        const struct cordon_extent *hole = &plan->hole[i - 1];

        if (hole->hpa.v >= end) {
            i--; /* above */
        } else if (extent_end(hole) <= end - len) {
            break; /* below, as all further ones */
        } else {
            end = hole->hpa.v & ~(BLOCK_SIZE - 1);
            i--;
        }
    }
    if (end < len || end - len < bank->hpa.v) {
        return false;
    }
    *hpa = end - len;
    return true;
}

int pool_plan(const struct cordon_config *cfg, uint64_t own, struct pool_layout *out)
{
    int err = plan_banks(cfg, out);

    if (err == 0) {
        err = plan_reserved(cfg, out);
    }
    if (err != 0) {
        return err;
    }
    /* Each end of a bank or a hole may split a block; one page more for the header. */
    uint64_t splits = 2ull * (out->bank_count + out->hole_count + 1) + 1;
    uint64_t pages = pages_of(own) + pages_of(array_bytes(out)) + splits;
    uint64_t len = ((pages + BLOCK_FRAMES - 1) / BLOCK_FRAMES) * BLOCK_SIZE;

    for (uint32_t i = out->bank_count; i > 0; i--) {
        uint64_t hpa;

        if (place_in(out, &out->bank[i - 1], len, &hpa)) {
            out->boot_hfn = hpa >> CORDON_PAGE_SHIFT;
            out->boot_pages = len >> CORDON_PAGE_SHIFT;
            hole_insert(out, (struct cordon_extent){cordon_hpa_make(hpa), len});
            holes_merge(out);
            return 0;
        }
    }
    return -CORDON_ENOMEM;
}

/* Everything starts as HYP in whole blocks; a block that sticks out of its bank is split, and says
 * NONE where there is no RAM. */
static void bank_init(struct frame_pool *p, struct frame_bank *bank)
{
    for (uint64_t i = 0; i < bank_blocks(bank); i++) {
        uint64_t hfn = (bank->block0 + i) << BLOCK_ORDER;
        struct frame_block *b = &bank->blocks[i];

        *b = (struct frame_block){.word = CORDON_FRAME_HYP};
        if (hfn >= bank->first && hfn + BLOCK_FRAMES <= bank->end) {
            continue;
        }
        pool_split_for(p, b, meta_take(p), KIND_FIXED); /* it can never be whole */
        for (uint64_t k = 0; k < BLOCK_FRAMES; k++) {
            if (hfn + k < bank->first || hfn + k >= bank->end) {
                b->words[k] = CORDON_FRAME_NONE;
            }
        }
    }
    p->pages[CORDON_FRAME_HYP] += bank->end - bank->first;
}

static void free_init(struct frame_pool *p, uint64_t hfn, uint64_t end)
{
    pool_count(p, CORDON_FRAME_HYP, CORDON_FRAME_FREE, end - hfn);
    while (hfn < end) {
        unsigned order = buddy_piece(hfn, end - hfn);
        struct frame_block *b = pool_block(p, hfn);

        if (order < BLOCK_ORDER && b->words == NULL) {
            pool_split_for(p, b, meta_take(p), KIND_FIXED);
        }
        buddy_insert(p, hfn, order);
        hfn += BIT64(order);
    }
}

/* What lies between the holes of a bank is free. */
static void bank_free_init(struct frame_pool *p, const struct frame_bank *bank,
                           const struct pool_layout *plan)
{
    uint64_t at = bank->first;

    for (uint32_t i = 0; i < plan->hole_count && at < bank->end; i++) {
        uint64_t first = plan->hole[i].hpa.v >> CORDON_PAGE_SHIFT;
        uint64_t end = extent_end(&plan->hole[i]) >> CORDON_PAGE_SHIFT;

        if (end <= at) {
            continue;
        }
        if (first > at) {
            free_init(p, at, first < bank->end ? first : bank->end);
        }
        at = end;
    }
    if (at < bank->end) {
        free_init(p, at, bank->end);
    }
}

void pool_init(struct cordon_ctx *ctx, const struct cordon_config *cfg,
               const struct pool_layout *plan, uint64_t own)
{
    struct frame_pool *p = &ctx->frames;
    uint64_t used = pages_of(own) + pages_of(array_bytes(plan));
    uint64_t last = plan->boot_pages - BLOCK_FRAMES; /* the last boot block has meta frames */
    uint8_t *array = pool_ptr(p, plan->boot_hfn + pages_of(own));

    lock_init(&p->lock);
    p->key = cfg->seed * UINT64_C(0xd6e8feb86659fd93) + 1;
    p->reserved_count = cfg->reserved_count;
    for (uint32_t i = 0; i < cfg->reserved_count; i++) {
        p->reserved[i] = cfg->reserved[i];
    }
    p->meta_first = HFN_NONE;
    for (unsigned o = 0; o <= MAX_ORDER; o++) {
        p->free[o] = HFN_NONE;
    }
    for (unsigned o = 0; o < BLOCK_ORDER; o++) {
        p->fixed[o] = HFN_NONE;
    }
    p->mixed = (cfg->flags & CORDON_CTX_MIXED) != 0;
    cordon_assert(used >= last);
    meta_init(p, plan->boot_hfn + last, used - last);
    p->block_bytes = array_bytes(plan);
    p->bank_count = plan->bank_count;
    for (uint32_t i = 0; i < plan->bank_count; i++) {
        const struct cordon_extent *e = &plan->bank[i];
        struct frame_bank *bank = &p->bank[i];

        bank->first = e->hpa.v >> CORDON_PAGE_SHIFT;
        bank->end = extent_end(e) >> CORDON_PAGE_SHIFT;
        bank->block0 = bank->first >> BLOCK_ORDER;
        bank->blocks = (void *)array;
        array += extent_blocks(e) * sizeof(struct frame_block);
        bank_init(p, bank);
    }
    for (uint32_t i = 0; i < p->bank_count; i++) {
        bank_free_init(p, &p->bank[i], plan);
    }
}
