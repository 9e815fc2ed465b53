/*
 * Reading tables: as the hardware does, and leaf by leaf. [Priv 12.3.2, 18.5.1]
 *
 * A walk trusts nothing that it reads: a word that the builder does not write, or a table that is no
 * TABLE frame, ends it with ECORRUPT before the address is followed.
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

/* The table that WORD leads to, or null when no table of this context can stand there. */
static inline const uint64_t *follow(const struct pt_forest *f, uint64_t word)
{
    cordon_hpa table = pt_word_hpa(word);

    if ((frames_word(f->ctx, table) & FW_STATE) != CORDON_FRAME_TABLE) {
        return NULL;
    }
    return pt_table_ptr(f, table);
}

int pt_lookup(const struct pt_forest *f, uint32_t view, cordon_gpa gpa, struct pt_hit *hit)
{
    const struct pt_fmt *fmt = f->fmt;
    unsigned level = pt_top(fmt);
    const uint64_t *word = pt_table_ptr(f, f->root[view]);
    bool sound = true;
    uint64_t pte;

    if (!pt_in_width(fmt, gpa.v)) {
        return -CORDON_ERANGE;
    }
    word += pt_linear(fmt, gpa.v) >> pt_shift(level);
    for (;;) {
        const uint64_t *table;

        pte = *word;
        if ((pte & ~PTE_PPN) != PTE_V || level == 0) {
            break;
        }
        table = follow(f, pte);
        if (table == NULL) {
            sound = false;
            break;
        }
        level--;
        word = &table[pt_index_below(level, gpa.v)];
    }
    hit->word = pt_word_at(f, word);
    hit->pte = pte;
    hit->level = level;
    hit->leaf = pt_word_is_leaf(pte);
    return sound && pt_word_ours(fmt, level, pte) ? 0 : -CORDON_ECORRUPT;
}

/* The first address behind the empty word of HIT whose word in the same table is not 0, or behind the
 * table. LINEAR is the first address of the empty word. */
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
        struct pt_hit found;
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
