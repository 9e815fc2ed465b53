/*
 * Two guests, and what their maps should be, in plain arrays: an oracle that knows no tables. What
 * a change, a touch or a view makes of them is written down here a second time, page by page.
 */
#ifndef MAP_ARRAYS_H
#define MAP_ARRAYS_H

#include "map_bench.h"

#define DOMAINS 2u
#define WINDOW 1536u     /* guest pages that are played with: three leaf tables */
#define BASE (3 * BLOCK) /* where they stand */
#define FRAMES (24 * MIB / PAGE)

/* What a guest page should be. */
struct page {
    uint64_t hpa; /* 0: absent, or not in the map */
    uint32_t perms, flags;
    bool dirty; /* while it is logged */
    bool in;    /* the map */
};

struct guest {
    cordon_domain *d;
    struct page page[WINDOW];
    uint32_t views; /* bit mask, view 0 included */
    uint32_t typed; /* of these, whose leaves say memory types */
};

static struct map_bench b;
static struct guest guest[DOMAINS];

/* ---- what is asked ------------------------------------------------------------------------ */

static inline bool view_holds(uint32_t view, uint32_t flags)
{
    if (view == 0) {
        return true;
    }
    return (flags & CORDON_REGION_MMIO) != 0 ? (flags & CORDON_REGION_PEER) != 0
                                             : (flags & CORDON_REGION_NODMA) == 0;
}

static inline void check_page(const struct guest *g, uint64_t i)
{
    const struct page *p = &g->page[i];
    uint64_t gpa = BASE + i * PAGE;

    for (uint32_t view = 0; view < CORDON_MAX_VIEWS; view++) {
        struct cordon_hit hit = {.perms = 0};
        int err = cordon_translate(g->d, view, cordon_gpa_make(gpa), 0, &hit);

        if ((g->views >> view & 1) == 0) {
            assert_int_equal(err, -CORDON_EINVAL);
        } else if (p->hpa == 0 || !view_holds(view, p->flags)) {
            assert_int_equal(err, -CORDON_EFAULT);
        } else {
            assert_int_equal(err, 0);
            assert_int_equal(hit.hpa.v, p->hpa);
            assert_int_equal(hit.perms, p->perms);
            assert_int_equal(hit.type,
                             (g->typed >> view & 1) != 0 ? p->flags & CORDON_REGION_TYPES : 0);
        }
    }
}

static inline void check_region(const struct guest *g, uint64_t i)
{
    struct cordon_region_info r = {.len = 0};
    const struct page *p = &g->page[i];
    int err = cordon_region_find(g->d, cordon_gpa_make(BASE + i * PAGE), false, &r);

    assert_int_equal(err, p->in ? 0 : -CORDON_ENOENT);
    if (err == 0) {
        assert_int_equal(r.perms, p->perms);
        assert_int_equal(r.flags, p->flags);
    }
}

static inline void check_all(void)
{
    for (unsigned n = 0; n < DOMAINS; n++) {
        for (uint64_t i = 0; i < WINDOW; i++) {
            check_page(&guest[n], i);
            check_region(&guest[n], i);
        }
    }
}

/* ---- what is done ------------------------------------------------------------------------- */

static inline void apply_grant(struct guest *g, const struct cordon_op *op)
{
    uint64_t at = (op->gpa.v - BASE) / PAGE;

    for (uint64_t i = at; i < at + op->len / PAGE; i++) {
        g->page[i] = (struct page){.in = true, .perms = op->perms, .flags = op->flags};
    }
    for (uint64_t k = 0; k < op->extent_count; k++) {
        for (uint64_t off = 0; off < op->extents[k].len; off += PAGE) {
            g->page[at++].hpa = op->extents[k].hpa.v + off;
        }
    }
}

static inline void apply(struct guest *g, const struct cordon_op *op)
{
    uint64_t first = (op->gpa.v - BASE) / PAGE;

    if (op->kind == CORDON_OP_GRANT) {
        apply_grant(g, op);
        return;
    }
    for (uint64_t i = first; i < first + op->len / PAGE; i++) {
        struct page *p = &g->page[i];

        if (op->kind == CORDON_OP_PROTECT) {
            p->perms = op->perms;
            continue;
        }
        if (op->kind == CORDON_OP_MARK) {
            p->dirty &= (p->flags & op->flags & CORDON_REGION_LOG) != 0;
            p->flags = (p->flags & ~CORDON_REGION_MARKS) | op->flags;
            continue;
        }
        bool keep = (p->flags & CORDON_REGION_KEEP) != 0;

        assert_true(p->hpa == 0 ||
                    bench_frame(&b, p->hpa) == (keep ? CORDON_FRAME_HELD : CORDON_FRAME_FREE));
        if (keep) {
            assert_int_equal(cordon_run_free(b.ctx, cordon_hpa_make(p->hpa), PAGE), 0);
        }
        p->hpa = 0;
        p->dirty = false;
        if (op->kind == CORDON_OP_REVOKE) {
            *p = (struct page){.in = false};
        }
    }
}

/* Pages that came, as the tables have them now, are the oracle's from here on: zeroes each, and
 * dirty where that is logged. */
static inline void learn(struct guest *g)
{
    for (uint64_t i = 0; i < WINDOW; i++) {
        struct page *p = &g->page[i];
        uint64_t hpa = p->in && p->hpa == 0 ? bench_leads(g->d, 0, BASE + i * PAGE, 0) : UINT64_MAX;

        if (hpa == UINT64_MAX) {
            continue;
        }
        uint64_t *word = bench_word(&b, cordon_hpa_make(hpa)), sum = 0;

        for (uint64_t k = 0; k < PAGE / sizeof(*word); k++) {
            sum |= word[k];
            word[k] = UINT64_C(0xa5a5a5a5a5a5a5a5);
        }
        assert_int_equal(sum, 0);
        assert_true((p->flags & CORDON_REGION_DEMAND) != 0);
        p->hpa = hpa;
        p->dirty = (p->flags & CORDON_REGION_LOG) != 0;
    }
}

/* What nobody was asked about since counts as written by the devices behind a view. */
static inline void view_went(struct guest *g)
{
    for (uint64_t i = 0; i < WINDOW; i++) {
        struct page *p = &g->page[i];

        p->dirty |= (p->flags & CORDON_REGION_LOG) != 0 && (p->flags & CORDON_REGION_NODMA) == 0 &&
                    (p->perms & CORDON_WRITE) != 0;
    }
}

/* ---- from beginning to end ---------------------------------------------------------------- */

static inline void open_guests(uint32_t flags)
{
    bench_open_flags(&b, FRAMES * PAGE, flags);
    memset(guest, 0, sizeof(guest));
    for (unsigned n = 0; n < DOMAINS; n++) {
        guest[n].d = bench_domain(&b);
        guest[n].views = 1;
        guest[n].typed = 1;
    }
}

static inline void close_guests(void)
{
    struct cordon_memory_stats s;

    for (unsigned n = 0; n < DOMAINS; n++) {
        for (uint32_t view = 1; view < CORDON_MAX_VIEWS; view++) {
            if ((guest[n].views >> view & 1) != 0) {
                domain_view_remove(guest[n].d, view);
            }
        }
        assert_int_equal(cordon_domain_destroy(guest[n].d), 0);
        bench_sound(&b);
    }
    bench_free_held(&b); /* by KEEP */
    s = bench_stats(&b);
    assert_int_equal(s.owned + s.held + s.table + s.revoking, 0);
    bench_close(&b);
}

#endif
