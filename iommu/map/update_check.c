/* What an update may be, and what listeners hear of it. See update.h. */
#include "core/ctx.h"
#include "map/update.h"
#include "pt/word.h"
#include "touch/touch.h"

/* ---- checks ------------------------------------------------------------------------------- */

/* Ranges that leave the map, or their place in it. */
static int gather_leaving(const struct update *u, struct span_set *leaving)
{
    int err = span_reserve(leaving, u->out_count + u->move_count);

    for (size_t i = 0; i < u->out_count && err == 0; i++) {
        if (u->out[i].kind == CORDON_OP_REVOKE) {
            (void)span_insert(leaving, op_first(&u->out[i]), op_pages(&u->out[i]), 0, 0);
        }
    }
    for (size_t i = 0; i < u->move_count && err == 0; i++) {
        (void)span_insert(leaving, u->moves[i].from, u->moves[i].pages, 0, 0);
    }
    return err;
}

/* Does all that stands in the range leave? */
static bool clears(const struct cordon_domain *d, const struct span_set *leaving, uint64_t first,
                   uint64_t pages)
{
    uint64_t end = first + pages;
    const struct span *s = span_next(&d->regions.set, first);

    while (s != NULL && s->first < end) {
        uint64_t at = s->first > first ? s->first : first;
        const struct span *gone = span_find(leaving, at);

        if (gone == NULL) {
            return false;
        }
        first = span_end(gone);
        s = first < end ? span_next(&d->regions.set, first) : NULL;
    }
    return true;
}

/* A device's access cannot wait for a frame: all that its view would hold is present. */
static int check_present(struct cordon_domain *d, uint32_t flags, uint64_t first, uint64_t pages)
{
    bool waits = (flags & CORDON_REGION_DEMAND) != 0 && (domain_views_for(d, flags) & ~1u) != 0;

    return waits && touch_absent(d, first, first + pages) != first + pages ? -CORDON_EBUSY : 0;
}

static int check_place(const struct cordon_domain *d, const struct span_set *leaving,
                       uint64_t first, uint64_t pages, uint32_t flags)
{
    if (pages == 0 || first >= d->gfn_limit || pages > d->gfn_limit - first) {
        return -CORDON_ERANGE;
    }
    bool on_msi = (flags & CORDON_REGION_MMIO) == 0 && domain_msi_touches(d, first, pages);

    return on_msi || !clears(d, leaving, first, pages) ? -CORDON_EEXIST : 0;
}

static int check_move(struct cordon_domain *d, const struct update_move *m)
{
    bool legal = pt_perms_legal(m->perms);
    uint32_t pin = m->was_flags & CORDON_REGION_PIN; /* DEMAND regions get it with MARK alone */
    uint32_t stays = CORDON_REGION_DEMAND | CORDON_REGION_PROMISED | CORDON_REGION_MMIO;
    int err = legal && ((m->flags ^ m->was_flags) & stays) == 0
                  ? txn_check_flags(d->ctx, m->flags & ~(pin | CORDON_REGION_LOG))
                  : -CORDON_EINVAL;

    return err == 0 ? check_present(d, m->flags, m->from, m->pages) : err;
}

static int check_grant(const struct cordon_domain *d, const struct span_set *leaving,
                       const struct cordon_op *op)
{
    struct cordon_op plain = *op;
    int err;

    plain.flags &= ~CORDON_REGION_LOG;
    err = txn_check_form(d->ctx, &plain, false);
    if (err == 0) {
        err = check_place(d, leaving, op_first(op), op_pages(op), op->flags);
    }
    if (err == 0 && op_demands(op) && (domain_views_for(d, op->flags) & ~1u) != 0) {
        err = -CORDON_EBUSY;
    }
    return err;
}

int update_check(const struct update *u)
{
    struct span_set leaving;
    int err;

    span_set_init(&leaving, u->d->ctx, u->d->regions.set.random);
    err = gather_leaving(u, &leaving);
    for (size_t i = 0; i < u->in_count && err == 0; i++) {
        err = check_grant(u->d, &leaving, &u->in[i]);
    }
    for (size_t i = 0; i < u->move_count && err == 0; i++) {
        const struct update_move *m = &u->moves[i];

        err = check_move(u->d, m);
        if (err == 0) {
            err = check_place(u->d, &leaving, m->to, m->pages, m->flags);
        }
    }
    span_set_clear(&leaving);
    return err;
}

/* ---- told --------------------------------------------------------------------------------- */

static struct cordon_told told_move(const struct update_move *m, bool to)
{
    return (struct cordon_told){
        .kind = m->from == m->to ? CORDON_TOLD_CHANGED
                : to             ? CORDON_TOLD_ADDED
                                 : CORDON_TOLD_REMOVED,
        .perms = to ? m->perms : 0,
        .flags = to ? m->flags : 0,
        .was_perms = !to || m->from == m->to ? m->was_perms : 0,
        .was_flags = !to || m->from == m->to ? m->was_flags : 0,
        .gpa = cordon_gpa_make((to ? m->to : m->from) << CORDON_PAGE_SHIFT),
        .len = m->pages << CORDON_PAGE_SHIFT,
    };
}

/* What goes, or changes where it is; then what comes. */
int update_tell(struct tell *t, const struct update *u)
{
    int err = tell_ops(t, u->out, u->out_count);

    for (unsigned to = 0; to < 2; to++) {
        for (size_t i = 0; i < u->move_count && err == 0; i++) {
            const struct update_move *m = &u->moves[i];
            struct cordon_told one = told_move(m, to == 1 || m->from == m->to);

            err = to == 1 && m->from == m->to ? 0 : tell_one(t, &one);
        }
    }
    return err == 0 ? tell_ops(t, u->in, u->in_count) : err;
}
