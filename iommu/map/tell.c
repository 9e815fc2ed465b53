/* Listeners: kept, asked, told. See tell.h. */
#include "map/tell.h"
#include "core/ctx.h"

/* ---- what is told ------------------------------------------------------------------------- */

struct tell tell_begin(struct cordon_domain *d)
{
    return (struct tell){.d = d, .list = vec_make(d->ctx, sizeof(struct cordon_told))};
}

int tell_one(struct tell *t, const struct cordon_told *one)
{
    struct cordon_told *to = vec_push(&t->list);

    if (to == NULL) {
        return -CORDON_ENOMEM;
    }
    *to = *one;
    return 0;
}

static int added(struct tell *t, cordon_gpa gpa, uint64_t len, uint32_t perms, uint32_t flags)
{
    return tell_one(
        t, &(struct cordon_told){
               .kind = CORDON_TOLD_ADDED, .perms = perms, .flags = flags, .gpa = gpa, .len = len});
}

/* What the part of region S in [*AT, END) was; *AT goes on behind it. */
static struct cordon_told was(const struct span *s, uint64_t *at, uint64_t end)
{
    uint64_t first = s->first > *at ? s->first : *at;
    uint64_t last = span_end(s) < end ? span_end(s) : end;

    *at = last;
    return (struct cordon_told){.was_perms = region_perms(s),
                                .was_flags = region_flags(s),
                                .gpa = cordon_gpa_make(first << CORDON_PAGE_SHIFT),
                                .len = (last - first) << CORDON_PAGE_SHIFT};
}

static int removed(struct tell *t, cordon_gpa gpa, uint64_t len)
{
    uint64_t at = gpa.v >> CORDON_PAGE_SHIFT, end = at + (len >> CORDON_PAGE_SHIFT);
    const struct span *s = span_next(&t->d->regions.set, at);
    int err = 0;

    for (; s != NULL && s->first < end && err == 0; s = span_after(s)) {
        struct cordon_told one = was(s, &at, end);

        one.kind = CORDON_TOLD_REMOVED;
        err = tell_one(t, &one);
    }
    return err;
}

int tell_changed(struct tell *t, cordon_gpa gpa, uint64_t len, uint32_t perms, uint32_t flags,
                 uint32_t mask)
{
    uint64_t at = gpa.v >> CORDON_PAGE_SHIFT, end = at + (len >> CORDON_PAGE_SHIFT);
    const struct span *s = span_next(&t->d->regions.set, at);
    int err = 0;

    for (; s != NULL && s->first < end && err == 0; s = span_after(s)) {
        struct cordon_told one = was(s, &at, end);

        one.kind = CORDON_TOLD_CHANGED;
        one.perms = perms != 0 ? perms : one.was_perms;
        one.flags = (one.was_flags & ~mask) | flags;
        err = tell_one(t, &one);
    }
    return err;
}

int tell_ops(struct tell *t, const struct cordon_op *ops, size_t count)
{
    int err = 0;

    for (size_t i = 0; i < count && err == 0; i++) {
        if (ops[i].kind == CORDON_OP_REVOKE) {
            err = removed(t, ops[i].gpa, ops[i].len);
        } else if (ops[i].kind == CORDON_OP_PROTECT) {
            err = tell_changed(t, ops[i].gpa, ops[i].len, ops[i].perms, 0, 0);
        } else if (ops[i].kind == CORDON_OP_MARK) {
            err = tell_changed(t, ops[i].gpa, ops[i].len, 0, ops[i].flags, CORDON_REGION_MARKS);
        }
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        if (ops[i].kind == CORDON_OP_GRANT) {
            err = added(t, ops[i].gpa, ops[i].len, ops[i].perms, ops[i].flags);
        }
    }
    return err;
}

/* ---- asked and told ----------------------------------------------------------------------- */

/* An answer that is no error of ours, or one that says that the map has changed. */
static int refusal_of(int err)
{
    return err > 0 || err < -CORDON_ERROR_LAST || err == -CORDON_EPENDING ? -CORDON_EPERM : err;
}

/* Those before STOP had agreed: the last first. There are few of them. */
static void abort_before(struct tell *t, const struct listening *stop)
{
    while (stop != t->d->listeners) {
        const struct listening *last = t->d->listeners;

        while (last->next != stop) {
            last = last->next;
        }
        last->l.abort(last->l.user, t->list.at, t->list.count);
        stop = last;
    }
}

int tell_asked(struct tell *t, int err)
{
    for (const struct listening *at = t->d->listeners; at != NULL && err == 0; at = at->next) {
        err = refusal_of(at->l.prepare(at->l.user, t->list.at, t->list.count));
        if (err != 0) {
            abort_before(t, at);
        }
    }
    if (err != 0) {
        vec_free(&t->list);
    }
    return err;
}

void tell_end(struct tell *t, int err)
{
    if (err != 0 && err != -CORDON_EPENDING) {
        abort_before(t, NULL);
    } else {
        for (const struct listening *at = t->d->listeners; at != NULL; at = at->next) {
            at->l.commit(at->l.user, t->list.at, t->list.count);
        }
    }
    vec_free(&t->list);
}

/* ---- who is told -------------------------------------------------------------------------- */

/* What stands, told to one. */
static int replay(struct cordon_domain *d, const struct cordon_listener *l)
{
    struct tell t = tell_begin(d);
    int err = 0;

    for (const struct span *s = span_next(&d->regions.set, 0); s != NULL && err == 0;
         s = span_after(s)) {
        err = added(&t, cordon_gpa_make(s->first << CORDON_PAGE_SHIFT),
                    s->pages << CORDON_PAGE_SHIFT, region_perms(s), region_flags(s));
    }
    if (err == 0) {
        err = refusal_of(l->prepare(l->user, t.list.at, t.list.count));
    }
    if (err == 0) {
        l->commit(l->user, t.list.at, t.list.count);
    }
    vec_free(&t.list);
    return err;
}

static int add(struct cordon_domain *d, const struct cordon_listener *l, uint32_t *id)
{
    struct listening *one = pool_page_alloc(d->ctx);
    struct listening **at = &d->listeners;

    if (one == NULL) {
        return -CORDON_ENOMEM;
    }
    int err = replay(d, l);

    if (err != 0) {
        pool_page_free(d->ctx, one);
        return err;
    }
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *one = (struct listening){.l = *l, .id = ++d->listener_ids};
    *at = one;
    *id = one->id;
    return 0;
}

int cordon_listener_add(cordon_domain *d, const struct cordon_listener *l, uint32_t *id)
{
    if (d == NULL || l == NULL || id == NULL || l->size != sizeof(*l) || l->reserved != 0 ||
        l->prepare == NULL || l->commit == NULL || l->abort == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->lock);
    int err = add(d, l, id);

    lock_give(&d->lock);
    return err;
}

int cordon_listener_remove(cordon_domain *d, uint32_t id)
{
    if (d == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->lock);
    struct listening **at = &d->listeners;

    while (*at != NULL && (*at)->id != id) {
        at = &(*at)->next;
    }
    struct listening *one = *at;

    if (one != NULL) {
        *at = one->next;
        pool_page_free(d->ctx, one);
    }
    lock_give(&d->lock);
    return one != NULL ? 0 : -CORDON_ENOENT;
}
