/*
 * Page tables of one domain: a forest of views over the same GPA space, with shared subtrees.
 *
 * Formats are data (struct pt_fmt); one walker and one builder serve all. Every view has its own
 * root (16 KiB for the x4 formats [Priv 18.5]); a table below a root that says the same in several
 * views is the same frame in each, with a count of parents in its ownership word. A change for some
 * of its sharers only first unshares: an identical copy takes the non-leaf's place for those views.
 *
 * Level 0 is the leaf level (4 KiB); levels count up. Levels 0, 1 and 2 may hold leaves.
 *
 * Check / reserve / commit: pt_reserve allocates whatever the worst case of one change needs, and
 * is undoable; pt_map, pt_unmap and pt_protect take from that reserve and cannot fail. Tables that
 * fall out of use are collected in struct pt_retire and freed by pt_retire_free once the caller has
 * proof that no hart and no IOMMU still holds them.
 *
 * A transaction reserves for all its changes, then commits those that map, then those that change
 * rights, and last those that unmap; their ranges do not overlap. In that order no change takes
 * away a table that another one counted on. Inside a change, what a new table holds is fenced
 * before the word that makes it reachable; behind its last one, the caller fences once.
 *
 * In a table's ownership word stand its parent words (FW_TABLE_REFS; 0 for a root) and its valid
 * entries (FW_TABLE_VALID). A root of the x4 formats is four frames; the first one's word counts.
 */
#ifndef CORDON_PT_PT_H
#define CORDON_PT_PT_H

#include "core/bits.h"
#include <cordon/map.h>

/* PTE bits [Priv 12.3.1, 18.5; the IOMMU's second stage is the same]. */
#define PTE_V BIT64(0)
#define PTE_R BIT64(1)
#define PTE_W BIT64(2)
#define PTE_X BIT64(3)
#define PTE_U BIT64(4)
#define PTE_G BIT64(5)
#define PTE_A BIT64(6)
#define PTE_D BIT64(7)
#define PTE_PPN GENMASK64(53, 10)
#define PTE_PBMT GENMASK64(62, 61) /* memory type [Priv Svpbmt]: 0, NC, IO, reserved */
#define PTE_N BIT64(63)            /* [Priv Svnapot] */

struct pt_fmt {
    const char *name;     /* "Sv39x4" */
    uint8_t levels;       /* 3, 4, 5 */
    uint8_t root_bits;    /* index bits of the root: 11 for x4, 9 else */
    uint8_t root_shift;   /* address bits below the root's index: 30, 39, 48 */
    uint8_t address_bits; /* 41, 50, 59; 39, 48, 57 */
    uint8_t mode;         /* hgatp.MODE = iohgatp.MODE = satp.MODE number: 8, 9, 10 */
    uint32_t mode_bit;    /* CORDON_MODE_*, 0 for first-stage formats */
    uint64_t leaf_bits;   /* set in every leaf: V A D, and U for the second stage */
    bool sign_extended;   /* first stage: bits above must equal the top bit */
    uint64_t page_bits; /* what the address of a page may have set; first stage: in the low half */
};

extern const struct pt_fmt pt_sv39x4, pt_sv48x4, pt_sv57x4, pt_sv39, pt_sv48, pt_sv57;

/* The smallest second-stage format among MODES that covers [0, LIMIT), or null. */
const struct pt_fmt *pt_fmt_choose(uint32_t modes, uint64_t limit);

struct pt_forest {
    struct cordon_ctx *ctx;
    const struct pt_fmt *fmt;
    uint32_t views; /* bit v: view v exists */
    uint32_t typed; /* of these, whose leaves say memory types: those that Svpbmt walks */
    bool napot;     /* whatever walks its views has Svnapot: see napot.h */
    cordon_hpa root[CORDON_MAX_VIEWS];
    /* The leaf table that was met last, if all views share it. Forgotten when a view comes, and
     * before any change that may take a table away or unshare one. (A view that goes, or is
     * filled by a link, leaves a table that all views share to all that are left.) */
    uint64_t ready_at; /* a linear address in its range; PT_NOWHERE: there is none */
    uint64_t *ready;
    uint64_t *ready_own; /* its ownership word */
};

#define PT_NOWHERE BIT64(63) /* neither linear nor sign-extended */

/* One leaf or run of leaves to write: PAGES 4 KiB pages from GPA, backed from HPA, contiguous. */
struct pt_run {
    cordon_gpa gpa;
    cordon_hpa hpa;
    uint64_t pages;
    uint32_t perms; /* CORDON_READ.. */
    uint32_t views; /* bit mask: at least one, and all exist */
};

/* The same, backed by extents in order: whole pages, page-aligned, none empty. Neighbours that
 * happen to be contiguous count as one run, and get the leaves of one. */
struct pt_grant {
    cordon_gpa gpa;
    const struct cordon_extent *extents;
    uint64_t count;
    uint32_t perms;
    uint32_t views;
    uint64_t type; /* PTE_PBMT of the leaves in typed views */
};

/* Frames set aside for one transaction on one forest. Zeroed before its first use. */
struct pt_pool {
    cordon_hpa first; /* chain of zeroed TABLE frames; link in word 0 */
    uint64_t count;
    /* Where the last map that was reserved for ends: a next one beside it counts on the same
     * tables. */
    uint64_t map_last;
    uint32_t map_views;
};

/* What a change took away, for the caller to retire. Zeroed before its first use. Dead tables keep
 * their words until they are freed, for walkers that are still on the way; they are chained through
 * their ownership words. */
struct pt_retire {
    cordon_hpa tables; /* first of the chain */
    uint64_t count;    /* tables in it */
    bool nonleaf;   /* a non-leaf word changed: caches of non-leaves must go too (AV=0), for a map
                          too: hardware could go on using the table from before it was unshared */
    bool downgrade; /* a valid translation changed or went */
};

