/*
 * The device directory [IOMMU 2.1]: one, two or three levels, base and extended contexts.
 *
 *   ddtp -> root (levels - 1) -> ... -> leaf page of 128 base or 64 extended device contexts
 *
 * Directory pages come with the first device that needs them and stay until the IOMMU is removed. A
 * context becomes valid with its last word stored, and invalid with the first.
 */
#ifndef CORDON_RISCV_DDT_H
#define CORDON_RISCV_DDT_H

#include "core/bits.h"

struct cordon_iommu;

#define DDT_MAX_LEVELS 3u
#define DDT_DEVICE_ID_BITS 24u

/* [IOMMU 2.1.1] non-leaf entry */
#define DDTE_V BIT64(0)
#define DDTE_PPN GENMASK64(53, 10)

/* [IOMMU 2.1.2] device context: words of 64 bits, the last four only in the extended format */
enum dc_word {
    DC_TC = 0,
    DC_IOHGATP = 1,
    DC_TA = 2,
    DC_FSC = 3,
    DC_MSIPTP = 4,
    DC_MSI_ADDR_MASK = 5,
    DC_MSI_ADDR_PATTERN = 6,
    DC_RESERVED = 7,
    DC_WORDS = 8
};
#define DC_WORDS_BASE 4u

/* [IOMMU 2.1.3] */
#define DC_TC_V BIT64(0)
#define DC_TC_DTF BIT64(4)
#define DC_TC_GADE BIT64(7)
#define DC_IOHGATP_PPN GENMASK64(43, 0)
#define DC_IOHGATP_GSCID GENMASK64(59, 44)
#define DC_IOHGATP_MODE GENMASK64(63, 60)
#define DC_MSIPTP_PPN GENMASK64(43, 0)
#define DC_MSIPTP_MODE GENMASK64(63, 60)
#define DC_MSI_ADDR GENMASK64(51, 0)

#define MSIPTP_MODE_FLAT 1u

#define DC_ROOT_ORDER 2u /* second-stage roots are 16 KiB and aligned so */

struct dc {
    uint64_t word[DC_WORDS];
};

/* What a context leads to. */
struct dc_target {
    uint8_t mode; /* iohgatp.MODE: 8, 9, 10 */
    uint16_t gscid;
    bool marks; /* the IOMMU sets A and D of second-stage leaves */
    bool quiet; /* faults of translations are not reported */
    cordon_hpa root;
    cordon_hpa msi_table; /* 0: none */
    uint64_t msi_mask;    /* page-number bits that select a file */
    cordon_gpa msi_base;
};

struct ddt {
    cordon_hpa root;
    uint64_t ddtp; /* what the register must read while the IOMMU is open */
};

/* A valid context, every field named. */
struct dc dc_make(const struct dc_target *t);

/* Levels needed for DEVICE_ID; 0: more than there can be. */
uint32_t ddt_levels_for(bool extended, uint32_t device_id);

/* Allocate the root. Errors: ENOMEM, ENOTSUP (the IOMMU cannot reach it). */
CORDON_MUST_CHECK int ddt_alloc(struct cordon_iommu *iommu);
/* Free every table. Only once the hardware does not use them any more. */
void ddt_free(struct cordon_iommu *iommu);

/* Set ddtp, from Off, to the directory, with the fewest levels that cover max_device_id and that
 * the IOMMU has. Errors: ETIMEOUT, ENOTSUP (no such mode; it is Off then), EHW. */
CORDON_MUST_CHECK int ddt_enable(struct cordon_iommu *iommu);
/* Set ddtp to Off. Errors: ETIMEOUT, EHW. */
CORDON_MUST_CHECK int ddt_disable(const struct cordon_iommu *iommu);

/* Have every table on the way to a context. Takes the lock itself. Errors: ENOMEM, ENOTSUP. */
CORDON_MUST_CHECK int ddt_prepare(struct cordon_iommu *iommu, uint32_t device_id);

/* Make an invalid context valid; its tables stand. The caller holds the lock. */
void ddt_publish(struct cordon_iommu *iommu, uint32_t device_id, const struct dc *dc);
/* Make a context invalid. What the IOMMU has cached of it lives on until it is told. */
void ddt_withdraw(struct cordon_iommu *iommu, uint32_t device_id);
/* Clear the words of a withdrawn context, once the IOMMU has forgotten it. */
void ddt_clear(struct cordon_iommu *iommu, uint32_t device_id);

/* Read a context as the hardware would; base ones with the last four words 0. False: no table
 * there. */
bool ddt_read(const struct cordon_iommu *iommu, uint32_t device_id, struct dc *out);

#endif
