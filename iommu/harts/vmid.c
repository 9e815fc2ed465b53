/*
 * VMIDs: taken, lost with their generation, given back; and fences to the harts that need them.
 * [Priv 18.2.10, 18.3.2]
 */
#include "harts/vmid.h"

#include "core/ctx.h"
#include "port_word.h"

#include <string.h>

#define HGATP_VMID GENMASK64(57, 44)

void vmids_init(struct vmids *v)
{
    lock_init(&v->lock);
    v->generation = 1;
}

static bool vmid_has(const struct vmids *v, const struct cordon_domain *d)
{
    return d->run.generation == v->generation;
}

static bool taken(const struct vmids *v, uint32_t vmid)
{
    return (v->taken[vmid / 64] >> (vmid % 64) & 1u) != 0;
}

/* ---- taking one --------------------------------------------------------------------------- */

/* A VMID that nobody has: the one below D's number if it can be, as a domain's name is then seen in
 * hgatp. LIMIT: none. */
static uint32_t find_free(const struct vmids *v, const struct cordon_domain *d, uint32_t limit)
{
    if (d->number <= limit && !taken(v, d->number - 1)) {
        return d->number - 1;
    }
    for (uint32_t i = 0; i < limit; i++) {
        uint32_t vmid = (v->next + i) & (limit - 1);

        if (!taken(v, vmid)) {
            return vmid;
        }
    }
    return limit;
}

/* A new generation. Who runs keeps its VMID, and its harts may fill up again at once. */
static void roll_over(struct cordon_ctx *ctx)
{
    struct vmids *v = &ctx->vmids;
    uint64_t told = v->harts;

    v->generation++;
    v->harts = 0;
    memset(v->taken, 0, sizeof(v->taken));
    for (uint32_t h = 0; h < CORDON_MAX_HARTS; h++) {
        struct cordon_domain *d = v->on[h];

        if (d != NULL) {
            d->run.generation = v->generation;
            d->run.harts = d->run.inside;
            v->harts |= BIT64(h);
            v->taken[d->run.vmid / 64] |= BIT64(d->run.vmid % 64);
        }
    }
    if (told != 0) {
        cordon_port_hart_fence_all(ctx->cookie, told);
    }
}

static int take(struct cordon_ctx *ctx, struct cordon_domain *d)
{
    struct vmids *v = &ctx->vmids;
    uint32_t limit = 1u << ctx->vmid_bits;

    if (v->running >= limit) {
        return -CORDON_ELIMIT;
    }
    uint32_t vmid = find_free(v, d, limit);

    if (vmid == limit) {
        roll_over(ctx);
        vmid = find_free(v, d, limit);
        cordon_assert(vmid < limit);
    }
    v->taken[vmid / 64] |= BIT64(vmid % 64);
    v->next = (vmid + 1) & (limit - 1);
    v->given++;
    d->run.vmid = (uint16_t)vmid;
    d->run.generation = v->generation;
    d->run.harts = 0;
    return 0;
}

/* ---- entering and leaving ----------------------------------------------------------------- */

static int enter(struct cordon_domain *d, uint32_t hart, struct cordon_entry *out)
{
    struct vmids *v = &d->ctx->vmids;
    int err = 0;

    if (v->on[hart] != NULL) {
        return -CORDON_EBUSY;
    }
    if (!vmid_has(v, d)) {
        err = take(d->ctx, d);
    }
    if (err != 0) {
        return err;
    }
    out->forget = (d->run.harts >> hart & 1u) == 0;
    out->hgatp = cordon_domain_hgatp(d) | field_put(HGATP_VMID, d->run.vmid);
    v->on[hart] = d;
    v->running += d->run.inside == 0;
    v->harts |= BIT64(hart);
    d->run.inside |= BIT64(hart);
    d->run.harts |= BIT64(hart);
    d->run.entries++;
    port_note(d->ctx->cookie, PORT_NOTE_ENTER,
              d->number | (uint64_t)hart << 16 | (uint64_t)d->run.vmid << 32, d->forest.root[0].v);
    return 0;
}

int cordon_domain_enter(cordon_domain *d, uint32_t hart, struct cordon_entry *out)
{
    if (d == NULL || out == NULL || out->size != sizeof(*out) || hart >= CORDON_MAX_HARTS) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->ctx->vmids.lock);
    int err = enter(d, hart, out);

    lock_give(&d->ctx->vmids.lock);
    return err;
}

