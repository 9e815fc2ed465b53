/*
 * Logged regions: what their views' leaves are like, and what becomes of that when logging begins
 * and ends, and when devices come and go. The caller holds the domain's lock, always.
 *
 * A view marks if every device behind it does: its IOMMU sets A and D (AMO_HWAD, and so tc.GADE in
 * its context), and IOFENCE ends its DMA. Then D in that view tells all that they wrote. In a view
 * that does not mark, A and D are preset, and its devices' writes are unknown.
 */
#ifndef CORDON_LOG_LOG_H
#define CORDON_LOG_LOG_H

#include "map/domain.h"

struct cordon_device;

/* Logging begins: D is clear in all leaves of a range of one region with these flags (LOG or not
 * yet), in every view that is logged. Errors: ENOMEM, EBUSY (lent for writing). */
CORDON_MUST_CHECK int log_reserve(struct cordon_domain *d, uint64_t gfn, uint64_t pages,
                                  uint32_t flags, struct pt_pool *pool);
void log_start(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
               struct pt_pool *pool, struct pt_retire *retire);
/* It ends: A and D are preset again. */
void log_stop(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
              struct pt_retire *retire);
/* New leaves came to a logged range, of any size: all is dirty there. They become small ones, if
 * there is memory; else they stay dirty. Errors: EPENDING. */
CORDON_MUST_CHECK int log_settle(struct cordon_domain *d, uint64_t gfn, uint64_t pages,
                                 uint32_t flags);

/* A hart without Svadu faulted at a present page: A, and for a write D, are set in the G-stage.
 * False if they were already. */
bool log_note(struct cordon_domain *d, uint64_t gpa, uint32_t access);

/* Would this device's writes all be marked? */
bool log_device_marks(const struct cordon_device *dev);
/* A view was filled from the map, and no hardware knows it yet: it gets tables of its own over
 * logged regions, with A and D preset. Errors: ENOMEM; the view may have some then. */
CORDON_MUST_CHECK int log_view_fill(struct cordon_domain *d, uint32_t view);
/* The first device of a view comes, and marks. */
void log_view_trust(struct cordon_domain *d, uint32_t view);
/* A device that does not mark comes to a view that does. */
void log_view_blind(struct cordon_domain *d, uint32_t view);
/* A view is about to go: what it knows, the G-stage is told. */
void log_view_fold(struct cordon_domain *d, uint32_t view);
/* A device that translates ahead has ended its DMA, some of it perhaps just now. */
void log_device_quiet(struct cordon_domain *d);

/* May a device write, or have written, what no view tells? */
bool log_blind(const struct cordon_domain *d);

#endif
