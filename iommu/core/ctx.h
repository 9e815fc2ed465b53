/* The inside of a context. Lives in HYP frames of the RAM that it manages. */
#ifndef CORDON_CORE_CTX_H
#define CORDON_CORE_CTX_H

#include "core/handle.h"
#include "frames/frames.h"
#include "frames/pool.h"
#include "frames/resource.h"
#include "harts/vmid.h"
#include "map/domain.h"
#include <cordon/cordon.h>

struct cordon_ctx {
    uint64_t mark; /* HANDLE_CTX */
    void *cookie;
    uint64_t ram_offset;
    uint32_t hart_modes;
    uint32_t device_modes; /* modes that every IOMMU added so far can walk; under LOCK */
    uint32_t vmid_bits;
    bool napot; /* every hart knows 64 KiB leaves */
    bool pbmt;  /* and memory types; guests may read past the caches */
    uint64_t seed;
    struct frame_pool frames;      /* frames/pool.h: banks, block words, free lists, lock */
    struct resources resources;    /* frames/resource.h */
    struct vmids vmids;            /* harts/vmid.h */
    struct lock lock;              /* lists of domains and IOMMUs, domain numbers */
    struct cordon_domain *domains; /* list, map/domain.h */
    struct cordon_iommu *iommus;   /* list, riscv/iommu.h */
    uint64_t numbers[CORDON_MAX_DOMAINS / 64]; /* bit n: domain number n is taken */
};

/* Where guests may read past the caches: PAGES from HFN on say in memory what they say here. */
static inline void ctx_flush(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages)
{
    if (ctx->pbmt) {
        cordon_port_flush(ctx->cookie, cordon_hpa_make(hfn << CORDON_PAGE_SHIFT),
                          pages << CORDON_PAGE_SHIFT);
    }
}

#endif
