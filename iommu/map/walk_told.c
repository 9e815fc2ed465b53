/* Walks and leaves told to those who ask. */
#include "map/walk_told.h"

#include "core/ctx.h"
#include "pt/napot.h"

/* Questions take the domain const, but its lock is not part of what they promise to leave alone. */
static struct lock *lock_of(const struct cordon_domain *d)
{
    return &((struct cordon_domain *)(uintptr_t)d)->lock;
}

static bool view_exists(const struct cordon_domain *d, uint32_t view)
{
    return view < CORDON_MAX_VIEWS && (d->forest.views >> view & 1u) != 0;
}

/* WORD says it of the one page, or larger leaf, at hand; BYTES is all of the leaf. */
static struct cordon_hit hit_of(uint64_t gpa, unsigned level, uint64_t word, uint64_t bytes)
{
    return (struct cordon_hit){
        .hpa = cordon_hpa_add(pt_word_hpa(word), gpa & (pt_span(level) - 1)),
        .span = bytes - (gpa & (bytes - 1)),
        .perms = pt_word_perms(word),
        .level = level,
        .shift = (uint32_t)__builtin_ctzll(bytes),
        .type = region_type_of(word),
    };
}

/* The word of LEVEL that LINEAR leads to in TABLE. */
static struct cordon_walk_step step_at(const struct pt_forest *f, cordon_hpa table, unsigned level,
                                       uint64_t linear)
{
    unsigned index = pt_index(f->fmt, level, linear);

    return (struct cordon_walk_step){
        .level = level,
        .index = index,
        .word = cordon_hpa_add(table, index * sizeof(uint64_t)),
        .value = pt_table_ptr(f, table)[index],
    };
}

/* What STEP means for the walk: true where it goes on. */
static bool goes_on(const struct pt_forest *f, const struct cordon_walk_step *step, uint64_t gpa,
                    uint32_t access, struct cordon_walk *out)
{
    uint64_t word = step->value;

    bool table = pt_word_is_table(word);

    if (!pt_word_ours(f->fmt, step->level, word) || (table && !pt_is_table(f, pt_word_hpa(word)))) {
        out->end = CORDON_WALK_CORRUPT;
    } else if (table) {
        return true;
    } else if (word == 0) {
        out->end = CORDON_WALK_EMPTY;
    } else {
        out->hit = hit_of(gpa, step->level, pt_word_page(word, step->index),
                          pt_leaf_bytes(step->level, word));
        out->end = (access & ~out->hit.perms) != 0 ? CORDON_WALK_RIGHTS : CORDON_WALK_LEADS;
    }
    return false;
}

void walk_told(const struct pt_forest *f, uint32_t view, uint64_t gpa, uint32_t access,
               struct cordon_walk *out)
{
    cordon_hpa table = f->root[view];
    unsigned level = pt_top(f->fmt);
    struct cordon_walk_step *step;

    *out = (struct cordon_walk){.size = out->size, .mode = f->fmt->mode, .root = table};
    if (!pt_in_width(f->fmt, gpa)) {
        out->end = CORDON_WALK_WIDTH;
        return;
    }
    do {
        step = &out->step[out->step_count++];
        *step = step_at(f, table, level--, gpa);
        table = pt_word_hpa(step->value);
    } while (goes_on(f, step, gpa, access, out));
}

int cordon_walk(const cordon_domain *d, uint32_t view, cordon_gpa gpa, uint32_t access,
                struct cordon_walk *out)
{
    if (d == NULL || out == NULL || out->size != sizeof(*out) || (access & ~CORDON_RWX) != 0) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(d));
    bool known = view_exists(d, view);

    if (known) {
        walk_told(&d->forest, view, gpa.v, access, out);
    }
    lock_give(lock_of(d));
    return known ? 0 : -CORDON_EINVAL;
}

static int leaf_next(const struct cordon_domain *d, uint32_t view, cordon_gpa *gpa,
                     struct cordon_hit *out)
{
    cordon_gpa at = *gpa;
    struct pt_hit hit;
    int err;

    if (!view_exists(d, view)) {
        return -CORDON_EINVAL;
    }
    err = pt_next_leaf(&d->forest, view, &at, &hit);
    if (err == 0) {
        uint64_t bytes = pt_hit_bytes(&d->forest, &hit);
        uint64_t before = at.v & (bytes - 1); /* of 64 KiB, if *GPA was inside */

        at.v -= before;
        *out = hit_of(at.v, hit.level, hit.pte - pt_ppn_put(before), bytes);
    }
    if (err != -CORDON_ENOENT) {
        *gpa = at;
    }
    return err;
}

int cordon_leaf_next(const cordon_domain *d, uint32_t view, cordon_gpa *gpa, struct cordon_hit *out)
{
    int err;

    if (d == NULL || gpa == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(d));
    err = leaf_next(d, view, gpa, out);
    lock_give(lock_of(d));
    return err;
}