/* ENOMEM. */
CORDON_MUST_CHECK int pt_forest_init(struct pt_forest *f, struct cordon_ctx *ctx,
                                     const struct pt_fmt *fmt); /* with view 0 */
/* Free every table of every view. Nothing may use them any more. */
void pt_forest_free(struct pt_forest *f);

/* An empty view. pt_view_link then fills it from another. ELIMIT, EEXIST, ENOMEM. */
CORDON_MUST_CHECK int pt_view_add(struct pt_forest *f, uint32_t view);
/* Put every table of the view that nobody shares on RETIRE, its root included; the view is gone. */
void pt_view_remove(struct pt_forest *f, uint32_t view, struct pt_retire *retire);
/* Make TO hold in [gpa, gpa+len) exactly what FROM holds there, sharing every table that lies
 * wholly inside. TO holds nothing there before, and no hardware walks it yet. len 0 means: to
 * the end of the address space. ENOMEM, EALIGN, ERANGE: nothing has changed. */
CORDON_MUST_CHECK int pt_view_link(struct pt_forest *f, uint32_t from, uint32_t to, cordon_gpa gpa,
                                   uint64_t len);

/* Add to POOL the worst case of writing RUN or GRANT (pt_map), or of clearing or changing it
 * (splits, unsharing). ENOMEM, EALIGN, ERANGE (beyond the format's width, or HPA beyond 56
 * bits), EINVAL (rights that no leaf can say): POOL is as it was. */
CORDON_MUST_CHECK int pt_reserve_map(struct pt_forest *f, const struct pt_run *run,
                                     struct pt_pool *pool);
CORDON_MUST_CHECK int pt_reserve_grant(struct pt_forest *f, const struct pt_grant *grant,
                                       struct pt_pool *pool);
CORDON_MUST_CHECK int pt_reserve_change(struct pt_forest *f, cordon_gpa gpa, uint64_t pages,
                                        uint32_t views, struct pt_pool *pool);
/* What pt_reserve_map would add for RUN, which is in range, to a pool that has none. */
uint64_t pt_map_needs(struct pt_forest *f, const struct pt_run *run);
/* What it could at most ever be for one view, for leaves of 4 KiB, whatever stands there. */
uint64_t pt_map_most(const struct pt_forest *f, cordon_gpa gpa, uint64_t pages);
/* Add TABLES; take all but MOST out again. ENOMEM, POOL is as it was. */
CORDON_MUST_CHECK int pt_pool_grow(struct pt_forest *f, struct pt_pool *pool, uint64_t tables);
void pt_pool_trim(struct pt_forest *f, struct pt_pool *pool, uint64_t most);
void pt_pool_free(struct pt_forest *f, struct pt_pool *pool);

/* Write leaves, largest first. The range holds no valid leaf in these views. Contents of new
 * tables are complete and fenced before the word that makes them reachable. */
void pt_map(struct pt_forest *f, const struct pt_run *run, struct pt_pool *pool,
            struct pt_retire *retire);
void pt_map_grant(struct pt_forest *f, const struct pt_grant *grant, struct pt_pool *pool,
                  struct pt_retire *retire);
/* Clear leaves of a range in these views; a superpage that sticks out is split without a moment in
 * which a translation outside the range is gone. Tables that become empty go to RETIRE. */
void pt_unmap(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
              struct pt_pool *pool, struct pt_retire *retire);
/* Whatever leaf of these views holds GPA is at most of LEVEL afterwards (0: 4 KiB); what it says
 * stays. The reserve is pt_reserve_change's, of a range as large as a leaf of LEVEL. */
void pt_split(struct pt_forest *f, cordon_gpa gpa, unsigned level, uint32_t views,
              struct pt_pool *pool, struct pt_retire *retire);
/* Change the rights of every leaf in the range. */
void pt_protect(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t perms, uint32_t views,
                struct pt_pool *pool, struct pt_retire *retire);
/* Take the memory type from every leaf in the range. */
void pt_untype(struct pt_forest *f, cordon_gpa gpa, uint64_t pages, uint32_t views,
               struct pt_pool *pool, struct pt_retire *retire);
/* Give back what RETIRE collected; what is no root goes into POOL first, until it holds MOST. */
void pt_retire_free(struct pt_forest *f, struct pt_retire *retire);
void pt_retire_keep(struct pt_forest *f, struct pt_retire *retire, struct pt_pool *pool,
                    uint64_t most);

struct pt_hit {
    cordon_hpa word; /* HPA of the last word read */
    uint64_t pte;    /* its value; of a 64 KiB leaf, what it says of the page [Priv Svnapot] */
    uint32_t level;
    bool leaf; /* else the walk stopped at an invalid word of LEVEL */
};

/* Walk as the hardware does. ERANGE beyond the address width, ECORRUPT for a word no builder of
 * ours writes (then HIT names it), else 0. */
CORDON_MUST_CHECK int pt_lookup(const struct pt_forest *f, uint32_t view, cordon_gpa gpa,
                                struct pt_hit *hit);
/* The first leaf at or above *GPA in a view: *GPA becomes the leaf's start. ENOENT at the end;
 * ECORRUPT. */
CORDON_MUST_CHECK int pt_next_leaf(const struct pt_forest *f, uint32_t view, cordon_gpa *gpa,
                                   struct pt_hit *hit);
/* Call FN for each table reachable in a view, once a path, parents first; stops at nonzero and
 * returns it, or ECORRUPT at a word that leads to no table. A root is told once, by its first
 * frame. */
int pt_each_table(const struct pt_forest *f, uint32_t view,
                  int (*fn)(void *arg, cordon_hpa table, uint32_t level), void *arg);

#endif
