/* A and D: see marks.h. */
#include "pt/marks.h"

#include "pt/edit.h"
#include "pt/napot.h"

/* ---- a view's own 4 KiB leaves ------------------------------------------------------------ */

/* All tables under a leaf of LEVEL whose part FIRST..LAST becomes 4 KiB leaves. */
static uint64_t tables_under(unsigned level, uint64_t first, uint64_t last)
{
    return pt_tables_for(level, 0, first, last);
}

/* Depth is bounded by the format's levels. */
static uint64_t reckon(const struct pt_forest *f, unsigned level, const uint64_t *table, bool copy,
                       uint64_t first, uint64_t last)
{
    uint64_t tables = 0, next;

    for (uint64_t at = first; at <= last; at = next) {
        uint64_t word = table[pt_index(f->fmt, level, at)];
        uint64_t end = pt_entry_last(level, at, last);

        next = end + 1;
        if (pt_word_is_leaf(word)) {
            tables += tables_under(level, at, end);
        } else if (word != 0) {
            const uint64_t *below = pt_word_table(f, word);
            bool shared = copy || pt_refs(f, below) > 1;

            tables += shared;
            tables += level > 1 ? reckon(f, level - 1, below, shared, at, end) : 0;
        }
    }
    return tables;
}

int pt_reserve_marks(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
                     struct pt_pool *pool)
{
    uint64_t first = pt_linear(f->fmt, gpa.v), tables = 0;
    int error = pt_range_check(f->fmt, gpa, pages);

    if (error != 0) {
        return error;
    }
    for (; views != 0; views &= views - 1) {
        const uint64_t *root = pt_table_ptr(f, f->root[__builtin_ctz(views)]);

        tables +=
            reckon(f, pt_top(f->fmt), root, false, first, first + (pages << CORDON_PAGE_SHIFT) - 1);
    }
    return tables != 0 ? pt_pool_grow(f, pool, tables) : 0;
}

/* Clear bits of leaves; in a table that nobody reaches yet, by plain stores. */
static void clear_leaves(struct pt_edit *e, const struct pt_node *node, uint64_t first,
                         uint64_t last)
{
    const struct pt_forest *f = e->f;
    uint64_t *word = &node->table[pt_index_below(0, first)];
    const uint64_t *end = word + ((last - first + 1) >> CORDON_PAGE_SHIFT);

    if (f->napot) {
        pt_napot_break_all(f, node->table, pt_index_below(0, first), pt_index_below(0, last),
                           e->retire);
    }
    for (; word != end; word++) {
        uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

        if (!pt_word_is_leaf(old) || (old & e->bits) == 0) {
            continue;
        }
        if (node->fresh) {
            pt_store(f, word, old & ~e->bits);
        } else {
            (void)port_clear64(f->ctx->cookie, word, pt_word_at(f, word), e->bits);
        }
        e->retire->downgrade = true;
    }
}

/* The table under an entry, made this view's own. False: nothing is there. */
static bool open_own(struct pt_edit *e, unsigned level, const struct pt_node *node, unsigned index,
                     struct pt_node *child)
{
    uint64_t old = node->table[index];

    *child = (struct pt_node){.old = old, .members = 1, .fresh = true};
    if (old == 0) {
        return false;
    }
    if (!pt_word_is_table(old)) {
        child->table = pt_split_leaf(e, level - 1, old);
        return true;
    }
    child->table = pt_word_table(e->f, old);
    child->fresh = pt_refs(e->f, child->table) > 1;
    if (child->fresh) {
        child->table = pt_copy_table(e, level - 1, child->table);
    }
    return true;
}

/* Depth is bounded by the format's levels. */
static void own_level(struct pt_edit *e, unsigned level, const struct pt_node *node, uint64_t first,
                      uint64_t last)
{
    uint64_t next;

    if (level == 0) {
        clear_leaves(e, node, first, last);
        return;
    }
    for (uint64_t at = first; at <= last; at = next) {
        unsigned index = pt_index(e->f->fmt, level, at);
        uint64_t end = pt_entry_last(level, at, last);
        struct pt_node child;

        next = end + 1;
        if (open_own(e, level, node, index, &child)) {
            own_level(e, level - 1, &child, at, end);
            pt_close(e, level, node, index, &child, 1, 0);
        }
    }
}

