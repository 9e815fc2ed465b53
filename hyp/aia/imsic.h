/*
 * The incoming MSI controller of each hart [AIA 3]: our own interrupt file, by which harts wake
 * each other, and the files for guests.
 */
#ifndef HYP_AIA_IMSIC_H
#define HYP_AIA_IMSIC_H

#include <cordon/types.h>

struct hart;

/* Our own file on this hart: delivery on, one identity enabled. Errors: ENOTSUP (no IMSIC here). */
CORDON_MUST_CHECK int imsic_init_here(struct hart *hart);

/* Make HART look at what is asked of it: a store to its file. Any hart. */
void imsic_kick(const struct hart *hart);

/* Take all that is pending in our own file on this hart. */
void imsic_claim(void);

/* A free guest file of HART, 1 and up. Errors: ELIMIT (all are taken). Any hart. */
CORDON_MUST_CHECK int imsic_file_alloc(struct hart *hart, uint32_t *number);
void imsic_file_free(struct hart *hart, uint32_t number);

/* The page of a guest file, to be mapped into its guest. */
cordon_hpa imsic_file_hpa(const struct hart *hart, uint32_t number);

/* Forget everything in a guest file of this hart: delivery off, nothing enabled, nothing pending
 * (INV 2). Only while no guest runs here. */
void imsic_file_clear_here(uint32_t number);

#endif
