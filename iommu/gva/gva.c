/*
 * A guest's own tables walked, and what they lead to: see cordon/gva.h.
 *
 * The domain's lock is held all the way: the map stands still, and no frame that a word is read
 * from can go to another owner meanwhile. The words themselves may change at any time, so each is
 * read once, and what was read is all that is looked at.
 */
#include <cordon/gva.h>

#include "core/ctx.h"
#include "gva/word.h"
#include "map/walk_told.h"
#include "pt/walk.h"

#define KNOWN_FLAGS                                                                             \
    (CORDON_GVA_AS_USER | CORDON_GVA_SUM | CORDON_GVA_MXR | CORDON_GVA_ADUE | CORDON_GVA_PBMT | \
     CORDON_GVA_NAPOT)
#define SATP_PPN GENMASK64(43, 0)

/* Causes of exceptions [Priv 4.1.8, 18.6.1]: of a fetch; a load's and a store's lie above it. */
#define CAUSE_ACCESS 1u
#define CAUSE_PAGE 12u
#define CAUSE_GUEST_PAGE 20u

struct guest_walk {
    const struct cordon_domain *d;
    const struct cordon_gva_ask *ask;
    struct cordon_gva_walk *out;
};

/* Questions take the domain const, but its lock is not part of what they promise to leave alone. */
static struct lock *lock_of(const struct cordon_domain *d)
{
    return &((struct cordon_domain *)(uintptr_t)d)->lock;
}

/* Where the caller reaches a frame of RAM. */
static uint64_t hva_of(const struct cordon_domain *d, cordon_hpa hpa)
{
    return hpa.v + d->forest.ctx->frames.offset;
}

static uint32_t judge_gstage(const struct guest_walk *w, const struct span *region)
{
    const struct cordon_walk *found = &w->out->gstage;

    switch (found->end) {
    case CORDON_WALK_WIDTH:
        return CORDON_GPA_WIDTH;
    case CORDON_WALK_EMPTY:
        return region == NULL ? CORDON_GPA_HOLE : CORDON_GPA_ABSENT;
    case CORDON_WALK_RIGHTS:
        return region == NULL ? CORDON_GPA_CORRUPT : CORDON_GPA_RIGHTS;
    case CORDON_WALK_LEADS:
        break;
    default:
        return CORDON_GPA_CORRUPT;
    }
    if (region == NULL) {
        return CORDON_GPA_CORRUPT;
    }
    if ((region_flags(region) & CORDON_REGION_MMIO) != 0) {
        return CORDON_GPA_MMIO;
    }
    return pool_bank(&w->d->forest.ctx->frames, found->hit.hpa.v >> CORDON_PAGE_SHIFT) != NULL
               ? CORDON_GPA_RAM
               : CORDON_GPA_CORRUPT;
}

/* What the map has at GPA, for ACCESS. */
static uint32_t ask_map(const struct guest_walk *w, uint64_t gpa, uint32_t access)
{
    const struct span *s = span_find(&w->d->regions.set, gpa >> CORDON_PAGE_SHIFT);
    struct cordon_gva_walk *out = w->out;

    out->gpa = cordon_gpa_make(gpa);
    out->region = (struct cordon_region_info){.len = 0};
    if (s != NULL) {
        out->region = (struct cordon_region_info){
            .gpa = cordon_gpa_make(s->first << CORDON_PAGE_SHIFT),
            .len = s->pages << CORDON_PAGE_SHIFT,
            .perms = region_perms(s),
            .flags = region_flags(s),
        };
    }
    out->gstage.size = sizeof(out->gstage);
    walk_told(&w->d->forest, 0, gpa, access, &out->gstage);
    out->map = judge_gstage(w, s);
    return out->map;
}

/* Read the word at GPA, once. False: it is not in RAM. */
static bool read_word(const struct guest_walk *w, uint64_t gpa, struct cordon_gva_step *step)
{
    cordon_hpa hpa;

    if (ask_map(w, gpa, CORDON_READ) != CORDON_GPA_RAM) {
        return false;
    }
    hpa = w->out->gstage.hit.hpa;
    step->gpa = cordon_gpa_make(gpa);
    step->hpa = hpa;
    step->hva = hva_of(w->d, hpa);
    step->value = port_load_foreign(w->d->forest.ctx->cookie, pt_table_ptr(&w->d->forest, hpa));
    return true;
}

/* The leaf of STEP is used. A hart that marks it needs the right to write to it [Priv 12.10]. */
static uint32_t use_leaf(const struct guest_walk *w, const struct cordon_gva_step *step,
                         uint64_t *gpa)
{
    struct cordon_gva_walk *out = w->out;
    uint64_t inside = BIT64(gva_leaf_shift(step->level, step->value)) - 1;

    out->marks = gva_word_marks(w->ask, step->value);
    if (out->marks != 0 && ask_map(w, step->gpa.v, CORDON_READ | CORDON_WRITE) != CORDON_GPA_RAM) {
        return CORDON_GVA_NO_TABLE;
    }
    out->span = inside + 1 - (w->ask->gva.v & inside);
    *gpa = (pt_word_hpa(step->value).v & ~inside) | (w->ask->gva.v & inside);
    return CORDON_GVA_LEADS;
}