void pt_marks_own(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages,
                  uint64_t clear, struct pt_pool *pool, struct pt_retire *retire)
{
    uint64_t first = pt_linear(f->fmt, gpa.v);
    struct pt_edit e = {.f = f, .pool = pool, .retire = retire, .bits = clear};
    struct pt_node root;

    f->ready_at = PT_NOWHERE;
    cordon_assert(pt_roots(f, 1u << view, &root) == 1);
    own_level(&e, pt_top(f->fmt), &root, first, first + (pages << CORDON_PAGE_SHIFT) - 1);
}

/* ---- every leaf table of a range ---------------------------------------------------------- */

/* What is done to each leaf table's part, and to each larger leaf. */
struct sweep {
    struct pt_forest *f;
    void (*leaves)(struct sweep *s, uint64_t *word, uint64_t first, uint64_t pages);
    void (*large)(struct sweep *s, uint64_t first, uint64_t last);
    struct pt_harvest *harvest;
    bool writable;
};

/* Depth is bounded by the format's levels. */
static void sweep_level(struct sweep *s, unsigned level, uint64_t *table, uint64_t first,
                        uint64_t last)
{
    uint64_t next;

    if (level == 0) {
        s->leaves(s, &table[pt_index_below(0, first)], first,
                  (last - first + 1) >> CORDON_PAGE_SHIFT);
        return;
    }
    for (uint64_t at = first; at <= last; at = next) {
        uint64_t word = table[pt_index(s->f->fmt, level, at)];
        uint64_t end = pt_entry_last(level, at, last);

        next = end + 1;
        if (pt_word_is_table(word)) {
            sweep_level(s, level - 1, pt_word_table(s->f, word), at, end);
        } else if (word != 0 && s->large != NULL) {
            s->large(s, at, end);
        }
    }
}

static void sweep(struct sweep *s, uint32_t view, cordon_gpa gpa, uint64_t pages)
{
    struct pt_forest *f = s->f;
    uint64_t first = pt_linear(f->fmt, gpa.v);

    sweep_level(s, pt_top(f->fmt), pt_table_ptr(f, f->root[view]), first,
                first + (pages << CORDON_PAGE_SHIFT) - 1);
}

static void set_leaves(struct sweep *s, uint64_t *word, uint64_t first, uint64_t pages)
{
    const struct pt_forest *f = s->f;

    (void)first;
    for (const uint64_t *end = word + pages; word != end; word++) {
        uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

        if (pt_word_is_leaf(old) && (old & PTE_MARKS) != PTE_MARKS &&
            (!s->writable || (old & PTE_W) != 0)) {
            (void)port_set64(f->ctx->cookie, word, pt_word_at(f, word), PTE_MARKS);
        }
    }
}

void pt_marks_set(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages, bool writable)
{
    struct sweep s = {.f = f, .leaves = set_leaves, .writable = writable};

    sweep(&s, view, gpa, pages);
}

/* ---- harvest ------------------------------------------------------------------------------ */

#define MAP_BITS 64u

static inline uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

#define GROUP 16u /* words that are looked at together */

/* The bits of four words, and of ANY: one after the other, so that they need no registers. */
static inline uint64_t or_four(uint64_t any, const uint64_t *word)
{
    any |= load(&word[0]);
    any |= load(&word[1]);
    any |= load(&word[2]);
    any |= load(&word[3]);
    return any;
}

/* The bits that any of a group of words has. */
static inline uint64_t any_of(const uint64_t *word)
{
    return or_four(or_four(or_four(or_four(0, word), word + 4), word + 8), word + 12);
}

/* Gather BITS, a constant, of some words; bit 0 of what comes is the first one's. Words of a 64 KiB
 * leaf are negative. They have both, and keep them, as those of larger ones. */
