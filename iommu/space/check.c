/* What hangs together in a tree: sorted, parents and targets there, no siblings in one place. */
#include "space/space.h"

static const struct node *node_at(const struct tree *t, uint64_t place)
{
    return (const struct node *)t->nodes.at + ((const uint32_t *)t->order.at)[place];
}

/* ---- order -------------------------------------------------------------------------------- */

/* By parent, falling priority, offset. */
static bool before(const struct node *a, const struct node *b)
{
    if (a->parent != b->parent) {
        return a->parent < b->parent;
    }
    return a->priority != b->priority ? a->priority > b->priority : a->offset < b->offset;
}

/* Heap sort: what stands at PLACE goes down until it is in order; COUNT are in the heap. */
static void sift(struct tree *t, uint64_t place, uint64_t count)
{
    uint32_t *order = t->order.at;

    for (;;) {
        uint64_t child = 2 * place + 1;

        if (child >= count) {
            return;
        }
        if (child + 1 < count && before(node_at(t, child), node_at(t, child + 1))) {
            child++;
        }
        if (!before(node_at(t, place), node_at(t, child))) {
            return;
        }
        uint32_t moved = order[place];

        order[place] = order[child];
        order[child] = moved;
        place = child;
    }
}

static int sort(struct tree *t)
{
    uint64_t count = t->nodes.count;
    int err = vec_reserve(&t->order, count);
    uint32_t *order = t->order.at;

    if (err != 0) {
        return err;
    }
    t->order.count = count;
    for (uint64_t i = 0; i < count; i++) {
        order[i] = (uint32_t)i;
    }
    for (uint64_t i = count / 2; i > 0; i--) {
        sift(t, i - 1, count);
    }
    for (uint64_t end = count; end > 1; end--) {
        uint32_t last = order[end - 1];

        order[end - 1] = order[0];
        order[0] = last;
        sift(t, 0, end - 1);
    }
    return 0;
}

uint64_t tree_children(const struct tree *t, uint32_t id, uint64_t *first)
{
    uint64_t low = 0, high = t->order.count, end;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (node_at(t, middle)->parent < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *first = low;
    for (end = low; end < t->order.count && node_at(t, end)->parent == id; end++) {
    }
    return end;
}

/* ---- checks ------------------------------------------------------------------------------- */

static int missing(const struct tree *before_it, uint32_t id)
{
    return tree_find(before_it, id) != NULL ? -CORDON_EBUSY : -CORDON_ENOENT;
}

/* Its parents up to the top: there, containers, and not too many. */
static int check_parents(const struct tree *t, const struct tree *before_it, const struct node *n)
{
    uint32_t first = n->id;

    for (unsigned depth = 0; depth < CORDON_MAX_DEPTH; depth++) {
        if (n->parent == CORDON_NODE_ROOT || n->parent == CORDON_NODE_NOWHERE) {
            return 0;
        }
        const struct node *parent = tree_find(t, n->parent);

        if (parent == NULL) {
            return missing(before_it, n->parent);
        }
        if (parent->kind != CORDON_NODE_CONTAINER || parent->id == first) {
            return -CORDON_EINVAL;
        }
        n = parent;
    }
    return -CORDON_ELIMIT;
}

static int check_node(const struct tree *t, const struct tree *before_it, const struct node *n)
{
    if (n->kind == CORDON_NODE_ALIAS && tree_find(t, n->target) == NULL) {
        return missing(before_it, n->target);
    }
    return check_parents(t, before_it, n);
}

/* Neighbours in ORDER with one parent and priority: the second begins behind the first. Those who
 * are disabled do not count. */
static int check_siblings(const struct tree *t)
{
    const struct node *last = NULL;

    for (uint64_t i = 0; i < t->order.count; i++) {
        const struct node *n = node_at(t, i);

        if (n->disabled || n->parent == CORDON_NODE_NOWHERE) {
            continue;
        }
        if (last != NULL && last->parent == n->parent && last->priority == n->priority &&
            n->offset - last->offset < last->pages) {
            return -CORDON_EEXIST;
        }
        last = n;
    }
    return 0;
}

int tree_verify(struct tree *t, const struct tree *before_it)
{
    int err = sort(t);

    for (uint64_t i = 0; i < t->nodes.count && err == 0; i++) {
        err = check_node(t, before_it, (const struct node *)t->nodes.at + i);
    }
    return err == 0 ? check_siblings(t) : err;
}
