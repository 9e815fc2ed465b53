/*
 * Contexts: checked, planned, and laid into the RAM that they manage.
 */
#include "core/ctx.h"

#include <string.h>

#define MODES_ALL (CORDON_MODE_SV39X4 | CORDON_MODE_SV48X4 | CORDON_MODE_SV57X4)
#define FLAGS_ALL (CORDON_CTX_MIXED | CORDON_CTX_NAPOT | CORDON_CTX_PBMT)

static int config_check(const struct cordon_config *cfg)
{
    if (cfg == NULL || cfg->size != sizeof(*cfg) || (cfg->flags & ~FLAGS_ALL) != 0 ||
        cfg->bank_count == 0 || cfg->banks == NULL ||
        (cfg->reserved == NULL && cfg->reserved_count != 0)) {
        return -CORDON_EINVAL;
    }
    if (!cordon_port_accepts(cfg->cookie)) {
        return -CORDON_EINVAL;
    }
    if (cfg->hart_modes == 0 || (cfg->hart_modes & ~MODES_ALL) != 0 || cfg->vmid_bits > 14) {
        return -CORDON_EINVAL;
    }
    if (cfg->bank_count > CORDON_MAX_BANKS || cfg->reserved_count > CORDON_MAX_BANKS) {
        return -CORDON_ELIMIT;
    }
    return is_aligned(cfg->ram_offset, CORDON_PAGE_SIZE) ? 0 : -CORDON_EALIGN;
}

int cordon_ctx_create(const struct cordon_config *cfg, cordon_ctx **out)
{
    struct pool_layout plan;
    int err = out != NULL ? config_check(cfg) : -CORDON_EINVAL;

    if (err == 0) {
        err = pool_plan(cfg, sizeof(struct cordon_ctx), &plan);
    }
    if (err != 0) {
        return err;
    }
    uint64_t hpa = plan.boot_hfn << CORDON_PAGE_SHIFT;
    struct cordon_ctx *ctx = (struct cordon_ctx *)(uintptr_t)(hpa + cfg->ram_offset);

    memset(ctx, 0, sizeof(*ctx));
    ctx->cookie = cfg->cookie;
    ctx->ram_offset = cfg->ram_offset;
    ctx->frames.offset = cfg->ram_offset;
    ctx->hart_modes = cfg->hart_modes;
    ctx->device_modes = MODES_ALL;
    ctx->vmid_bits = cfg->vmid_bits;
    ctx->napot = (cfg->flags & CORDON_CTX_NAPOT) != 0;
    ctx->pbmt = (cfg->flags & CORDON_CTX_PBMT) != 0;
    ctx->seed = cfg->seed;
    lock_init(&ctx->lock);
    vmids_init(&ctx->vmids);
    pool_init(ctx, cfg, &plan, sizeof(*ctx));
    resources_init(&ctx->resources, ctx, cfg->seed);
    ctx->mark = HANDLE_CTX;
    *out = ctx;
    return 0;
}

int cordon_ctx_destroy(cordon_ctx *ctx)
{
    if (ctx == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    if (ctx->domains != NULL || ctx->iommus != NULL) {
        return -CORDON_EBUSY;
    }
    resources_clear(&ctx->resources);
    ctx->mark = 0;
    return 0;
}
