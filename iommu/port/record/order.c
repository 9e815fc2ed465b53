/*
 * The order checker: see record.h for what it holds against whom.
 *
 * Words are told apart by their bits alone, as ours are made: a leaf is V, A, D, perhaps U, and rights;
 * a non-leaf is V and the address of a frame that was claimed as a table. Contexts, MSI entries and
 * commands look like neither. A table counts once it is live, that is, a root or led to by a live one.
 */
#include "order.h"
#include "frame.h"

#include <stdlib.h>

#include <cordon/ctx.h>

#define PTE_LOW 0x3ffu
#define PTE_RIGHTS 0xeu
#define PTE_USER 0x10u
#define PTE_LEAF 0xc1u /* V, A, D */
#define PPN_SHIFT 10u
#define PPN_MASK ((UINT64_C(1) << 44) - 1)
#define OWNER_STATE 7u
#define OWNER_DOMAIN(word) ((uint32_t)((word) >> 3) & 0xfffu)
#define OWNER_GFN(word) ((word) >> 16 & ((UINT64_C(1) << 47) - 1))

struct record_order {
    struct frames frames;
    uint64_t now, fence; /* steps so far; that of the last fence */
    unsigned root_level;
    const char *broken;
    uint32_t expect[CORDON_MAX_DOMAINS];
};

struct record_order *order_new(void)
{
    struct record_order *o = calloc(1, sizeof(*o));

    frames_init(&o->frames);
    o->root_level = 2;
    return o;
}

void order_free(struct record_order *o)
{
    frames_end(&o->frames);
    free(o);
}

static void fail(struct record_order *o, const char *text)
{
    if (o->broken == NULL) {
        o->broken = text;
    }
}

const char *order_broken(const struct record_order *o)
{
    return o->broken;
}

void order_expect(struct record_order *o, uint32_t domain, uint32_t views)
{
    o->expect[domain % CORDON_MAX_DOMAINS] = views;
}

void order_levels(struct record_order *o, unsigned levels)
{
    o->root_level = levels - 1;
}

/* ---- words -------------------------------------------------------------------------------- */

static uint64_t target(uint64_t word)
{
    return word >> PPN_SHIFT & PPN_MASK;
}

static bool is_leaf(uint64_t word)
{
    return word >> 54 == 0 && (word & PTE_RIGHTS) != 0 &&
           (word & PTE_LOW & ~(PTE_RIGHTS | PTE_USER)) == PTE_LEAF;
}

/* The table that a word leads to, or null. */
static struct table *child_of(const struct record_order *o, uint64_t word)
{
    struct frame *f = NULL;

    if (word >> 54 == 0 && (word & PTE_LOW) == 1) {
        f = frame_find(&o->frames, target(word));
    }
    return f != NULL ? f->table : NULL;
}

static uint64_t level_pages(unsigned level)
{
    return UINT64_C(1) << (9 * level);
}

/* ---- leaves that come and go -------------------------------------------------------------- */

static void wait_from_now(struct record_order *o, struct waiting *w)
{
    waiting_list(&o->frames, w);
    w->since = o->now;
}

static void leaf_came(struct record_order *o, uint64_t word, unsigned level)
{
    for (uint64_t i = 0; i < level_pages(level); i++) {
        struct frame *f = frame_get(&o->frames, target(word) + i);

        f->mapped++;
        if (f->claimed && (f->owner & OWNER_STATE) != CORDON_FRAME_OWNED) {
            fail(o, "a leaf leads to a frame that no domain owns");
        }
    }
}

static void leaf_went(struct record_order *o, uint64_t word, unsigned level)
{
    for (uint64_t i = 0; i < level_pages(level); i++) {
        struct frame *f = frame_get(&o->frames, target(word) + i);

        if (--f->mapped == 0) {
            wait_from_now(o, &f->waiting);
        }
    }
}

/* ---- tables that come and go -------------------------------------------------------------- */

static void check_contents(struct record_order *o, const struct table *t)
{
    bool empty = true;

    for (unsigned i = 0; i < TABLE_WORDS; i++) {
        empty = empty && t->word[i] == 0;
        if (t->place != NULL && t->place[i] != t->word[i]) {
            fail(o, "a table became reachable with contents that were not stored through the port");
        }
    }
    if (empty) {
        fail(o, "a table became reachable before its contents");
    }
    if (t->stored >= o->fence) {
        fail(o, "a table became reachable before its contents were fenced");
    }
}

