/*
 * The regions of one guest: what stands at each guest page, with which rights. The only truth.
 *
 * Neighbours with equal attributes are one region. Checks are pure; changes happen in nodes that
 * regions_reserve has set aside, and cannot fail. Page numbers are GFNs.
 */
#ifndef CORDON_MAP_REGION_H
#define CORDON_MAP_REGION_H

#include "map/span.h"
#include <cordon/map.h>

/* Nodes that one change of the map can need: the two ends of a range each cut a region. */
#define REGION_NODES_PER_OP 2u

struct regions {
    struct span_set set;
    struct span *last; /* found last by regions_at; forgotten with each change */
};

#define REGION_PERMS 0xffu /* where the rights stand in an attribute */

static inline uint32_t region_attr(uint32_t perms, uint32_t flags)
{
    return perms | flags << 8;
}

static inline uint32_t region_perms(const struct span *s)
{
    return s->attr & REGION_PERMS;
}

static inline uint32_t region_flags(const struct span *s)
{
    return s->attr >> 8;
}

/* Its memory type as leaves say it, in bits 62:61; and that of a leaf, as flags. */
static inline uint64_t region_type(uint32_t flags)
{
    return (uint64_t)(flags & CORDON_REGION_TYPES) << 53;
}

static inline uint32_t region_type_of(uint64_t leaf)
{
    return (uint32_t)(leaf >> 53) & CORDON_REGION_TYPES;
}

/* The region that holds PAGE, or null; most often it is the one that was asked for before. */
static inline const struct span *regions_at(struct regions *r, uint64_t page)
{
    if (r->last == NULL || page - r->last->first >= r->last->pages) {
        r->last = span_find(&r->set, page);
    }
    return r->last;
}

/* What stands in the region is held (frames/resource.h), not owned: MMIO, or another's frames. */
static inline bool region_held(uint32_t flags)
{
    return (flags & (CORDON_REGION_MMIO | CORDON_REGION_SHARED)) != 0;
}

/* True if every page of the range stands in a region. */
bool regions_cover(const struct regions *r, uint64_t first, uint64_t pages);

/* Commit. insert: the range was clear; BELOW and ABOVE are span_around's. remove: it was covered,
 * and INSIDE is the region that holds its first page. change, protect: the same, and of the
 * attributes those in MASK become ATTR's. */
void regions_insert(struct regions *r, uint64_t first, uint64_t pages, uint32_t attr,
                    struct span *below, struct span *above);
void regions_remove(struct regions *r, uint64_t first, uint64_t pages, struct span *inside);
void regions_change(struct regions *r, uint64_t first, uint64_t pages, uint32_t mask, uint32_t attr,
                    struct span *inside);

static inline void regions_protect(struct regions *r, uint64_t first, uint64_t pages,
                                   uint32_t perms, struct span *inside)
{
    regions_change(r, first, pages, REGION_PERMS, perms, inside);
}

#endif
