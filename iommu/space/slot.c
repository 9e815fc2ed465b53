/* Slots: numbered nodes of RAM at the top of the tree. */
#include "core/ctx.h"
#include "space/space.h"

static int check(const struct cordon_slot *slot)
{
    bool named = slot->id < CORDON_NODE_SLOT - 1;

    return slot->size == sizeof(*slot) && slot->reserved == 0 && named &&
                   (slot->hva == NULL || slot->extents == NULL) &&
                   (slot->extents == NULL) == (slot->extent_count == 0) &&
                   (slot->flags & CORDON_REGION_MMIO) == 0
               ? 0
               : -CORDON_EINVAL;
}

/* The one edit that a slot is. ONE is where its extent lies when it comes as a pointer. */
static struct cordon_edit edit_of(const struct cordon_space *s, const struct cordon_slot *slot,
                                  struct cordon_extent *one)
{
    uint32_t id = CORDON_NODE_SLOT | slot->id;
    bool there = tree_find(&s->tree, id) != NULL;
    struct cordon_edit e = {
        .kind = slot->len == 0 ? CORDON_TREE_REMOVE
                : there        ? CORDON_TREE_SET
                               : CORDON_TREE_ADD,
        .node = {.size = sizeof(e.node),
                 .id = id,
                 .kind = CORDON_NODE_RAM,
                 .offset = slot->gpa.v,
                 .len = slot->len,
                 .perms = (slot->flags & CORDON_SLOT_READONLY) != 0 ? CORDON_READ | CORDON_EXEC
                                                                    : CORDON_RWX,
                 .flags = slot->flags & ~CORDON_SLOT_READONLY,
                 .extents = slot->extents,
                 .extent_count = slot->extent_count},
    };

    if (slot->hva != NULL) {
        one->hpa = cordon_hpa_make((uint64_t)(uintptr_t)slot->hva - s->d->ctx->ram_offset);
        one->len = slot->len;
        e.node.extents = one;
        e.node.extent_count = 1;
    }
    return e;
}

static int slot_set(struct cordon_space *s, const struct cordon_slot *slot)
{
    struct cordon_extent one;
    struct cordon_edit e = edit_of(s, slot, &one);

    if (e.kind == CORDON_TREE_ADD && e.node.extents == NULL &&
        (slot->flags & CORDON_REGION_DEMAND) == 0) {
        return -CORDON_ENOENT;
    }
    return space_update(s, &e, 1);
}

int cordon_slot_set(cordon_space *s, const struct cordon_slot *slot)
{
    if (s == NULL || slot == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    int err = check(slot);

    if (err != 0) {
        return err;
    }
    lock_take(&s->lock);
    err = slot_set(s, slot);
    lock_give(&s->lock);
    return err;
}

int cordon_slot_harvest(cordon_space *s, uint32_t id, const struct cordon_harvest *what,
                        struct cordon_harvested *out)
{
    if (s == NULL || what == NULL || what->gpa.v != 0 || id >= CORDON_NODE_SLOT - 1) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(s, HANDLE_SPACE)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&s->lock);
    const struct node *n = tree_find(&s->tree, CORDON_NODE_SLOT | id);
    int err = n != NULL ? 0 : -CORDON_ENOENT;

    if (err == 0 && what->len != n->pages << CORDON_PAGE_SHIFT) {
        err = -CORDON_EINVAL;
    }
    if (err == 0) {
        struct cordon_harvest here = *what;

        here.gpa = cordon_gpa_make(n->offset << CORDON_PAGE_SHIFT);
        err = cordon_log_harvest(s->d, &here, out);
    }
    lock_give(&s->lock);
    return err;
}