static void table_link(struct record_order *o, struct table *t, unsigned level);

/* Depth is bounded by the levels. */
static void table_live(struct record_order *o, struct table *t, unsigned level)
{
    t->live = true;
    t->level = level;
    for (unsigned i = 0; i < TABLE_WORDS; i++) {
        struct table *child = child_of(o, t->word[i]);

        if (is_leaf(t->word[i])) {
            leaf_came(o, t->word[i], level);
        } else if (child != NULL && level > 0) {
            table_link(o, child, level - 1);
        }
    }
}

static void table_link(struct record_order *o, struct table *t, unsigned level)
{
    t->links++;
    if (t->live) {
        return;
    }
    if (t->dead) {
        fail(o, "a table that was taken out became reachable again");
    }
    check_contents(o, t);
    table_live(o, t, level);
}

static void table_unlink(struct record_order *o, struct table *t, bool unused);

/* UNUSED: hardware has not known the table since before; nothing is awaited. */
static void table_die(struct record_order *o, struct table *t, bool unused)
{
    t->live = false;
    t->dead = true;
    if (!unused) {
        wait_from_now(o, &t->waiting);
    }
    for (unsigned i = 0; i < TABLE_WORDS; i++) {
        struct table *child = child_of(o, t->word[i]);

        if (is_leaf(t->word[i])) {
            leaf_went(o, t->word[i], t->level);
        } else if (child != NULL && t->level > 0) {
            table_unlink(o, child, unused);
        }
    }
}

static void table_unlink(struct record_order *o, struct table *t, bool unused)
{
    if (t->live && --t->links == 0) {
        table_die(o, t, unused);
    }
}

/* A leaf gives way to a table: what the table holds leads where the leaf did. */
static void check_split(struct record_order *o, uint64_t leaf, const struct table *t,
                        unsigned level, uint64_t offset)
{
    for (unsigned i = 0; i < TABLE_WORDS; i++) {
        uint64_t at = offset + i * level_pages(level);
        const struct table *child = child_of(o, t->word[i]);

        if (is_leaf(t->word[i]) && target(t->word[i]) != target(leaf) + at) {
            fail(o, "a superpage was split into leaves that lead elsewhere");
        } else if (child != NULL && level > 0) {
            check_split(o, leaf, child, level - 1, at);
        }
    }
}

/* ---- steps -------------------------------------------------------------------------------- */

static void live_store(struct record_order *o, const struct table *t, uint64_t old, uint64_t value)
{
    struct table *before = child_of(o, old), *after = child_of(o, value);

    if (is_leaf(value)) {
        leaf_came(o, value, t->level);
    } else if (after != NULL && t->level > 0) {
        if (is_leaf(old)) {
            check_split(o, old, after, t->level - 1, 0);
        }
        table_link(o, after, t->level - 1);
    }
    if (is_leaf(old)) {
        leaf_went(o, old, t->level);
    } else if (before != NULL && t->level > 0) {
        table_unlink(o, before, false);
    }
}

void order_store(struct record_order *o, const uint64_t *word, uint64_t hpa, uint64_t value)
{
    struct frame *f = frame_find(&o->frames, hpa >> CORDON_PAGE_SHIFT);
    unsigned index = (unsigned)(hpa >> 3) % TABLE_WORDS;

    o->now++;
    if (f == NULL || f->table == NULL) {
        return; /* registers, and frames claimed before the record began */
    }
    struct table *t = f->table;

    t->place = word - index;
    if (t->dead && (value & 1) != 0) {
        fail(o, "a valid word was stored into a table that was taken out");
    }
    if (t->live && *word != t->word[index]) {
        fail(o, "a word of a reachable table was changed behind the port's back");
    }
    if (t->live && value != t->word[index]) {
        uint64_t old = t->word[index];

        t->word[index] = value;
        live_store(o, t, old, value);
    }
    t->word[index] = value;
    t->stored = o->now;
}

void order_fence(struct record_order *o)
{
    o->fence = ++o->now;
}

void order_hart_fence(struct record_order *o, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    o->now++;
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        const struct frame *f = w->frame;
        uint64_t at = OWNER_GFN(f->owner) << CORDON_PAGE_SHIFT;
        bool ours = w != &f->waiting || OWNER_DOMAIN(f->owner) == vmid + 1u;
        bool inside = len == 0 || (w == &f->waiting && at >= gpa && at - gpa < len);

        if (w->since < o->fence && ours && inside) {
            w->harts = true;
        }
    }
}

