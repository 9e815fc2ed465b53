/*
 * Reading tables: as the hardware does, and leaf by leaf. [Priv 12.3.2, 18.5.1]
 *
 * A walk trusts nothing that it reads: a word that the builder does not write, or a table that is
 * no TABLE frame, ends it with ECORRUPT before the address is followed.
 */
#include <cordon/error.h>

#include "pt/walk.h"

int pt_range_check(const struct pt_fmt *fmt, cordon_gpa gpa, uint64_t pages)
{
    uint64_t first = pt_linear(fmt, gpa.v);
    uint64_t space = BIT64(fmt->address_bits - fmt->sign_extended);

    if (!is_aligned(gpa.v, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    /* Each half of a sign-extended space stands alone: no run goes from one into the other. */
    if (!pt_in_width(fmt, gpa.v) || pages == 0 ||
        pages > (space - (first & (space - 1))) >> CORDON_PAGE_SHIFT) {
        return -CORDON_ERANGE;
    }
    return 0;
}

uint64_t *pt_find_table(const struct pt_forest *f, unsigned level, uint64_t linear)
{
    unsigned at = pt_top(f->fmt);
    uint64_t word = 0;

    for (uint32_t views = f->views, view = 0; views != 0; view++, views >>= 1) {
        uint64_t here;

        if ((views & 1u) == 0) {
            continue;
        }
        here = pt_table_ptr(f, f->root[view])[linear >> f->fmt->root_shift];
        if (!pt_word_is_table(here) || (word != 0 && here != word)) {
            return NULL;
        }
        word = here;
    }
    while (pt_word_is_table(word) && at > level) {
        uint64_t *table = pt_word_table(f, word);

        if (--at == level) {
            return table;
        }
        word = table[pt_index_below(at, linear)];
    }
    return NULL;
}

bool pt_find_ready(struct pt_forest *f, uint32_t views, uint64_t first, uint64_t last)
{
    uint64_t *table = NULL;

    if (views == f->views && (first ^ last) >> pt_shift(1) == 0) {
        table = pt_find_table(f, 0, first);
    }
    if (table == NULL) {
        return false;
    }
    f->ready_at = first;
    f->ready = table;
    f->ready_own = pt_own(f, table);
    return true;
}

/* Is this a TABLE frame? Those always have words of their own. This is frames_word, inline and
 * with a first guess at the bank: a walk asks at each level. */
static inline bool is_table(const struct frame_pool *p, uint64_t hfn)
{
    const struct frame_bank *bank = &p->bank[0];
    const uint64_t *words;

    if (hfn < bank->first || hfn >= bank->end) {
        bank = pool_bank(p, hfn);
        if (bank == NULL) {
            return false;
        }
    }
    words = bank->blocks[(hfn >> BLOCK_ORDER) - bank->block0].words;
    return words != NULL && (words[hfn & (BLOCK_FRAMES - 1)] & FW_STATE) == CORDON_FRAME_TABLE;
}

bool pt_is_table(const struct pt_forest *f, cordon_hpa hpa)
{
    return is_table(&f->ctx->frames, hpa.v >> CORDON_PAGE_SHIFT);
}

/* The table that WORD leads to, or null when no table of this context can stand there. */
static const uint64_t *follow(const struct pt_forest *f, uint64_t word)
{
    cordon_hpa table = pt_word_hpa(word);

    return is_table(&f->ctx->frames, table.v >> CORDON_PAGE_SHIFT) ? pt_table_ptr(f, table) : NULL;
}

static inline void hit_set(struct pt_hit *hit, uint64_t word, uint64_t pte, unsigned level)
{
    hit->word = cordon_hpa_make(word);
    hit->pte = pte;
    hit->level = level;
    hit->leaf = pt_word_is_leaf(pte);
}

/* The walk ended at a 64 KiB leaf, one with a memory type, or at what is not ours. */
PT_SLOW int hit_odd(const struct pt_forest *f, struct pt_hit *hit)
{
    if (!pt_word_ours(f->fmt, hit->level, hit->pte)) {
        return -CORDON_ECORRUPT;
    }
    hit->pte = pt_page_leaf(pt_table_ptr(f, hit->word));
    return 0;
}

/* One walk from the root at HPA. TOP is the root's level: a constant in each caller, so that the
 * shifts are, too. */
static inline int walk(const struct pt_forest *f, unsigned top, uint64_t root, uint64_t linear,
                       struct pt_hit *hit)
{
    const struct frame_pool *frames = &f->ctx->frames;
    uint64_t at = root + (linear >> pt_shift(top)) * sizeof(uint64_t), pte;
    unsigned level = top;

    for (;;) {
        uint64_t table;

        pte = *(const uint64_t *)(uintptr_t)(at + frames->offset);
        table = pt_word_hpa(pte).v;
        if ((pte & ~PTE_PPN) != PTE_V || level == 0) {
            break;
        }
        if (!is_table(frames, table >> CORDON_PAGE_SHIFT)) {
            hit_set(hit, at, pte, level);
            return -CORDON_ECORRUPT;
        }
        level--;
        at = table + pt_index_below(level, linear) * sizeof(uint64_t);
    }
    hit_set(hit, at, pte, level);
    return pt_word_plain(f->fmt, level, pte) ? 0 : hit_odd(f, hit);
}

int pt_lookup(const struct pt_forest *f, uint32_t view, cordon_gpa gpa, struct pt_hit *hit)
{
    uint64_t root = f->root[view].v, linear = gpa.v;

    if ((gpa.v & ~(f->fmt->page_bits | (CORDON_PAGE_SIZE - 1))) != 0) {
        /* Beyond the width, or in the high half of a first stage. */
        linear = pt_linear(f->fmt, gpa.v);
        if (!pt_in_width(f->fmt, gpa.v)) {
            return -CORDON_ERANGE;
        }
    }
    switch (f->fmt->levels) {
    case 3:
        return walk(f, 2, root, linear, hit);
    case 4:
        return walk(f, 3, root, linear, hit);
    default:
        return walk(f, 4, root, linear, hit);
    }
}

/* The first address behind the empty word of HIT whose word in the same table is not 0, or
 * behind the table. LINEAR is the first address of the empty word. */
static uint64_t skip_empty(const struct pt_forest *f, const struct pt_hit *hit, uint64_t linear)
{
    const uint64_t *word = pt_table_ptr(f, hit->word);
    uint64_t span = pt_span(hit->level);
    unsigned left = pt_entries(f->fmt, hit->level) - 1u - pt_index(f->fmt, hit->level, linear);

    do {
        linear += span;
        word++;
    } while (left-- > 0 && *word == 0);
    return linear;
}

int pt_next_leaf(const struct pt_forest *f, uint32_t view, cordon_gpa *gpa, struct pt_hit *hit)
{
    const struct pt_fmt *fmt = f->fmt;
    uint64_t linear = pt_linear(fmt, gpa->v);

    if (!pt_in_width(fmt, gpa->v)) {
        /* The hole of a sign-extended space ends where its high half begins. */
        linear = fmt->sign_extended ? BIT64(fmt->address_bits - 1u) : BIT64(fmt->address_bits);
    }
    while (linear < BIT64(fmt->address_bits)) {
        struct pt_hit found = {.level = 0};
        cordon_gpa at = cordon_gpa_make(pt_unlinear(fmt, linear));
        int error = pt_lookup(f, view, at, &found);

        linear &= ~(pt_span(found.level) - 1);
        if (error != 0 || found.leaf) {
            *gpa = cordon_gpa_make(pt_unlinear(fmt, linear));
            *hit = found;
            return error;
        }
        linear = skip_empty(f, &found, linear);
    }
    return -CORDON_ENOENT;
}

struct visit {
    const struct pt_forest *f;
    int (*fn)(void *arg, cordon_hpa table, uint32_t level);
    void *arg;
};

/* Depth is bounded by the format's levels. */
static int visit_table(const struct visit *v, const uint64_t *table, unsigned level)
{
    unsigned entries = pt_entries(v->f->fmt, level);
    int stop = v->fn(v->arg, pt_word_at(v->f, table), level);

    for (unsigned i = 0; stop == 0 && level > 0 && i < entries; i++) {
        const uint64_t *below;

        if (!pt_word_is_table(table[i])) {
            continue;
        }
        below = pt_word_ours(v->f->fmt, level, table[i]) ? follow(v->f, table[i]) : NULL;
        stop = below == NULL ? -CORDON_ECORRUPT : visit_table(v, below, level - 1);
    }
    return stop;
}

int pt_each_table(const struct pt_forest *f, uint32_t view,
                  int (*fn)(void *arg, cordon_hpa table, uint32_t level), void *arg)
{
    const struct visit v = {f, fn, arg};

    return visit_table(&v, pt_table_ptr(f, f->root[view]), pt_top(f->fmt));
}
