/*
 * The inside of a space.
 *
 * A version is a tree (nodes by id) and what was flattened from it. An update works on a copy of
 * the tree and flattens it anew; only when the map has followed does the copy take the place of
 * what stands. So going back is throwing the copy away.
 *
 * Backed pages have names of their own: each node of RAM or MMIO has a serial, and page K of it is
 * SERIAL << SERIAL_SHIFT | K, wherever it is seen. Two flattenings are compared by those names.
 * Places are page numbers, signed while they are relative: a window may begin before its target.
 */
#ifndef CORDON_SPACE_SPACE_H
#define CORDON_SPACE_SPACE_H

#include "core/bits.h"
#include "core/lock.h"
#include "frames/vec.h"
#include "map/domain.h"
#include <cordon/space.h>

#define SERIAL_SHIFT 40u
#define SERIAL_LIMIT (1u << 24)
#define NODE_PAGES_MAX BIT64(SERIAL_SHIFT)
#define PLACE_LIMIT BIT64(47) /* pages: 59 address bits */
#define HOLE_ATTR 0u          /* no region is without rights */

/* What a node of RAM or MMIO is made of; shared by the versions that have it. */
struct extents {
    struct vec list; /* of struct cordon_extent */
    uint64_t pages;
};

struct node {
    uint32_t id, kind, parent, target;
    int32_t priority;
    uint32_t perms, flags;
    bool disabled;
    bool fresh;      /* its extents were made in this update */
    uint32_t serial; /* RAM, MMIO */
    uint64_t offset, pages, target_offset;
    struct extents backing;
};

struct tree {
    struct vec nodes; /* of struct node, by id */
    struct vec order; /* of uint32_t: indices by parent, falling priority, offset */
};

/* FLAT: GPA pages; value: the name of the first page, or the id of a hole; attr: region_attr, or
 * HOLE_ATTR. SEEN: names of pages; value: where they are; attr: the node's id. */
struct flat {
    struct span_set places, seen;
};

struct cordon_space {
    uint64_t mark; /* HANDLE_SPACE */
    struct cordon_domain *d;
    struct lock lock; /* all below; taken before the domain's */
    struct tree tree;
    struct flat flat;
    uint32_t serial; /* the last one given, from 1 on */
    bool again;      /* all have been given: from now on those that nobody has are looked for */
};

static inline uint64_t page_name(const struct node *n, uint64_t page)
{
    return (uint64_t)n->serial << SERIAL_SHIFT | page;
}

static inline uint32_t name_serial(uint64_t name)
{
    return (uint32_t)(name >> SERIAL_SHIFT);
}

static inline bool node_backed(const struct node *n)
{
    return n->kind == CORDON_NODE_RAM || n->kind == CORDON_NODE_MMIO;
}

/* ---- tree.c ------------------------------------------------------------------------------- */

struct tree tree_make(struct cordon_ctx *ctx);
/* A copy that shares the extents. ENOMEM. */
CORDON_MUST_CHECK int tree_copy(const struct tree *from, uint64_t more, struct tree *to);
/* Free what KEPT does not have too. */
void tree_drop(struct tree *t, const struct tree *kept);
/* The node named ID, or null; and the first with that or a higher name. */
struct node *tree_find(const struct tree *t, uint32_t id);
struct node *tree_next(const struct tree *t, uint32_t id);
static inline uint64_t tree_index(const struct tree *t, const struct node *n)
{
    return (uint64_t)(n - (const struct node *)t->nodes.at);
}

/* ---- edit.c ------------------------------------------------------------------------------- */

/* Carry one edit out on the copy. Errors: as cordon_space_update. */
CORDON_MUST_CHECK int edit_do(struct cordon_space *s, struct tree *t, const struct cordon_edit *e);

/* ---- check.c ------------------------------------------------------------------------------ */

/* Sort, and look at what hangs together. BEFORE: the tree as it stands. */
CORDON_MUST_CHECK int tree_verify(struct tree *t, const struct tree *before);
/* The children of a node in ORDER: from *FIRST to before the result. */
uint64_t tree_children(const struct tree *t, uint32_t id, uint64_t *first);

/* ---- flatten.c ---------------------------------------------------------------------------- */

/* OUT was made empty; on an error too it is the caller's to drop. */
CORDON_MUST_CHECK int flatten(const struct tree *t, uint64_t gfn_limit, struct flat *out);
void flat_init(struct flat *f, struct cordon_ctx *ctx, uint64_t seed);
void flat_drop(struct flat *f);

/* ---- follow.c ----------------------------------------------------------------------------- */

/* Have the map follow from what stands to a new version. The domain's lock is held. */
CORDON_MUST_CHECK int follow(struct cordon_space *s, const struct tree *tree,
                             const struct flat *flat);

/* ---- space.c ------------------------------------------------------------------------------ */

/* All of an update; the space's lock is held. */
CORDON_MUST_CHECK int space_update(struct cordon_space *s, const struct cordon_edit *edits,
                                   size_t count);

#endif
