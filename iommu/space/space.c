/* Spaces: made, brought from one version to the next, asked, forgotten. */
#include "space/space.h"
#include "core/ctx.h"

/* ---- versions ----------------------------------------------------------------------------- */

static int edit_all(struct cordon_space *s, struct tree *t, const struct cordon_edit *edits,
                    size_t count)
{
    int err = tree_copy(&s->tree, count, t);

    for (size_t i = 0; i < count && err == 0; i++) {
        err = edit_do(s, t, &edits[i]);
    }
    return err == 0 ? tree_verify(t, &s->tree) : err;
}

static int map_follows(struct cordon_space *s, const struct tree *t, const struct flat *f)
{
    lock_take(&s->d->lock);
    int err = follow(s, t, f);

    lock_give(&s->d->lock);
    return err;
}

int space_update(struct cordon_space *s, const struct cordon_edit *edits, size_t count)
{
    struct tree tree, old = s->tree;
    struct flat flat;

    flat_init(&flat, s->d->ctx, s->flat.places.random);
    int err = edit_all(s, &tree, edits, count);

    if (err == 0) {
        err = flatten(&tree, s->d->gfn_limit, &flat);
    }
    if (err == 0) {
        err = map_follows(s, &tree, &flat);
    }
    if (err != 0 && err != -CORDON_EPENDING) {
        flat_drop(&flat);
        tree_drop(&tree, &s->tree);
        return err;
    }
    flat_drop(&s->flat);
    s->flat = flat;
    s->tree = tree;
    tree_drop(&old, &s->tree);
    return err;
}

int cordon_space_update(cordon_space *s, const struct cordon_edit *edits, size_t count)
{
    if (s == NULL || (edits == NULL && count != 0)) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    if (count > 2 * CORDON_MAX_NODES) {
        return -CORDON_ELIMIT;
    }
    lock_take(&s->lock);
    int err = space_update(s, edits, count);

    lock_give(&s->lock);
    return err;
}

/* ---- made and forgotten ------------------------------------------------------------------- */

int cordon_space_create(cordon_domain *d, cordon_space **out)
{
    if (d == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    struct cordon_space *s = pool_page_alloc(d->ctx);

    if (s == NULL) {
        return -CORDON_ENOMEM;
    }
    s->d = d;
    lock_init(&s->lock);
    s->tree = tree_make(d->ctx);
    flat_init(&s->flat, d->ctx, d->ctx->seed);
    s->mark = HANDLE_SPACE;
    lock_take(&d->lock);
    d->spaces++;
    lock_give(&d->lock);
    *out = s;
    return 0;
}

int cordon_space_destroy(cordon_space *s)
{
    if (s == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    flat_drop(&s->flat);
    tree_drop(&s->tree, NULL);
    lock_take(&s->d->lock);
    s->d->spaces--;
    lock_give(&s->d->lock);
    s->mark = 0;
    pool_page_free(s->d->ctx, s);
    return 0;
}

/* ---- questions ---------------------------------------------------------------------------- */

/* Questions take the space const, but its lock is not part of what they promise to leave alone. */
static struct lock *lock_of(const struct cordon_space *s)
{
    return &((struct cordon_space *)(uintptr_t)s)->lock;
}

static void node_tell(const struct node *n, struct cordon_node *out)
{
    *out = (struct cordon_node){.size = sizeof(*out),
                                .id = n->id,
                                .kind = n->kind,
                                .parent = n->parent,
                                .priority = n->priority,
                                .disabled = n->disabled,
                                .offset = n->offset << CORDON_PAGE_SHIFT,
                                .len = n->pages << CORDON_PAGE_SHIFT,
                                .perms = n->perms,
                                .flags = n->flags,
                                .target = n->target,
                                .target_offset = n->target_offset << CORDON_PAGE_SHIFT,
                                .extent_count = n->backing.list.count};
}

int cordon_node_find(const cordon_space *s, uint32_t id, bool next, struct cordon_node *out)
{
    if (s == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(s));
    const struct node *n = next ? tree_next(&s->tree, id) : tree_find(&s->tree, id);

    if (n != NULL) {
        node_tell(n, out);
    }
    lock_give(lock_of(s));
    return n != NULL ? 0 : -CORDON_ENOENT;
}

static void section_tell(const struct cordon_space *s, const struct span *at,
                         struct cordon_section *out)
{
    *out = (struct cordon_section){.gpa = cordon_gpa_make(at->first << CORDON_PAGE_SHIFT),
                                   .len = at->pages << CORDON_PAGE_SHIFT,
                                   .kind = CORDON_NODE_HOLE,
                                   .node = (uint32_t)at->value};
    if (at->attr != HOLE_ATTR) {
        const struct span *seen = span_find(&s->flat.seen, at->value);

        cordon_assert(seen != NULL);
        const struct node *n = tree_find(&s->tree, seen->attr);

        cordon_assert(n != NULL);
        out->node = n->id;
        out->kind = n->kind;
        out->offset = (at->value - page_name(n, 0)) << CORDON_PAGE_SHIFT;
        out->perms = region_perms(at);
        out->flags = region_flags(at);
    }
}

int cordon_section_find(const cordon_space *s, cordon_gpa gpa, bool next,
                        struct cordon_section *out)
{
    uint64_t page = gpa.v >> CORDON_PAGE_SHIFT;

    if (s == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    lock_take(lock_of(s));
    const struct span *at =
        next ? span_next(&s->flat.places, page) : span_find(&s->flat.places, page);

    if (at != NULL) {
        section_tell(s, at, out);
    }
    lock_give(lock_of(s));
    return at != NULL ? 0 : -CORDON_ENOENT;
}