int cordon_domain_leave(cordon_domain *d, uint32_t hart)
{
    if (d == NULL || hart >= CORDON_MAX_HARTS) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    struct vmids *v = &d->ctx->vmids;

    lock_take(&v->lock);
    bool there = v->on[hart] == d;

    if (there) {
        v->on[hart] = NULL;
        d->run.inside &= ~BIT64(hart);
        v->running -= d->run.inside == 0;
        port_note(d->ctx->cookie, PORT_NOTE_LEAVE, d->number | (uint64_t)hart << 16, 0);
    }
    lock_give(&v->lock);
    return there ? 0 : -CORDON_ENOENT;
}

bool vmid_running(struct cordon_domain *d)
{
    lock_take(&d->ctx->vmids.lock);
    bool running = d->run.inside != 0;

    lock_give(&d->ctx->vmids.lock);
    return running;
}

void vmid_forget(struct cordon_domain *d)
{
    struct vmids *v = &d->ctx->vmids;

    lock_take(&v->lock);
    cordon_assert(d->run.inside == 0);
    if (vmid_has(v, d)) { /* what harts hold of its own first stages goes at the next one's entry */
        v->taken[d->run.vmid / 64] &= ~BIT64(d->run.vmid % 64);
        d->run.generation = 0;
    }
    lock_give(&v->lock);
}

/* ---- fences ------------------------------------------------------------------------------- */

static void tell(const struct cordon_domain *d, const struct domain_vmid *run,
                 const struct retire_range *ranges, uint32_t count, bool whole)
{
    void *cookie = d->ctx->cookie;

    if (whole) {
        cordon_port_hart_fence(cookie, run->harts, run->vmid, cordon_gpa_make(0), 0);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        cordon_port_hart_fence(cookie, run->harts, run->vmid, ranges[i].gpa, ranges[i].len);
    }
}

/* Under the lock: who is to be told, counted. A domain without a VMID is remembered nowhere. */
static struct domain_vmid snapshot(struct cordon_domain *d, uint32_t count, bool whole)
{
    struct domain_vmid *run = &d->run;
    uint32_t calls = whole ? 1 : count;

    if (!vmid_has(&d->ctx->vmids, d)) {
        run->harts = 0;
    }
    run->fences.asked++;
    run->fences.nobody += run->harts == 0;
    if (run->harts != 0) {
        run->fences.whole += whole;
        run->fences.ranges += whole ? 0 : count;
        run->fences.harts += calls * (uint64_t)__builtin_popcountll(run->harts);
    }
    return *run;
}

void vmid_fence(struct cordon_domain *d, const struct retire_range *ranges, uint32_t count,
                bool whole)
{
    struct vmids *v = &d->ctx->vmids;

    lock_take(&v->lock);
    const struct domain_vmid told = snapshot(d, count, whole);

    lock_give(&v->lock);
    if (told.harts == 0) {
        return;
    }
    tell(d, &told, ranges, count, whole);
    lock_take(&v->lock);
    /* Harts that were not running it when they were told, and none has come since: they remember
     * nothing of it. One that was may have filled up again before it left. */
    if (whole && told.entries == d->run.entries && told.generation == d->run.generation) {
        d->run.harts &= told.inside;
    }
    lock_give(&v->lock);
}

/* A hart that comes later forgets at its entry. */
void vmid_code_fence(struct cordon_domain *d)
{
    struct vmids *v = &d->ctx->vmids;

    lock_take(&v->lock);
    uint64_t harts = vmid_has(v, d) ? d->run.harts : 0;

    lock_give(&v->lock);
    if (harts != 0) {
        cordon_port_code_fence(d->ctx->cookie, harts);
    }
}

/* ---- told --------------------------------------------------------------------------------- */

int cordon_domain_fences(const cordon_domain *d, struct cordon_fence_stats *out)
{
    if (d == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(d, HANDLE_DOMAIN)) {
        return -CORDON_EHANDLE;
    }
    lock_take(&d->ctx->vmids.lock);
    *out = d->run.fences;
    lock_give(&d->ctx->vmids.lock);
    return 0;
}

int cordon_vmid_stats(const cordon_ctx *ctx, struct cordon_vmid_stats *out)
{
    if (ctx == NULL || out == NULL) {
        return -CORDON_EINVAL;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    struct vmids *v = (struct vmids *)(uintptr_t)&ctx->vmids; /* only the lock is written to */

    lock_take(&v->lock);
    *out = (struct cordon_vmid_stats){.bits = ctx->vmid_bits,
                                      .running = v->running,
                                      .harts = v->harts,
                                      .generation = v->generation,
                                      .given = v->given};
    lock_give(&v->lock);
    return 0;
}
