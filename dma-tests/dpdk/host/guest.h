/*
 * A guest in this process, and the DPDK of its user space: memory that a Cordon map scatters over
 * the machine's RAM, seen in the guest's order, and given to DPDK as heaps whose IOVA table comes
 * from that map.
 *
 * IOVAs are guest physical addresses; in the control they are host physical ones, as for DPDK on a
 * machine without an IOMMU.
 */
#ifndef GUEST_H
#define GUEST_H

#include "machine.h"

struct argp;
struct rte_mempool;

/* A run of the guest's memory, and a heap of DPDK over it. */
struct area {
    uint64_t gpa, len;
    uint64_t page;    /* of the frames, and of the heap: what is contiguous for a device */
    uint32_t perms;   /* CORDON_READ.. */
    uint32_t flags;   /* CORDON_REGION_* */
    const char *heap; /* its name for DPDK */
    uint8_t *va;      /* where the guest's user space sees it, a multiple of 4 MiB */
    uint64_t *iova;   /* of each page at VA */
    int socket;       /* DPDK's number of the heap */
    struct cordon_extent *extents;
    size_t extent_count;
};

struct guest {
    struct machine *m;
    cordon_domain *d;
    struct area small; /* 4 KiB pages in random order everywhere */
    struct area large; /* 2 MiB pages; pairs of them are contiguous for a device */
};

/* Read a program's options and start DPDK without huge pages, PCI or files that stay. ARGP and
 * SETTINGS as for tool_start; so does tool_end end it. */
void dpdk_start(const struct argp *argp, int argc, char **argv, void *settings);

/* GPA_BASE tells guests apart: no address of one is an address of the other. NAME is a literal. */
void guest_open(struct guest *g, struct machine *m, const char *name, uint64_t gpa_base);
void guest_close(struct guest *g);

/* Give frames to the map (those of A->extents, or new ones if there are none), show them to the
 * guest's user space, and give them to DPDK. 0, or what the map answered. */
int area_open(struct guest *g, struct area *a);
/* DPDK and user space forget it; the map still has it. */
void area_forget(struct guest *g, struct area *a);
/* What the map answers. With CORDON_REGION_KEEP the frames are A's still, for area_open. */
int area_revoke(struct guest *g, struct area *a);

/* Where a device finds what user space sees at VA, and where that stands in the machine. */
uint64_t iova_of(const void *va);
uint64_t hpa_of(const struct guest *g, const void *va);

#endif
