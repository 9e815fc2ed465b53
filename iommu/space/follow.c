/*
 * The map follows a space from one flattening to the next.
 *
 * Each page that was seen is looked for by its name in the new flattening: it stays, moves, gets
 * other rights, or goes. Each that is seen and was not is granted. What stands in the map is asked
 * of the map: pages that were taken out of it directly are not there to be moved.
 */
#include "core/ctx.h"
#include "map/update.h"
#include "space/space.h"

struct diff {
    struct cordon_domain *d;
    const struct flat *was, *is;
    const struct tree *tree; /* the new one */
    struct vec out, in, moves;
    struct vec extents; /* parts of lists, for IN */
    bool logs;          /* something that comes is logged: no GRANT takes that */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- what goes, or changes ---------------------------------------------------------------- */

static int add_out(struct diff *f, uint32_t kind, uint64_t first, uint64_t pages, uint32_t attr)
{
    struct cordon_op *op = vec_push(&f->out);

    if (op == NULL) {
        return -CORDON_ENOMEM;
    }
    *op = (struct cordon_op){.kind = kind,
                             .gpa = cordon_gpa_make(first << CORDON_PAGE_SHIFT),
                             .len = pages << CORDON_PAGE_SHIFT,
                             .perms = attr & 0xff,
                             .flags = attr >> 8};
    return 0;
}

/* Is the page, which was seen, still part of its node, though it is not seen? */
static bool is_hidden(const struct diff *f, uint64_t name)
{
    const struct node *n = tree_find(f->tree, span_find(&f->was->seen, name)->attr);

    return n != NULL && n->serial == name_serial(name) && name - page_name(n, 0) < n->pages;
}

/* A range of one region, whose first page has NAME, goes. */
static int go(struct diff *f, const struct span *region, uint64_t first, uint64_t pages,
              uint64_t name)
{
    uint32_t flags = region_flags(region);
    bool returns = (flags & (CORDON_REGION_KEEP | CORDON_REGION_MMIO)) != 0;

    if (!returns && is_hidden(f, name)) {
        return -CORDON_EPERM;
    }
    return add_out(f, CORDON_OP_REVOKE, first, pages, 0);
}

/* A range of one region goes to TO, or stays there with other flags: what the map has beside what
 * the space knew stays. */
static int move(struct diff *f, const struct span *region, uint64_t first, uint64_t pages,
                uint64_t to, uint32_t was, uint32_t is)
{
    struct update_move *m = vec_push(&f->moves);
    uint32_t perms = region_perms(region), flags = region_flags(region);

    if (m == NULL) {
        return -CORDON_ENOMEM;
    }
    *m = (struct update_move){
        .from = first,
        .to = to,
        .pages = pages,
        .perms = (was & 0xff) == (is & 0xff) ? perms : is & 0xff,
        .flags = is >> 8 | (flags & ~(was >> 8)),
        .was_perms = perms,
        .was_flags = flags,
    };
    return 0;
}

/* What becomes of pages that were seen. */
struct fate {
    bool seen;
    uint64_t to;
    uint32_t was, is; /* attributes */
};

static int settle_region(struct diff *f, const struct span *region, uint64_t first, uint64_t pages,
                         uint64_t name, const struct fate *fate, uint64_t moved)
{
    if ((region_flags(region) & CORDON_REGION_SHARED) != 0) {
        return 0; /* borrowed from another domain: not ours */
    }
    if (!fate->seen) {
        return go(f, region, first, pages, name);
    }
    uint32_t differs = fate->was ^ fate->is;
    bool stays = fate->to + moved == first;

    if (stays && (differs & ~region_attr(0, CORDON_REGION_MARKS)) == 0) {
        uint32_t marks = (fate->is >> 8 | (region_flags(region) & ~(fate->was >> 8)));

        return add_out(f, CORDON_OP_MARK, first, pages,
                       region_attr(0, marks & CORDON_REGION_MARKS));
    }
    if (!stays || differs >> 8 != 0) {
        return move(f, region, first, pages, fate->to + moved, fate->was, fate->is);
    }
    return add_out(f, CORDON_OP_PROTECT, first, pages, fate->is & 0xff);
}

/* Pages that were seen from FIRST on and have one fate, region by region. */
static int settle(struct diff *f, uint64_t first, uint64_t pages, uint64_t name,
                  const struct fate *fate)
{
    uint64_t end = first + pages;
    int err = 0;

    if (fate->seen && fate->to == first && fate->was == fate->is) {
        return 0;
    }
    for (const struct span *s = span_next(&f->d->regions.set, first);
         s != NULL && s->first < end && err == 0; s = span_after(s)) {
        uint64_t at = s->first > first ? s->first : first;
        uint64_t moved = at - first;

        err = settle_region(f, s, at, least(span_end(s), end) - at, name + moved, fate, moved);
    }
    return err;
}

/* A section that stood, cut where the new flattening tells its pages apart. */
static int settle_section(struct diff *f, const struct span *s)
{
    uint64_t done = 0;
    int err = 0;

    while (done < s->pages && err == 0) {
        uint64_t name = s->value + done, some = s->pages - done;
        const struct span *n = span_next(&f->is->seen, name);
        struct fate fate = {.was = s->attr};

        if (n != NULL && n->first <= name) {
            fate.seen = true;
            fate.to = n->value + (name - n->first);
            fate.is = span_find(&f->is->places, fate.to)->attr;
            some = least(some, span_end(n) - name);
        } else if (n != NULL) {
            some = least(some, n->first - name);
        }
        err = settle(f, s->first + done, some, name, &fate);
        done += some;
    }
    return err;
}

/* ---- what comes --------------------------------------------------------------------------- */

/* The part of a node's extents from PAGE on, as a place in f->extents. */
static int add_extents(struct diff *f, const struct node *n, uint64_t page, uint64_t pages,
                       struct cordon_op *op)
{
    const struct cordon_extent *e = n->backing.list.at;
    uint64_t skip = page << CORDON_PAGE_SHIFT, left = pages << CORDON_PAGE_SHIFT;

