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
/* New leaves came to a range, of any size: if it is logged, they become small ones, all dirty, in
 * every view that is logged. POOL has as many tables for it as all leaves of 4 KiB of the range
 * could want, times log_views. */
void log_came(struct cordon_domain *d, uint64_t gfn, uint64_t pages, uint32_t flags,
              struct pt_pool *pool);
/* How many views are logged of a region with these flags. */
unsigned log_views(const struct cordon_domain *d, uint32_t flags);
/* Rights to write are about to go from a range: what devices may have written of it, and no view
 * tells, is dirty where it is logged. */
void log_till_now(struct cordon_domain *d, uint64_t gfn, uint64_t pages);

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

/* May a device write, or have written, what no view tells? The rights of which a page has to have
 * one to be in question: to write; or, where a right that went may still be used, any. */
uint32_t log_blind(const struct cordon_domain *d);

#endif
