/*
 * One view, word by word, against the map: nothing too much, nothing missing.
 */
#include "audit/audit.h"
#include "audit/words.h"
#include "touch/promise.h"

/* A table on the way. */
struct step {
    cordon_hpa table;
    uint32_t index, entries;
    uint32_t valid; /* words that are not 0, so far */
};

struct walk {
    struct audit *a;
    const struct cordon_domain *d;
    const struct pt_fmt *fmt;
    uint32_t view;
    uint32_t level;               /* of the table at hand */
    struct step step[LEVELS_MAX]; /* by level */
    const struct span *region;    /* the one that held the last leaf, or the next one */
    uint64_t pages;               /* in leaves so far, that must stand */
    uint64_t came;                /* in leaves so far, of PROMISED regions */
};

static bool is_table_frame(const struct cordon_ctx *ctx, cordon_hpa hpa)
{
    return field_get(FW_STATE, frames_word(ctx, hpa)) == CORDON_FRAME_TABLE;
}

static uint32_t root_entries(const struct pt_fmt *fmt)
{
    return 1u << fmt->root_bits;
}

/* The index of GFN in a table of LEVEL. */
static uint32_t index_at(const struct pt_fmt *fmt, uint32_t level, uint64_t gfn)
{
    uint32_t entries = level + 1u == fmt->levels ? root_entries(fmt) : 1u << INDEX_BITS;

    return (uint32_t)(gfn >> (INDEX_BITS * level)) & (entries - 1);
}

/* The table of LEVEL that a view has for GFN; HPA 0: none. */
static cordon_hpa table_at(const struct cordon_domain *d, uint32_t view, uint64_t gfn,
                           uint32_t level)
{
    cordon_hpa table = d->forest.root[view];
    uint32_t at = d->forest.fmt->levels - 1u;

    while (at > level && table.v != 0) {
        uint64_t pte = read_word(d->ctx, table, index_at(d->forest.fmt, at, gfn));
        cordon_hpa below = word_target(pte);

        table = word_is_table(pte) && is_table_frame(d->ctx, below) ? below : cordon_hpa_make(0);
        at--;
    }
    return table;
}

bool audit_lookup(const struct cordon_domain *d, uint32_t view, uint64_t gfn,
                  struct audit_leaf *out)
{
    for (uint32_t level = 0; level < LEAF_LEVELS; level++) {
        cordon_hpa table = table_at(d, view, gfn, level);
        uint32_t index = index_at(d->forest.fmt, level, gfn);

        if (table.v == 0) {
            continue;
        }
        *out = (struct audit_leaf){word_page(read_word(d->ctx, table, index), gfn), level,
                                   cordon_hpa_add(table, index * sizeof(uint64_t))};
        return (out->pte & PTE_V) != 0 && !word_is_table(out->pte);
    }
    return false;
}

static struct audit_place place_of(const struct walk *w)
{
    const struct step *s = &w->step[w->level];
    uint64_t gfn = 0;

    for (uint32_t level = w->level; level < w->fmt->levels; level++) {
        gfn += w->step[level].index * level_pages(level);
    }
    uint64_t pte = read_word(w->d->ctx, s->table, s->index);

    return (struct audit_place){
        .domain = w->d->number,
        .view = w->view,
        .level = w->level,
        .word = cordon_hpa_add(s->table, s->index * sizeof(uint64_t)),
        .value = pte,
        .gpa = cordon_gpa_make(gfn << CORDON_PAGE_SHIFT),
        .hpa = word_target(pte),
    };
}

/* Must this view have a leaf for each page of the region? Pages of DEMAND regions may be absent in
 * the G-stage, until devices have them. */
static bool must_stand(const struct walk *w, const struct span *region)
{
    uint32_t flags = region_flags(region);

    return (domain_views_for(w->d, flags) >> w->view & 1u) != 0 &&
           ((flags & CORDON_REGION_DEMAND) == 0 || w->view != 0);
}

/* ---- leaves ------------------------------------------------------------------------------- */

/* May A and D of a leaf here be clear? */
static bool may_lack_marks(const struct walk *w, uint32_t level, const struct span *region)
{
    bool tells = w->view == 0 || w->d->view[w->view].marks;

    return level == 0 && tells && (region_flags(region) & CORDON_REGION_LOG) != 0;
}

/* The word at hand is one of a 64 KiB leaf: allowed here, of that size, and all 16 are the same,
 * for hardware may take any of them for each of the pages. */
static bool is_whole_run(const struct walk *w, uint64_t pte)
{
    const struct step *s = &w->step[w->level];
    uint32_t first = s->index - s->index % NAPOT_PAGES;
    bool same = w->level == 0 && w->d->forest.napot && w->a->ctx->napot &&
                field_get(PTE_PPN, pte) % NAPOT_PAGES == NAPOT_64K && (pte & PTE_A) != 0 &&
                (pte & PTE_D) != 0;

    for (uint32_t i = 0; same && i < NAPOT_PAGES; i++) {
        same = read_word(w->a->ctx, s->table, first + i) == pte;
    }
    return same;
}

