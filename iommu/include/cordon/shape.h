/*
 * What the tables of a view cost, and how long walks through them are.
 *
 * A hart reads one word of the G-stage a level, for each address that its own tables give it: K
 * levels of a guest's tables over G words here are K * (G + 1) + G reads for one TLB fill.
 * [Priv 12.3.2, 18.5.1]
 */
#ifndef CORDON_SHAPE_H
#define CORDON_SHAPE_H

#include <cordon/map.h>

#define CORDON_SHAPE_LEVELS 5u /* of the deepest format */

/* What a view's tables are made of. Arrays are by level, 0 being the one of 4 KiB leaves. */
struct cordon_shape {
    uint32_t size;   /* sizeof(struct cordon_shape), set by the caller */
    uint32_t mode;   /* hgatp.MODE: 8, 9, 10 */
    uint32_t levels; /* 3, 4, 5: words that the longest walk reads */
    uint32_t reserved;
    uint64_t tables[CORDON_SHAPE_LEVELS]; /* the root is one, of 16 KiB; others have 4 KiB */
    uint64_t shared[CORDON_SHAPE_LEVELS]; /* of these, what other views of the domain hold too */
    uint64_t leaves[CORDON_SHAPE_LEVELS]; /* at level 0 those of 4 KiB */
    uint64_t napot;       /* leaves of 64 KiB, each of 16 words of level 0 [Priv Svnapot] */
    uint64_t table_bytes; /* of all tables, shared ones in full */
    uint64_t mapped;      /* bytes that the leaves lead to */
    uint64_t flat_bytes;  /* what one table of 8 bytes a page would take, from GPA 0 to the end of
                             the map */
};

/* The shape of a view (0: G-stage) as it is now. Of a table of 4 KiB leaves it reads nothing, or a
 * word for each 64 KiB: linear in tables, with the domain's lock held. Errors: EINVAL (no such
 * view, another size), EHANDLE, ECORRUPT (a word leads to no table). */
CORDON_API CORDON_MUST_CHECK int cordon_shape(const cordon_domain *d, uint32_t view,
                                              struct cordon_shape *out);

#endif
