/*
 * Flat MSI tables [IOMMU 2.1.3.6, 2.3.3]: which interrupt file each MSI page of a guest leads to.
 *
 * The domain's own table hangs at view 0, which no IOMMU knows; each device view has a copy, made
 * when the view is made and changed with it. An entry may only lead to a file that the domain
 * holds: granted, or claimed for MSIs alone. What the map takes away, the tables lose too; and what
 * it grants as interrupt files (CORDON_REGION_FILE) they lead to by themselves.
 */
#ifndef CORDON_RISCV_MSI_H
#define CORDON_RISCV_MSI_H

#include "map/domain.h"

#define MSI_BITS_MAX 12u /* files of a domain, log2 */
#define MSI_ENTRY_SHIFT 4u

/* [IOMMU 2.3.3, AIA 9.5.1] basic translate mode */
#define MSIPTE_V BIT64(0)
#define MSIPTE_M GENMASK64(2, 1)
#define MSIPTE_PPN GENMASK64(53, 10)
#define MSIPTE_M_BASIC 3u

/* A holding's GFN when the page was claimed for MSIs alone: it stands at no GPA. */
#define MSI_HOLDING BIT64(52)

static inline cordon_hpa msi_entry_file(uint64_t entry)
{
    return cordon_hpa_make(field_get(MSIPTE_PPN, entry) << CORDON_PAGE_SHIFT);
}

/* Frames of a table, as an order; 0 too when there is no window. */
unsigned msi_table_order(const struct cordon_domain *d);

/* A copy of the domain's table for a new view; HPA 0 when the domain has no window. Errors:
 * ENOMEM. */
CORDON_MUST_CHECK int msi_table_copy(struct cordon_domain *d, cordon_hpa *out);
/* HPA may be 0. No IOMMU knows the table any more. */
void msi_table_free(struct cordon_domain *d, cordon_hpa table);

/* Clear the entries that lead to files which the domain holds no more. True if there were any: what
 * IOMMUs have cached of them must go. The caller holds the domain's lock. */
bool msi_follow_map(struct cordon_domain *d);

/* Runs of interrupt files stand from GFN on, or stand there no more: entries for pages of the
 * window lead there, or, where they did, nowhere. The leaves say it already; what IOMMUs have
 * cached of the latter is the caller's to retire. */
void msi_lead(struct cordon_domain *d, uint64_t gfn, const struct cordon_extent *runs,
              uint64_t count);
void msi_unlead(struct cordon_domain *d, uint64_t gfn, const struct cordon_extent *runs,
                uint64_t count);

/* True if the domain holds the file. */
bool msi_file_held(const struct cordon_domain *d, cordon_hpa file);

#endif