    op->extent_count = 0;
    for (; left > 0; e++) {
        if (skip >= e->len) {
            skip -= e->len;
            continue;
        }
        struct cordon_extent *to = vec_push(&f->extents);

        if (to == NULL) {
            return -CORDON_ENOMEM;
        }
        *to = (struct cordon_extent){cordon_hpa_add(e->hpa, skip), least(e->len - skip, left)};
        left -= to->len;
        skip = 0;
        op->extent_count++;
    }
    return 0;
}

static int come(struct diff *f, const struct node *n, uint64_t first, uint64_t page, uint64_t pages,
                uint32_t attr)
{
    struct cordon_op *op = vec_push(&f->in);

    if (op == NULL) {
        return -CORDON_ENOMEM;
    }
    *op = (struct cordon_op){.kind = CORDON_OP_GRANT,
                             .flags = attr >> 8,
                             .gpa = cordon_gpa_make(first << CORDON_PAGE_SHIFT),
                             .len = pages << CORDON_PAGE_SHIFT,
                             .perms = attr & 0xff};
    f->logs = f->logs || (op->flags & CORDON_REGION_LOG) != 0;
    return op_demands(op) ? 0 : add_extents(f, n, page, pages, op);
}

/* A section that is seen, without what was seen before. */
static int come_section(struct diff *f, const struct span *s)
{
    uint64_t done = 0;
    int err = 0;

    while (done < s->pages && err == 0) {
        uint64_t name = s->value + done, some = s->pages - done;
        const struct span *before = span_next(&f->was->seen, name);

        if (before != NULL && before->first <= name) {
            done += least(some, span_end(before) - name);
            continue;
        }
        if (before != NULL) {
            some = least(some, before->first - name);
        }
        const struct node *n = tree_find(f->tree, span_find(&f->is->seen, name)->attr);

        err = come(f, n, s->first + done, name - page_name(n, 0), some, s->attr);
        done += some;
    }
    return err;
}

/* Lists do not move any more: the operations get theirs. */
static void lead_extents(struct diff *f)
{
    const struct cordon_extent *e = f->extents.at;
    struct cordon_op *op = f->in.at;

    for (uint64_t i = 0; i < f->in.count; i++) {
        if (!op_demands(&op[i])) {
            op[i].extents = e;
            e += op[i].extent_count;
        }
    }
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int compare(struct diff *f)
{
    int err = 0;

    for (const struct span *s = span_next(&f->was->places, 0); s != NULL && err == 0;
         s = span_after(s)) {
        err = s->attr != HOLE_ATTR ? settle_section(f, s) : 0;
    }
    for (const struct span *s = span_next(&f->is->places, 0); s != NULL && err == 0;
         s = span_after(s)) {
        err = s->attr != HOLE_ATTR ? come_section(f, s) : 0;
    }
    lead_extents(f);
    return err;
}

/* Only what goes, or only what comes, is a plain change of the map. */
static int carry_out(struct diff *f)
{
    const struct update u = {.d = f->d,
                             .out = f->out.at,
                             .out_count = f->out.count,
                             .in = f->in.at,
                             .in_count = f->in.count,
                             .moves = f->moves.at,
                             .move_count = f->moves.count};

    if (u.out_count + u.in_count + u.move_count == 0) {
        return 0;
    }
    if (u.move_count == 0 && (u.out_count == 0 || u.in_count == 0) && !f->logs) {
        return txn_do(f->d, u.in_count != 0 ? u.in : u.out, u.in_count + u.out_count, false);
    }
    return update_do(&u);
}

int follow(struct cordon_space *s, const struct tree *tree, const struct flat *flat)
{
    struct cordon_ctx *ctx = s->d->ctx;
    struct diff f = {.d = s->d,
                     .was = &s->flat,
                     .is = flat,
                     .tree = tree,
                     .out = vec_make(ctx, sizeof(struct cordon_op)),
                     .in = vec_make(ctx, sizeof(struct cordon_op)),
                     .moves = vec_make(ctx, sizeof(struct update_move)),
                     .extents = vec_make(ctx, sizeof(struct cordon_extent))};
    int err = compare(&f);

    if (err == 0) {
        err = carry_out(&f);
    }
    vec_free(&f.out);
    vec_free(&f.in);
    vec_free(&f.moves);
    vec_free(&f.extents);
    return err;
}
