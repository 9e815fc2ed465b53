/* The isolation layer's context over this machine. */
#include "vm/context.h"

#include "core/console.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/tick.h"

static cordon_ctx *ctx;

cordon_ctx *guests_ctx(void)
{
    return ctx;
}

/* The first part of AT..END that is reserved; false: none is. */
static bool next_reserved(uint64_t at, uint64_t end, uint64_t *first, uint64_t *last)
{
    *first = end;
    *last = end;
    for (uint32_t i = 0; i < machine.reserved_count; i++) {
        const struct cordon_extent *run = &machine.reserved[i].run;
        uint64_t start = run->hpa.v > at ? run->hpa.v : at;
        uint64_t stop = run->hpa.v + run->len < end ? run->hpa.v + run->len : end;

        if (start < stop && (start < *first || (start == *first && stop > *last))) {
            *first = start;
            *last = stop;
        }
    }
    return *first != end;
}

/* What is left out here would be given away: a list that is full stops the machine. */
static void add_reserved(struct cordon_extent *out, uint32_t *count, uint64_t first, uint64_t last)
{
    if (*count != 0 && out[*count - 1].hpa.v + out[*count - 1].len == first) {
        out[*count - 1].len += last - first;
        return;
    }
    if (*count == CORDON_MAX_BANKS) {
        panic("reserved memory at 0x%lx: more ranges than %u in RAM", first, CORDON_MAX_BANKS);
    }
    out[(*count)++] = (struct cordon_extent){cordon_hpa_make(first), last - first};
}

/* The reserved parts that lie in RAM, cut to it, joined where they touch, in order. */
static uint32_t collect_reserved(struct cordon_extent *out)
{
    uint32_t count = 0;

    for (uint32_t b = 0; b < machine.bank_count; b++) {
        uint64_t at = machine.bank[b].hpa.v;
        uint64_t end = at + machine.bank[b].len;
        uint64_t first;

        while (next_reserved(at, end, &first, &at)) {
            add_reserved(out, &count, first, at);
        }
    }
    return count;
}

void context_open(uint32_t vmid_bits)
{
    static struct cordon_extent reserved[CORDON_MAX_BANKS];
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .ram_offset = memory_offset(),
                                .banks = machine.bank,
                                .reserved = reserved,
                                .bank_count = machine.bank_count,
                                .seed = hart_time()};
    struct cordon_memory_stats stats;
    struct hart_abilities all;
    int err;

    hart_common(&all);
    cordon_assert(all.harts != 0);
    cfg.flags = (machine_isa_has("svnapot") ? CORDON_CTX_NAPOT : 0) |
                ((all.henvcfg & HENVCFG_PBMTE) != 0 ? CORDON_CTX_PBMT : 0);
    cfg.hart_modes = all.gstage_modes;
    cfg.vmid_bits = vmid_bits < all.vmid_bits ? vmid_bits : all.vmid_bits;
    cfg.reserved_count = collect_reserved(reserved);
    err = cordon_ctx_create(&cfg, &ctx);
    if (err != 0) {
        panic("isolation layer: %s", cordon_strerror(err));
    }
    cordon_memory_stats(ctx, &stats);
    log_line("memory: %lu MiB free of %lu, G-stage modes 0x%x, %s64 KiB pages, %u VMID bits",
             stats.free >> 20, stats.total >> 20, cfg.hart_modes,
             (cfg.flags & CORDON_CTX_NAPOT) != 0 ? "" : "no ", cfg.vmid_bits);
}

void context_audit(const char *when)
{
    struct cordon_finding found;

    if (cordon_audit(ctx, &found) != 0) {
        panic("audit %s: invariant %u, domain %u, view %u, word at 0x%lx = 0x%lx: %s", when,
              found.invariant, found.domain, found.view, found.word.v, found.value, found.text);
    }
}