/* PBMT of a leaf here. */
static uint64_t type_wanted(const struct walk *w)
{
    uint32_t flags = (w->d->forest.typed >> w->view & 1u) != 0 ? region_flags(w->region) : 0;

    return (flags & CORDON_REGION_NC) != 0 ? 1 : (flags & CORDON_REGION_IO) != 0 ? 2 : 0;
}

static int check_page(struct walk *w, const struct audit_place *at)
{
    uint64_t gfn = at->gpa.v >> CORDON_PAGE_SHIFT;
    uint64_t pages = level_pages(at->level);
    uint32_t perms = (uint32_t)field_get(PTE_R | PTE_W | PTE_X, at->value);
    uint64_t bits = at->value & ~(PTE_PPN | PTE_R | PTE_W | PTE_X | PTE_PBMT);

    if ((bits | PTE_A | PTE_D) != w->fmt->leaf_bits || at->level >= LEAF_LEVELS ||
        !is_aligned(at->hpa.v >> CORDON_PAGE_SHIFT, pages)) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf that is not made as ours are");
    }
    while (w->region != NULL && span_end(w->region) <= gfn) {
        w->region = span_next(&w->d->regions.set, span_end(w->region));
    }
    if (w->region == NULL || w->region->first > gfn || span_end(w->region) - gfn < pages) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf where the map has no region");
    }
    if (bits != w->fmt->leaf_bits && !may_lack_marks(w, at->level, w->region)) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf without A and D where nothing is logged");
    }
    if ((domain_views_for(w->d, region_flags(w->region)) >> w->view & 1u) == 0) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf in a view that must not hold its region");
    }
    if ((perms & ~region_perms(w->region)) != 0) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf with more rights than its region");
    }
    if (field_get(PTE_PBMT, at->value) != type_wanted(w)) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a leaf of another memory type than it should be");
    }
    w->pages += must_stand(w, w->region) ? pages : 0;
    w->came += region_promised(region_flags(w->region)) ? pages : 0;
    return audit_backing(w->a, w->d, w->region, at, pages);
}

/* A leaf of any size; what is of 64 KiB is looked at by the page. */
static int check_leaf(struct walk *w, struct audit_place *at)
{
    if ((at->value & PTE_N) != 0) {
        if (!is_whole_run(w, at->value)) {
            return audit_fail(w->a, AUDIT_LEAF, at, "a 64 KiB leaf that is not made as ours are");
        }
        at->value = word_page(at->value, at->gpa.v >> CORDON_PAGE_SHIFT);
        at->hpa = word_target(at->value);
    }
    return check_page(w, at);
}

/* ---- tables ------------------------------------------------------------------------------- */

/* Distinct tables, over all views, that lead to TABLE where it stands. */
static uint32_t count_parents(const struct cordon_domain *d, uint64_t gfn, uint32_t level,
                              cordon_hpa table)
{
    cordon_hpa seen[CORDON_MAX_VIEWS];
    uint32_t count = 0;

    for (uint32_t views = d->forest.views; views != 0; views &= views - 1) {
        cordon_hpa parent = table_at(d, (uint32_t)__builtin_ctz(views), gfn, level + 1);
        uint32_t i = 0;

        if (parent.v == 0 ||
            word_target(read_word(d->ctx, parent, index_at(d->forest.fmt, level + 1, gfn))).v !=
                table.v) {
            continue;
        }
        while (i < count && seen[i].v != parent.v) {
            i++;
        }
        if (i == count) {
            seen[count++] = parent;
        }
    }
    return count;
}

/* A word that leads down: the table is one, and its counts are right. */
static int check_table(const struct walk *w, const struct audit_place *at)
{
    uint64_t own;

    if (at->level == 0 || (at->value & ~PTE_PPN) != PTE_V) {
        return audit_fail(w->a, AUDIT_LEAF, at, "a non-leaf word that is not made as ours are");
    }
    if (!is_table_frame(w->a->ctx, at->hpa)) {
        return audit_fail(w->a, AUDIT_HIDDEN, at, "a non-leaf word leads to what is no table");
    }
    own = frames_word(w->a->ctx, at->hpa);
    if (field_get(FW_TABLE_REFS, own) !=
        count_parents(w->d, at->gpa.v >> CORDON_PAGE_SHIFT, at->level - 1, at->hpa)) {
        return audit_fail(w->a, AUDIT_FREE, at, "a table's count of parents is wrong");
    }
    return 0;
}

