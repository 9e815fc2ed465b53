/* What the parts of the audit share. */
#ifndef CORDON_AUDIT_AUDIT_H
#define CORDON_AUDIT_AUDIT_H

#include "core/ctx.h"

/* Numbers of docs/architecture.md. */
enum audit_invariant {
    AUDIT_LEAF = 1,   /* leaves say what the map says */
    AUDIT_OWNER = 2,  /* one owner, one domain */
    AUDIT_HIDDEN = 3, /* what nobody may reach */
    AUDIT_FREE = 4    /* free frames, and what would become free too early */
};

struct audit {
    struct cordon_ctx *ctx;
    struct cordon_finding *first;
    uint64_t frames;    /* pages of RAM seen in G-stages */
    uint64_t promised;  /* pages to all domains */
    uint64_t resources; /* pages of MMIO, and of borrowed frames, seen in G-stages */
};

/* Where something was found; the rest of a finding. */
struct audit_place {
    uint32_t domain, view, level;
    cordon_hpa word;
    uint64_t value;
    cordon_gpa gpa;
    cordon_hpa hpa;
};

/* Fill the finding in. Returns -ECORRUPT. */
int audit_fail(const struct audit *a, enum audit_invariant invariant, const struct audit_place *at,
               const char *text);

/* One view of a domain: each table and each leaf of it, and that no leaf is missing. */
CORDON_MUST_CHECK int audit_view(struct audit *a, const struct cordon_domain *d, uint32_t view);

/* A leaf's frames or resources are the domain's, at this GPA. */
CORDON_MUST_CHECK int audit_backing(struct audit *a, const struct cordon_domain *d,
                                    const struct span *region, const struct audit_place *at,
                                    uint64_t pages);

/* Words of all frames, free lists, counts. The caller holds no lock of the pool. */
CORDON_MUST_CHECK int audit_frames(struct audit *a);
/* Everything that is OWNED was seen where it says it stands. */
CORDON_MUST_CHECK int audit_owned(struct audit *a);

/* VMIDs, and who is told of changes. */
CORDON_MUST_CHECK int audit_vmids(const struct audit *a);

/* The leaf that a view has for a page: read literally. False: none. */
struct audit_leaf {
    uint64_t pte; /* of 64 KiB: as a leaf of 4 KiB would say it of this page */
    uint32_t level;
    cordon_hpa word;
};
bool audit_lookup(const struct cordon_domain *d, uint32_t view, uint64_t gfn,
                  struct audit_leaf *out);

#endif
