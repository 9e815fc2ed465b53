/*
 * The order checker: see record.h for what it holds against whom. Words and tables; who was told of
 * what is order_told.c's.
 *
 * Words are told apart by their bits alone, as ours are made: a leaf is V, rights, perhaps U, A and
 * D; a non-leaf is V and the address of a frame that was claimed as a table. Contexts, MSI
 * entries and commands look like neither. A table counts once it is live, that is, a root or led to
 * by a live one.
 */
#include "order_parts.h"
#include "order_words.h"

#include <stdlib.h>

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

void order_fail(struct record_order *o, const char *text)
{
    if (o->broken == NULL) {
        o->broken = text;
    }
}

const char *order_broken(const struct record_order *o)
{
    return o->broken;
}

bool order_owed(const struct record_order *o)
{
    return o->owed != 0;
}

void order_step(struct record_order *o)
{
    o->now++;
    if (o->owed != 0) {
        order_fail(o, ORDER_TABLE_LED_TO);
    }
}

void order_expect(struct record_order *o, uint32_t domain, uint32_t views)
{
    o->expect[domain % CORDON_MAX_DOMAINS] = views;
}

void order_expect_flushes(struct record_order *o)
{
    o->flushes = true;
}

void order_levels(struct record_order *o, unsigned levels)
{
    o->root_level = levels - 1;
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

/* ---- leaves that come and go -------------------------------------------------------------- */

static void wait_from_now(struct record_order *o, struct waiting *w, uint32_t domain)
{
    waiting_list(&o->frames, w);
    w->since = o->now;
    w->untold = o->run[domain].harts;
}

/* Could a hart that remembers DOMAIN have what the frame held before it was copied to? */
static bool fetches_stale(const struct record_order *o, const struct frame *f, uint32_t domain)
{
    bool stale = false;

    for (uint64_t harts = o->run[domain].harts; harts != 0; harts &= harts - 1) {
        stale |= o->anew[__builtin_ctzll(harts)] < f->copied;
    }
    return stale;
}

static void leaf_came(struct record_order *o, uint64_t word, unsigned level)
{
    for (uint64_t i = 0; i < leaf_pages(word, level); i++) {
        struct frame *f = frame_get(&o->frames, page_target(word, 0) + i);

        f->mapped++;
        if (f->claimed && (f->owner & OWNER_STATE) != CORDON_FRAME_OWNED) {
            order_fail(o, "a leaf leads to a frame that no domain owns");
        }
        if (f->stale) {
            order_fail(o, "a leaf leads to a frame that was free and not scrubbed since");
        }
        if (o->flushes && f->claimed && f->flushed <= f->written) {
            order_fail(o, "a leaf leads to a frame that caches were not flushed of");
        }
        if ((word & PTE_EXECUTE) != 0 && fetches_stale(o, f, OWNER_DOMAIN(f->owner))) {
            order_fail(o, "a leaf lets harts fetch what was copied and not made known to them");
        }
    }
}

static void leaf_went(struct record_order *o, uint64_t word, unsigned level)
{
    for (uint64_t i = 0; i < leaf_pages(word, level); i++) {
        struct frame *f = frame_get(&o->frames, page_target(word, 0) + i);

        if (--f->mapped == 0) {
            wait_from_now(o, &f->waiting, OWNER_DOMAIN(f->owner));
        }
        for (struct loan *loan = f->loans; loan != NULL; loan = loan->next) {
            if (loan->recalled && (!loan->waiting.active || loan->waiting.untold != 0)) {
                wait_from_now(o, &loan->waiting, OWNER_DOMAIN(loan->who));
            }
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
            order_fail(
                o, "a table became reachable with contents that were not stored through the port");
        }
    }
    if (empty) {
        order_fail(o, "a table became reachable before its contents");
    }
    if (t->stored >= o->fence) {
        order_fail(o, "a table became reachable before its contents were fenced");
    }
}

static void table_link(struct record_order *o, struct table *t, unsigned level, uint32_t domain);

/* It and what is below it are of DOMAIN's G-stage. Depth is bounded by the levels. */
static void table_runs(struct record_order *o, struct table *t, unsigned level, uint32_t domain)
{
    t->domain = domain;
    for (unsigned i = 0; i < TABLE_WORDS && level > 0; i++) {
        struct table *child = child_of(o, t->word[i]);

        if (child != NULL && child->domain != domain) {
            table_runs(o, child, level - 1, domain);
        }
    }
}

void order_root_runs(struct record_order *o, struct table *root, uint32_t domain)
{
    if (root->domain != domain) {
        table_runs(o, root, o->root_level, domain);
    }
}

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
            table_link(o, child, level - 1, t->domain);
        }
    }
}

