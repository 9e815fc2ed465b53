/* Edits of a tree: what the caller says is checked alone, then carried out on the copy. */
#include "core/ctx.h"
#include "space/space.h"

#include <string.h>

#define MMIO_FLAGS (CORDON_REGION_MMIO | CORDON_REGION_PEER | CORDON_REGION_FILE)
#define INHERITED (CORDON_REGION_NODMA | CORDON_REGION_LOG) /* flags of containers and aliases */

/* ---- form --------------------------------------------------------------------------------- */

static bool flags_fit(const struct cordon_node *n)
{
    switch (n->kind) {
    case CORDON_NODE_CONTAINER:
    case CORDON_NODE_ALIAS:
        return (n->flags & ~INHERITED) == 0;
    case CORDON_NODE_RAM:
        return (n->flags & (CORDON_REGION_SHARED | MMIO_FLAGS)) == 0;
    case CORDON_NODE_MMIO:
        return (n->flags & ~MMIO_FLAGS) == 0;
    default:
        return n->flags == 0 && n->perms == 0;
    }
}

/* A slot stays what it is, whoever edits it: its harvest relies on that. */
static bool slot_legal(const struct cordon_node *n)
{
    return (n->id & CORDON_NODE_SLOT) == 0 ||
           (n->kind == CORDON_NODE_RAM && n->parent == CORDON_NODE_ROOT && n->priority == 0);
}

static bool form_legal(const struct cordon_node *n)
{
    bool backed = n->kind == CORDON_NODE_RAM || n->kind == CORDON_NODE_MMIO;
    bool alias = n->kind == CORDON_NODE_ALIAS;

    return n->kind >= CORDON_NODE_CONTAINER && n->kind <= CORDON_NODE_ALIAS && n->id != 0 &&
           n->id != CORDON_NODE_NOWHERE && n->reserved == 0 && n->disabled <= 1 &&
           (n->perms & ~CORDON_RWX) == 0 && flags_fit(n) && n->parent != n->id && slot_legal(n) &&
           (alias ? n->target != 0 && n->target != n->id
                  : n->target == 0 && n->target_offset == 0) &&
           (n->extents == NULL) == (n->extent_count == 0) && (backed || n->extents == NULL);
}

static int check_form(const struct cordon_node *n, uint64_t gfn_limit)
{
    if (!form_legal(n)) {
        return -CORDON_EINVAL;
    }
    if (!is_aligned(n->offset | n->len | n->target_offset, CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    uint64_t offset = n->offset >> CORDON_PAGE_SHIFT, pages = n->len >> CORDON_PAGE_SHIFT;

    uint64_t limit = n->parent == CORDON_NODE_ROOT ? gfn_limit : PLACE_LIMIT;

    return pages == 0 || offset >= limit || pages > limit - offset ||
                   n->target_offset >> CORDON_PAGE_SHIFT >= PLACE_LIMIT
               ? -CORDON_ERANGE
               : 0;
}

/* ---- backing ------------------------------------------------------------------------------ */

/* The sum of the extents in pages. EALIGN, ERANGE. */
static int extents_pages(const struct cordon_extent *e, uint64_t count, uint64_t *pages)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        if (!is_aligned(e[i].hpa.v | e[i].len, CORDON_PAGE_SIZE)) {
            return -CORDON_EALIGN;
        }
        sum += e[i].len >> CORDON_PAGE_SHIFT;
        if (e[i].len == 0 || range_wraps(e[i].hpa.v, e[i].len) || sum > NODE_PAGES_MAX) {
            return -CORDON_ERANGE;
        }
    }
    *pages = sum;
    return 0;
}

static int backing_take(struct cordon_ctx *ctx, const struct cordon_node *from, struct node *n)
{
    struct extents b = {.list = vec_make(ctx, sizeof(struct cordon_extent))};
    int err = extents_pages(from->extents, from->extent_count, &b.pages);

    if (err == 0) {
        err = vec_reserve(&b.list, from->extent_count);
    }
    if (err != 0) {
        return err;
    }
    memcpy(b.list.at, from->extents, from->extent_count * sizeof(struct cordon_extent));
    b.list.count = from->extent_count;
    n->backing = b;
    n->fresh = true;
    return 0;
}

/* Is the shorter list a beginning of the longer one? */
static bool begins_alike(const struct extents *a, const struct extents *b)
{
    const struct cordon_extent *x = a->list.at, *y = b->list.at;
    uint64_t left = a->pages < b->pages ? a->pages : b->pages;
    uint64_t x_used = 0, y_used = 0;

    left <<= CORDON_PAGE_SHIFT;
    while (left > 0) {
        uint64_t some = x->len - x_used < y->len - y_used ? x->len - x_used : y->len - y_used;

        if (x->hpa.v + x_used != y->hpa.v + y_used) {
            return false;
        }
        some = some < left ? some : left;
        left -= some;
        x_used += some;
        y_used += some;
        if (x_used == x->len) {
            x++;
            x_used = 0;
        }
        if (y_used == y->len) {
            y++;
            y_used = 0;
        }
    }
    return true;
}