/* Through the guest's tables, to *GPA. */
static uint32_t walk_tables(const struct guest_walk *w, const struct pt_fmt *fmt, uint64_t *gpa)
{
    uint64_t table = (w->ask->satp & SATP_PPN) << CORDON_PAGE_SHIFT;
    uint64_t linear = pt_linear(fmt, w->ask->gva.v);
    struct cordon_gva_walk *out = w->out;

    if (!pt_in_width(fmt, w->ask->gva.v)) {
        return CORDON_GVA_CANONICAL;
    }
    for (unsigned level = pt_top(fmt);; level--) {
        struct cordon_gva_step step = {.level = level, .index = pt_index(fmt, level, linear)};
        uint32_t refused;

        if (!read_word(w, table + step.index * sizeof(uint64_t), &step)) {
            return CORDON_GVA_NO_TABLE;
        }
        out->step[out->step_count++] = step;
        out->perms = pt_word_perms(step.value);
        refused = gva_word_refused(w->ask, level, step.value);
        if (refused != 0) {
            return refused;
        }
        if (pt_word_is_leaf(step.value)) {
            return use_leaf(w, &step, gpa);
        }
        table = pt_word_hpa(step.value).v;
    }
}

static uint32_t cause_of(const struct cordon_gva_ask *ask, uint32_t end, uint32_t map)
{
    bool ours = end == CORDON_GVA_NO_TABLE || end == CORDON_GVA_NO_PAGE;
    uint32_t fetch = !ours ? CAUSE_PAGE : map == CORDON_GPA_MMIO ? CAUSE_ACCESS : CAUSE_GUEST_PAGE;

    if (end == CORDON_GVA_LEADS) {
        return 0;
    }
    if (ask->access == CORDON_EXEC) {
        return fetch;
    }
    /* A load: 5, 13, 21; a store: 7, 15, 23. */
    fetch = fetch == CAUSE_ACCESS ? 5u : fetch + 1;
    return ask->access == CORDON_WRITE ? fetch + 2 : fetch;
}

static void walk(const struct guest_walk *w)
{
    struct cordon_gva_walk *out = w->out;
    uint32_t mode = (uint32_t)(w->ask->satp >> 60);
    const struct pt_fmt *fmt = gva_format(mode);
    uint64_t gpa = w->ask->gva.v;

    *out = (struct cordon_gva_walk){.size = out->size, .mode = mode};
    if (fmt != NULL) {
        out->end = walk_tables(w, fmt, &gpa);
    } else {
        out->end = mode == 0 ? CORDON_GVA_LEADS : CORDON_GVA_MODE;
    }
    if (out->end == CORDON_GVA_LEADS) {
        uint32_t map = ask_map(w, gpa, w->ask->access);

        if (map == CORDON_GPA_RAM) {
            out->hva = hva_of(w->d, out->gstage.hit.hpa);
        } else if (map != CORDON_GPA_MMIO) {
            out->end = CORDON_GVA_NO_PAGE;
        }
    }
    out->marks = out->end == CORDON_GVA_LEADS ? out->marks : 0;
    out->cause = cause_of(w->ask, out->end, out->map);
}

static bool is_sound(const struct cordon_gva_ask *ask)
{
    return ask->size == sizeof(*ask) && (ask->flags & ~KNOWN_FLAGS) == 0 && ask->reserved == 0 &&
           (ask->access & ~CORDON_RWX) == 0 && (ask->access & (ask->access - 1)) == 0;
}

int cordon_walk_guest(const cordon_domain *d, const struct cordon_gva_ask *ask,
                      struct cordon_gva_walk *out)
{
    const struct guest_walk w = {d, ask, out};

    if (d == NULL || ask == NULL || out == NULL || !is_sound(ask) || out->size != sizeof(*out)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(d));
    walk(&w);
    lock_give(lock_of(d));
    return 0;
}

const char *cordon_gva_end_name(uint32_t end)
{
    static const char *const names[] = {
        "leads",    "unknown mode", "not canonical", "empty",        "reserved",
        "too deep", "misaligned",   "bad napot",     "not for user", "user page",
        "rights",   "not accessed", "not dirty",     "no table",     "no page",
    };

    return end < sizeof(names) / sizeof(names[0]) ? names[end] : "unknown";
}

const char *cordon_gpa_end_name(uint32_t end)
{
    static const char *const names[] = {
        "RAM", "MMIO", "beyond the width", "hole", "not touched yet", "rights", "corrupt",
    };

    return end < sizeof(names) / sizeof(names[0]) ? names[end] : "unknown";
}
