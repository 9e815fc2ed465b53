/* The inside of a domain: regions, forest of views, and what each view is to the IOMMUs. */
#ifndef CORDON_MAP_DOMAIN_H
#define CORDON_MAP_DOMAIN_H

#include "core/lock.h"
#include "harts/vmid.h"
#include "map/region.h"
#include "pt/pt.h"
#include <cordon/device.h>
#include <cordon/move.h>

/* A device view. The G-stage (view 0) has no GSCID; devices that share a view share all of this. */
struct domain_view {
    uint16_t gscid;
    uint32_t devices;     /* attached through this view */
    cordon_hpa msi_table; /* flat MSI table, 0: none */
    bool marks;           /* all its devices' writes are told by D: see log/log.h */
};

struct msi_window {
    bool set;
    cordon_gpa base;
    uint64_t mask; /* page-number bits that select a file */
    unsigned bits; /* how many */
};

struct cordon_domain {
    uint64_t mark; /* HANDLE_DOMAIN */
    struct cordon_ctx *ctx;
    struct cordon_domain *next;
    uint32_t number;
    struct domain_vmid run;
    struct lock lock; /* all below; taken before the frames lock */
    struct regions regions;
    struct pt_forest forest;
    struct domain_view view[CORDON_MAX_VIEWS];
    struct msi_window msi;
    struct cordon_device *devices; /* attached, or detached and still undrained */
    uint64_t gfn_limit;            /* first guest page that the map never holds */
    uint32_t changes;              /* so far, for stamps on blocks that are split */
    struct pt_retire dead;         /* tables that hardware may still read */
    uint32_t holds;                /* who reaches its frames at addresses of the host */
    uint32_t movers;               /* who waits for the end of that */
    bool log_unsure;               /* an IOMMU may still use what it was told to forget */
    struct pt_pool spare;          /* tables that are promised: touch/promise.h */
    uint64_t spare_most;           /* how many may ever be needed */
    uint64_t promised, owed;       /* absent pages of PROMISED regions: frames for these are kept,
                                      or are still on their way to be free */
    bool lends;                    /* others may borrow frames of it: see frames/loan.h */
    bool pending;                /* frames are REVOKING, or a context or MSI entry is unconfirmed */
    struct listening *listeners; /* map/tell.h, the first added first */
    uint32_t listener_ids;       /* given so far */
    uint32_t spaces;             /* that lead changes of it: space/space.h */
    struct cordon_moves moved;   /* so far */
};

/* True if device views hold a region with these flags. */
bool domain_devised(uint32_t region_flags);

/* The views that hold a region with these flags, among those that exist. */
uint32_t domain_views_for(const struct cordon_domain *d, uint32_t region_flags);

/* Add a device view and fill it from the map, sharing what both views hold; or drop one. TYPED:
 * with leaves that say memory types. The caller holds the lock. view_add: ELIMIT, ENOMEM, EBUSY (a
 * page that the view would hold is absent). The driver sets gscid and msi_table itself. */
CORDON_MUST_CHECK int domain_view_add(struct cordon_domain *d, uint32_t *view);
CORDON_MUST_CHECK int domain_view_add_typed(struct cordon_domain *d, uint32_t *view);
void domain_view_remove(struct cordon_domain *d, uint32_t view);

/* True if a page of the range is an MSI target of the domain. */
bool domain_msi_touches(const struct cordon_domain *d, uint64_t gfn, uint64_t pages);

/* The domain of this number, with its lock held, or null. It stays while the lock is held. */
struct cordon_domain *domain_lock(struct cordon_ctx *ctx, uint32_t number);

/* The region that holds or is nearest to GPA, for fault reports. False when the map is empty. Takes
 * the domain's lock. */
bool domain_nearest(struct cordon_domain *d, uint64_t gpa, struct cordon_region_info *out,
                    bool *after, uint64_t *gap);

#endif