static bool serial_used(const struct tree *t, uint32_t serial)
{
    const struct node *n = t->nodes.at;

    for (uint64_t i = 0; i < t->nodes.count; i++) {
        if (n[i].serial == serial) {
            return true;
        }
    }
    return false;
}

/* A serial that no node of the copy, nor of what stands, has. */
static uint32_t serial_give(struct cordon_space *s, const struct tree *t)
{
    do {
        if (++s->serial == SERIAL_LIMIT) {
            s->serial = 1;
            s->again = true;
        }
    } while (s->again && (serial_used(t, s->serial) || serial_used(&s->tree, s->serial)));
    return s->serial;
}

/* ---- edits -------------------------------------------------------------------------------- */

/* All but id, kind and backing. */
static void node_fill(struct node *n, const struct cordon_node *from)
{
    n->parent = from->parent;
    n->target = from->target;
    n->priority = from->priority;
    n->perms = from->perms;
    n->flags = from->flags | (n->kind == CORDON_NODE_MMIO ? CORDON_REGION_MMIO : 0);
    n->disabled = from->disabled != 0;
    n->offset = from->offset >> CORDON_PAGE_SHIFT;
    n->pages = from->len >> CORDON_PAGE_SHIFT;
    n->target_offset = from->target_offset >> CORDON_PAGE_SHIFT;
}

/* Frames of a DEMAND node are nobody's until they are touched. */
static int enough(const struct node *n)
{
    if ((n->flags & CORDON_REGION_DEMAND) != 0) {
        return n->backing.list.count != 0 || n->pages > NODE_PAGES_MAX ? -CORDON_EINVAL : 0;
    }
    return node_backed(n) && n->pages > n->backing.pages ? -CORDON_EINVAL : 0;
}

static int add(struct cordon_space *s, struct tree *t, const struct cordon_node *from)
{
    struct node n = {.id = from->id, .kind = from->kind};
    struct node *at = tree_next(t, from->id), *end;

    if (at != NULL && at->id == from->id) {
        return -CORDON_EEXIST;
    }
    if (t->nodes.count == CORDON_MAX_NODES) {
        return -CORDON_ELIMIT;
    }
    node_fill(&n, from);
    n.backing.list = vec_make(s->d->ctx, sizeof(struct cordon_extent));
    int err = from->extents != NULL ? backing_take(s->d->ctx, from, &n) : 0;

    if (err == 0) {
        err = enough(&n);
    }
    if (err != 0) {
        vec_free(&n.backing.list);
        return err;
    }
    n.serial = node_backed(&n) ? serial_give(s, t) : 0;
    end = (struct node *)t->nodes.at + t->nodes.count++; /* room was reserved */
    at = at != NULL ? at : end;
    memmove(at + 1, at, (size_t)(end - at) * sizeof(*at));
    *at = n;
    return 0;
}

static int set(struct cordon_space *s, struct tree *t, const struct cordon_node *from)
{
    struct node *at = tree_find(t, from->id);

    if (at == NULL || at->kind != from->kind ||
        ((at->flags ^ from->flags) & CORDON_REGION_DEMAND) != 0) {
        return at == NULL ? -CORDON_ENOENT : -CORDON_EINVAL;
    }
    struct node n = *at;
    int err = 0;

    node_fill(&n, from);
    if (from->extents != NULL) {
        err = backing_take(s->d->ctx, from, &n);
    }
    if (err != 0) {
        return err;
    }
    err = enough(&n);
    if (err != 0) {
        if (from->extents != NULL) {
            vec_free(&n.backing.list);
        }
        return err;
    }
    if (from->extents != NULL && !begins_alike(&at->backing, &n.backing)) {
        n.serial = serial_give(s, t);
    }
    if (from->extents != NULL && at->fresh) {
        vec_free(&at->backing.list);
    }
    *at = n;
    return 0;
}

static int take(struct tree *t, uint32_t id)
{
    struct node *at = tree_find(t, id), *end = (struct node *)t->nodes.at + t->nodes.count;

    if (at == NULL) {
        return -CORDON_ENOENT;
    }
    if (at->fresh) {
        vec_free(&at->backing.list);
    }
    memmove(at, at + 1, (size_t)(end - at - 1) * sizeof(*at));
    t->nodes.count--;
    return 0;
}

int edit_do(struct cordon_space *s, struct tree *t, const struct cordon_edit *e)
{
    int err;

    if (e->node.size != sizeof(e->node) || e->reserved != 0) {
        return -CORDON_EINVAL;
    }
    switch (e->kind) {
    case CORDON_TREE_ADD:
        err = check_form(&e->node, s->d->gfn_limit);
        return err != 0 ? err : add(s, t, &e->node);
    case CORDON_TREE_SET:
        err = check_form(&e->node, s->d->gfn_limit);
        return err != 0 ? err : set(s, t, &e->node);
    case CORDON_TREE_REMOVE:
        return take(t, e->node.id);
    default:
        return -CORDON_EINVAL;
    }
}
