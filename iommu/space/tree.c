/* The nodes of a tree, by id. */
#include "space/space.h"

#include <string.h>

static struct node *node_at(const struct tree *t, uint64_t i)
{
    return (struct node *)t->nodes.at + i;
}

struct tree tree_make(struct cordon_ctx *ctx)
{
    return (struct tree){.nodes = vec_make(ctx, sizeof(struct node)),
                         .order = vec_make(ctx, sizeof(uint32_t))};
}

int tree_copy(const struct tree *from, uint64_t more, struct tree *to)
{
    uint64_t count = from->nodes.count;

    *to = tree_make(from->nodes.ctx);
    if (vec_reserve(&to->nodes, count + more + 1) != 0) {
        return -CORDON_ENOMEM;
    }
    if (count != 0) {
        memcpy(to->nodes.at, from->nodes.at, count * sizeof(struct node));
    }
    to->nodes.count = count;
    for (uint64_t i = 0; i < count; i++) {
        node_at(to, i)->fresh = false;
    }
    return 0;
}

void tree_drop(struct tree *t, const struct tree *kept)
{
    for (uint64_t i = 0; i < t->nodes.count; i++) {
        struct node *n = node_at(t, i);
        const struct node *same = kept != NULL ? tree_find(kept, n->id) : NULL;

        if (same == NULL || same->backing.list.at != n->backing.list.at) {
            vec_free(&n->backing.list);
        }
    }
    vec_free(&t->nodes);
    vec_free(&t->order);
}

struct node *tree_next(const struct tree *t, uint32_t id)
{
    uint64_t low = 0, high = t->nodes.count;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (node_at(t, middle)->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->nodes.count ? node_at(t, low) : NULL;
}

struct node *tree_find(const struct tree *t, uint32_t id)
{
    struct node *n = tree_next(t, id);

    return n != NULL && n->id == id ? n : NULL;
}