/* ---- commands ----------------------------------------------------------------------------- */

#define COMMAND_IOTINVAL_GVMA 0x81u
#define COMMAND_IOFENCE 2u
#define COMMAND_CODE 0x3ffu
#define COMMAND_AV (UINT64_C(1) << 10)
#define COMMAND_GV (UINT64_C(1) << 33)

/* Views by their GSCID: (view - 1) * 4096 + domain. */
static void command_invalidate(struct record_order *o, uint64_t first, uint64_t second)
{
    uint32_t gscid = (uint32_t)(first >> 44) & 0xffffu;
    uint32_t domain = gscid % CORDON_MAX_DOMAINS;
    uint32_t views = 1u << (gscid / CORDON_MAX_DOMAINS + 1);
    uint64_t page = second >> 10 & ((UINT64_C(1) << 52) - 1);

    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        bool table = w != &w->frame->waiting;
        bool ours = (first & COMMAND_GV) == 0 || table || OWNER_DOMAIN(w->frame->owner) == domain;
        bool inside = (first & COMMAND_AV) == 0 || (!table && OWNER_GFN(w->frame->owner) == page);

        if (ours && inside && w->since < o->fence) {
            w->invalidated |= (first & COMMAND_GV) == 0 ? ~0u : views;
        }
    }
}

static void command(struct record_order *o, uint64_t first, uint64_t second)
{
    if ((first & COMMAND_CODE) == COMMAND_IOTINVAL_GVMA) {
        command_invalidate(o, first, second);
    }
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        if ((first & COMMAND_CODE) == COMMAND_IOFENCE) {
            w->fenced = w->invalidated;
        }
    }
}

/* The driver says that what it was asked for a domain is over. */
static void drained(struct record_order *o, uint32_t domain)
{
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        bool table = w != &w->frame->waiting;

        w->drained |= (table || OWNER_DOMAIN(w->frame->owner) == domain) ? w->fenced : 0;
    }
}

/* ---- claimed and freed -------------------------------------------------------------------- */

static void claim(struct record_order *o, uint64_t hfn, uint64_t pages, uint64_t word)
{
    bool owned = (word & OWNER_STATE) == CORDON_FRAME_OWNED;

    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);

        f->claimed = true;
        f->owner = owned ? word + (i << 16) : word;
        if ((word & OWNER_STATE) == CORDON_FRAME_TABLE) {
            frame_table(f);
            f->table->root = pages == 4;
            f->table->live = f->table->root;
            f->table->level = o->root_level;
        }
    }
}

static void check_waited(struct record_order *o, const struct waiting *w, uint32_t views)
{
    if (!w->active) {
        return;
    }
    if (!w->harts) {
        fail(o, "freed before harts were fenced");
    } else if ((w->fenced & views) != views) {
        fail(o, "freed before the IOMMU was told, for every view");
    } else if ((w->drained & views) != views) {
        fail(o, "freed before the IOMMU was done");
    }
}

static void free_table(struct record_order *o, struct frame *f)
{
    struct table *t = f->table;

    if (t->root && t->live) {
        table_die(o, t, true);
    } else if (t->live) {
        fail(o, "a table was freed that a word still leads to");
    }
    check_waited(o, &t->waiting, 0);
    waiting_done(&o->frames, &t->waiting);
    frame_no_table(f);
}

static void release(struct record_order *o, uint64_t hfn, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);

        if (f->table != NULL) {
            free_table(o, f);
        }
        if (f->mapped != 0) {
            fail(o, "a frame was freed that a leaf still leads to");
        }
        check_waited(o, &f->waiting, o->expect[OWNER_DOMAIN(f->owner)]);
        waiting_done(&o->frames, &f->waiting);
        f->claimed = true;
        f->owner = CORDON_FRAME_FREE;
    }
}

void order_note(struct record_order *o, enum port_note note, uint64_t a, uint64_t b)
{
    uint64_t hfn = a >> CORDON_PAGE_SHIFT;
    uint64_t pages = (a & (CORDON_PAGE_SIZE - 1)) + 1;

    o->now++;
    switch (note) {
    case PORT_NOTE_CLAIM:
        claim(o, hfn, pages, b);
        break;
    case PORT_NOTE_FREE:
        release(o, hfn, pages);
        break;
    case PORT_NOTE_COMMAND:
        command(o, a, b);
        break;
    case PORT_NOTE_DRAIN:
        if (b == 0) {
            drained(o, (uint32_t)a);
        }
        break;
    }
}
