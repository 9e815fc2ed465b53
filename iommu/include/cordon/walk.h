/*
 * Tables told word by word: why an address leads where it does, and what a view holds.
 *
 * Both read what hardware reads, and trust nothing of it: a word that the layer does not write ends
 * a walk. [Priv 12.3.2, 18.5.1]
 */
#ifndef CORDON_WALK_H
#define CORDON_WALK_H

#include <cordon/map.h>

#define CORDON_WALK_STEPS 5u /* levels of the deepest format */

/* How a walk ended. */
enum cordon_walk_end {
    CORDON_WALK_LEADS = 0,   /* at a leaf that allows the access */
    CORDON_WALK_EMPTY = 1,   /* at a word that is not valid */
    CORDON_WALK_RIGHTS = 2,  /* at a leaf that does not allow the access */
    CORDON_WALK_WIDTH = 3,   /* before the root: the address is beyond the mode's width */
    CORDON_WALK_CORRUPT = 4, /* at a word that is not ours, or leads to what is no table */
};

/* One word that was read. */
struct cordon_walk_step {
    uint32_t level; /* 0: 4 KiB, 1: 2 MiB, 2: 1 GiB, 3: 512 GiB, 4: 256 TiB a word */
    uint32_t index; /* of the word in its table; at the root up to 2047 */
    cordon_hpa word;
    uint64_t value;
};

struct cordon_walk {
    uint32_t size;       /* sizeof(struct cordon_walk), set by the caller */
    uint32_t mode;       /* hgatp.MODE: 8, 9, 10 */
    cordon_hpa root;     /* first byte of the root table */
    uint32_t end;        /* enum cordon_walk_end */
    uint32_t step_count; /* words read, the root's first */
    struct cordon_walk_step step[CORDON_WALK_STEPS];
    struct cordon_hit hit; /* of the last word, if that is a leaf; else all 0 */
};

/* Walk GPA in a view (0: G-stage) for ACCESS (CORDON_READ..; 0: any leaf) and tell each word. What
 * stops a walk is an answer here, not an error. Errors: EINVAL (no such view, unknown access or
 * size). */
CORDON_API CORDON_MUST_CHECK int cordon_walk(const cordon_domain *d, uint32_t view, cordon_gpa gpa,
                                             uint32_t access, struct cordon_walk *out);

/* The first leaf of a view at or above *GPA: its first GPA goes to *GPA, and to OUT what stands
 * there. Go on at *GPA + OUT->span. Errors: EINVAL, ENOENT (none is left), ECORRUPT (a word that is
 * not ours; *GPA tells where). */
CORDON_API CORDON_MUST_CHECK int cordon_leaf_next(const cordon_domain *d, uint32_t view,
                                                  cordon_gpa *gpa, struct cordon_hit *out);

#endif