static inline void gather(const struct sweep *s, uint64_t *word, unsigned count, uint64_t bits,
                          uint64_t *dirty, uint64_t *used)
{
    const struct pt_forest *f = s->f;
    uint64_t d = 0, a = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t old = load(&word[i]) & (bits | PTE_N);

        if ((int64_t)old > 0 && !s->harvest->keep) {
            old = port_clear64(f->ctx->cookie, &word[i], pt_word_at(f, &word[i]), bits) & bits;
        }
        d |= (uint64_t)((old & PTE_D) != 0) << i;
        a |= (uint64_t)((old & PTE_A) != 0) << i;
    }
    *dirty = d;
    *used = a;
}

/* Words whose pages stand in one word of the maps, from its bit SHIFT on. */
static inline void harvest_group(const struct sweep *s, uint64_t *word, uint64_t page,
                                 unsigned count)
{
    struct pt_harvest *h = s->harvest;
    uint64_t dirty, used;
    unsigned shift = (unsigned)(page % MAP_BITS);

    if (h->used == NULL) {
        gather(s, word, count, PTE_D, &dirty, &used);
    } else if (h->dirty == NULL) {
        gather(s, word, count, PTE_A, &dirty, &used);
    } else {
        gather(s, word, count, PTE_MARKS, &dirty, &used);
    }
    if (h->dirty != NULL) {
        h->dirty[page / MAP_BITS] |= dirty << shift;
    }
    if (h->used != NULL) {
        h->used[page / MAP_BITS] |= used << shift;
    }
    h->cleared |= !h->keep && (dirty | used) != 0;
}

static void harvest_some(const struct sweep *s, uint64_t *word, uint64_t page, unsigned count)
{
    const struct pt_harvest *h = s->harvest;
    uint64_t bits = (h->dirty != NULL ? PTE_D : 0) | (h->used != NULL ? PTE_A : 0);
    const uint64_t *end = word + count;

    for (; end - word >= GROUP; word += GROUP, page += GROUP) {
        if ((any_of(word) & bits) != 0) {
            harvest_group(s, word, page, GROUP);
        }
    }
    if (word != end) {
        harvest_group(s, word, page, (unsigned)(end - word));
    }
}

static void harvest_leaves(struct sweep *s, uint64_t *word, uint64_t first, uint64_t pages)
{
    uint64_t page = (first - s->harvest->base) >> CORDON_PAGE_SHIFT;

    s->harvest->words += pages;
    while (pages > 0) {
        unsigned room = MAP_BITS - (unsigned)(page % MAP_BITS);
        unsigned count = pages < room ? (unsigned)pages : room;

        harvest_some(s, word, page, count);
        word += count;
        page += count;
        pages -= count;
    }
}

static void harvest_large(struct sweep *s, uint64_t first, uint64_t last)
{
    const struct pt_harvest *h = s->harvest;

    for (uint64_t at = first; at <= last; at += CORDON_PAGE_SIZE) {
        uint64_t page = (at - h->base) >> CORDON_PAGE_SHIFT;

        if (h->dirty != NULL) {
            h->dirty[page / MAP_BITS] |= BIT64(page % MAP_BITS);
        }
        if (h->used != NULL) {
            h->used[page / MAP_BITS] |= BIT64(page % MAP_BITS);
        }
    }
}

void pt_marks_harvest(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t pages,
                      struct pt_harvest *h)
{
    struct sweep s = {.f = f, .leaves = harvest_leaves, .large = harvest_large, .harvest = h};

    sweep(&s, view, gpa, pages);
}

uint64_t pt_marks_give(struct pt_forest *f, uint32_t view, cordon_gpa gpa, uint64_t bits)
{
    struct pt_hit hit;
    int err = pt_lookup(f, view, gpa, &hit);

    cordon_assert(err == 0 && hit.leaf);
    if ((hit.pte & bits) == bits) {
        return 0;
    }
    return bits & ~port_set64(f->ctx->cookie, pt_table_ptr(f, hit.word), hit.word, bits);
}