static void table_link(struct record_order *o, struct table *t, unsigned level, uint32_t domain)
{
    t->links++;
    if (domain != 0 && t->domain != domain) {
        table_runs(o, t, level, domain);
    }
    if (t->live) {
        return;
    }
    if (t->dead) {
        order_fail(o, "a table that was taken out became reachable again");
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
    o->owed -= t->owed;
    t->owed = false;
    if (!unused) {
        wait_from_now(o, &t->waiting, t->domain);
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

        if (is_leaf(t->word[i]) && page_target(t->word[i], i) != target(leaf) + at) {
            order_fail(o, "a superpage was split into leaves that lead elsewhere");
        } else if (is_leaf(t->word[i]) && ((t->word[i] ^ leaf) & PTE_PBMT) != 0) {
            order_fail(o, "a superpage was split into leaves of another memory type");
        } else if (child != NULL && level > 0) {
            check_split(o, leaf, child, level - 1, at);
        }
    }
}

/* A table gives way to a leaf: it says what each word of the table said, rights included. */
static void check_merge(struct record_order *o, const struct table *t, uint64_t leaf,
                        unsigned level)
{
    uint64_t same = leaf & ~(PPN_MASK << PPN_SHIFT);

    for (unsigned i = 0; i < TABLE_WORDS; i++) {
        uint64_t word = t->word[i];

        if (!is_leaf(word) || page_target(word, i) != target(leaf) + i * level_pages(level) ||
            (word & ~(PTE_N | PPN_MASK << PPN_SHIFT)) != same) {
            order_fail(o, "leaves became a superpage that does not say what they said");
            return;
        }
    }
}

/* ---- steps -------------------------------------------------------------------------------- */

/* Between 4 KiB and 64 KiB nothing may change but the size: until the other words follow, hardware
 * may go by either. */
static void check_size(struct record_order *o, unsigned index, uint64_t old, uint64_t value)
{
    uint64_t same = ~(PTE_N | PPN_MASK << PPN_SHIFT);

    if (is_leaf(old) && is_leaf(value) && is_napot(old) != is_napot(value) &&
        (page_target(old, index) != page_target(value, index) || ((old ^ value) & same) != 0)) {
        order_fail(o, "a leaf of another size does not say what the one before it said");
    }
}

static void live_store(struct record_order *o, const struct table *t, unsigned index, uint64_t old,
                       uint64_t value)
{
    struct table *before = child_of(o, old), *after = child_of(o, value);

    check_size(o, index, old, value);
    if (is_leaf(value)) {
        if (before != NULL && t->level > 0) {
            check_merge(o, before, value, t->level - 1);
        }
        leaf_came(o, value, t->level);
    } else if (after != NULL && t->level > 0) {
        if (is_leaf(old)) {
            check_split(o, old, after, t->level - 1, 0);
        }
        table_link(o, after, t->level - 1, t->domain);
    }
    if (is_leaf(old)) {
        leaf_went(o, old, t->level);
    } else if (before != NULL && t->level > 0) {
        table_unlink(o, before, false);
    }
}

/* Hardware sets A and D of a leaf where they are clear, and nothing else. */
static bool was_marked(uint64_t word, uint64_t found)
{
    return is_leaf(word) && (found & ~(uint64_t)PTE_MARKS) == (word & ~(uint64_t)PTE_MARKS) &&
           (word & ~found) == 0;
}

static void store(struct record_order *o, struct table *t, unsigned index, uint64_t found,
                  uint64_t value)
{
    if (t->dead && (value & 1) != 0) {
        order_fail(o, "a valid word was stored into a table that was taken out");
    }
    if (t->live && found != t->word[index] && !was_marked(t->word[index], found)) {
        order_fail(o, "a word of a reachable table was changed behind the port's back");
    }
    if (t->live && ((value ^ t->word[index]) & ~(uint64_t)PTE_MARKS) != 0) {
        uint64_t old = t->word[index];

        t->word[index] = value;
        live_store(o, t, index, old, value);
    }
    t->word[index] = value;
    t->stored = o->now;
}

void order_store(struct record_order *o, const uint64_t *word, uint64_t hpa, uint64_t value)
{
    struct frame *f = frame_find(&o->frames, hpa >> CORDON_PAGE_SHIFT);
    unsigned index = (unsigned)(hpa >> 3) % TABLE_WORDS;

    order_step(o);
    if (f == NULL || f->table == NULL) {
        return; /* registers, and frames claimed before the record began */
    }
    if (f->table->live && is_leaf(*word) && is_leaf(value) && (*word & PTE_MARKS) != PTE_MARKS) {
        order_fail(o, "a leaf that hardware may mark was overwritten, not swapped");
    }
    f->table->place = word - index;
    store(o, f->table, index, *word, value);
}

void order_swap(struct record_order *o, const uint64_t *word, uint64_t hpa, uint64_t before,
                uint64_t value)
{
    struct frame *f = frame_find(&o->frames, hpa >> CORDON_PAGE_SHIFT);
    unsigned index = (unsigned)(hpa >> 3) % TABLE_WORDS;

    order_step(o);
    if (f != NULL && f->table != NULL) {
        f->table->place = word - index;
        store(o, f->table, index, before, value);
    }
}

void order_fence(struct record_order *o)
{
    order_step(o);
    o->fence = o->now;
}

void order_code_fence(struct record_order *o, uint64_t harts)
{
    order_step(o);
    for (; harts != 0; harts &= harts - 1) {
        o->anew[__builtin_ctzll(harts)] = o->now;
    }
}

void order_flush(struct record_order *o, uint64_t hpa, uint64_t len)
{
    order_step(o);
    for (uint64_t at = 0; at < len; at += CORDON_PAGE_SIZE) {
        frame_get(&o->frames, (hpa + at) >> CORDON_PAGE_SHIFT)->flushed = o->now;
    }
}

void order_root_gone(struct record_order *o, struct table *root)
{
    table_die(o, root, true);
}