static int check_valid_count(const struct walk *w)
{
    const struct step *s = &w->step[w->level];
    struct audit_place at = {.domain = w->d->number,
                             .view = w->view,
                             .level = w->level,
                             .word = s->table,
                             .value = frames_word(w->a->ctx, s->table),
                             .hpa = s->table};

    if (field_get(FW_TABLE_VALID, at.value) != s->valid) {
        return audit_fail(w->a, AUDIT_FREE, &at, "a table's count of valid words is wrong");
    }
    return 0;
}

static void enter(struct walk *w, uint32_t level, cordon_hpa table, uint32_t entries)
{
    w->level = level;
    w->step[level] = (struct step){.table = table, .entries = entries};
}

/* The word at hand: checked, and entered if it leads down; else the next one. */
static int step_on(struct walk *w)
{
    struct step *s = &w->step[w->level];
    uint64_t pte = read_word(w->a->ctx, s->table, s->index);
    int err = 0;

    if (pte == 0) {
        s->index++;
        return 0;
    }
    struct audit_place at = place_of(w);

    s->valid++;
    if ((pte & PTE_V) == 0) {
        return audit_fail(w->a, AUDIT_LEAF, &at, "an invalid word that is not zero");
    }
    if (!word_is_table(pte)) {
        err = check_leaf(w, &at);
        s->index++;
        return err;
    }
    err = check_table(w, &at);
    if (err == 0) {
        enter(w, w->level - 1, at.hpa, 1u << INDEX_BITS);
    }
    return err;
}

static int walk_tables(struct walk *w)
{
    uint32_t top = w->fmt->levels - 1u;
    int err = 0;

    enter(w, top, w->d->forest.root[w->view], root_entries(w->fmt));
    while (err == 0) {
        if (w->step[w->level].index < w->step[w->level].entries) {
            err = step_on(w);
            continue;
        }
        err = check_valid_count(w);
        if (err != 0 || w->level == top) {
            break;
        }
        w->level++;
        w->step[w->level].index++;
    }
    return err;
}

/* ---- what is missing ---------------------------------------------------------------------- */

static int find_missing(const struct walk *w)
{
    const struct span_set *set = &w->d->regions.set;
    struct audit_place at = {.domain = w->d->number, .view = w->view};

    for (const struct span *s = span_next(set, 0); s != NULL; s = span_next(set, span_end(s))) {
        uint64_t gfn = s->first;
        struct audit_leaf leaf;

        if (!must_stand(w, s)) {
            continue;
        }
        while (gfn < span_end(s) && audit_lookup(w->d, w->view, gfn, &leaf)) {
            gfn = (gfn | (level_pages(leaf.level) - 1)) + 1;
        }
        if (gfn < span_end(s)) {
            at.gpa = cordon_gpa_make(gfn << CORDON_PAGE_SHIFT);
            return audit_fail(w->a, AUDIT_LEAF, &at, "a page of the map that the view lacks");
        }
    }
    return audit_fail(w->a, AUDIT_LEAF, &at, "leaves and regions differ in number");
}

static uint64_t region_pages(const struct walk *w)
{
    const struct span_set *set = &w->d->regions.set;
    uint64_t pages = 0;

    for (const struct span *s = span_next(set, 0); s != NULL; s = span_next(set, span_end(s))) {
        pages += must_stand(w, s) ? s->pages : 0;
    }
    return pages;
}

/* What the pool promises is what is absent. */
static int check_promise(const struct walk *w)
{
    const struct span_set *set = &w->d->regions.set;
    struct audit_place at = {.domain = w->d->number, .value = w->d->promised + w->d->owed};
    uint64_t pages = 0;

    for (const struct span *s = span_next(set, 0); s != NULL; s = span_next(set, span_end(s))) {
        pages += region_promised(region_flags(s)) ? s->pages : 0;
    }
    if (pages - w->came != w->d->promised + w->d->owed) {
        return audit_fail(w->a, AUDIT_OWNER, &at, "other frames are promised than are absent");
    }
    w->a->promised += w->d->promised;
    return 0;
}

int audit_view(struct audit *a, const struct cordon_domain *d, uint32_t view)
{
    struct walk w = {.a = a,
                     .d = d,
                     .fmt = d->forest.fmt,
                     .view = view,
                     .region = span_next(&d->regions.set, 0)};
    cordon_hpa root = d->forest.root[view];
    struct audit_place at = {
        .domain = d->number, .view = view, .level = w.fmt->levels - 1u, .hpa = root};
    uint64_t len = root_entries(w.fmt) * sizeof(uint64_t);

    if (!frames_all(a->ctx, root, len, CORDON_FRAME_TABLE) || !is_aligned(root.v, len)) {
        return audit_fail(a, AUDIT_HIDDEN, &at, "a view's root is no table");
    }
    int err = walk_tables(&w);

    if (err == 0 && w.pages != region_pages(&w)) {
        err = find_missing(&w);
    }
    return err == 0 && view == 0 ? check_promise(&w) : err;
}
