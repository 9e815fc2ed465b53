/* The inside of a context. Lives in a HYP frame of the RAM that it manages. */
#ifndef CORDON_CORE_CTX_H
#define CORDON_CORE_CTX_H

#include "map/domain.h"
#include "map/frames.h"
#include "map/pool.h"
#include "map/resource.h"
#include <cordon/cordon.h>

struct cordon_ctx {
    void *cookie;
    uint64_t ram_offset;
    uint32_t hart_modes;
    uint32_t vmid_bits;
    uint64_t seed;
    struct frame_pool frames;      /* map/pool.h: banks, block words, free lists, lock */
    struct resources resources;    /* map/resource.h */
    struct lock lock;              /* lists of domains and IOMMUs, VMIDs */
    struct cordon_domain *domains; /* list, map/domain.h */
    struct cordon_iommu *iommus;   /* list, riscv/iommu.h */
};

#endif
