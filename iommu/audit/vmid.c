/*
 * VMIDs and harts, re-derived: no two domains have one VMID, and whoever runs a domain is told of
 * its changes. [INV 2, 4]
 */
#include "audit/audit.h"

static int vmid_fail(const struct audit *a, enum audit_invariant invariant,
                     const struct cordon_domain *d, const char *text)
{
    const struct audit_place at = {
        .domain = d->number, .value = d->run.vmid, .hpa = d->forest.root[0]};

    return audit_fail(a, invariant, &at, text);
}

/* Harts that run D, by the list of harts. */
static uint64_t harts_on(const struct vmids *v, const struct cordon_domain *d)
{
    uint64_t harts = 0;

    for (uint32_t h = 0; h < CORDON_MAX_HARTS; h++) {
        harts |= v->on[h] == d ? BIT64(h) : 0;
    }
    return harts;
}

static int check_domain(const struct audit *a, const struct vmids *v, const struct cordon_domain *d,
                        uint64_t seen[BIT64(VMID_BITS_MAX) / 64])
{
    uint32_t vmid = d->run.vmid;

    if (d->run.inside != harts_on(v, d)) {
        return vmid_fail(a, AUDIT_FREE, d, "harts run a domain that are not counted");
    }
    if (d->run.generation != v->generation) {
        return d->run.inside == 0 ? 0
                                  : vmid_fail(a, AUDIT_OWNER, d, "a domain runs without a VMID");
    }
    if ((vmid >> a->ctx->vmid_bits) != 0 || (seen[vmid / 64] >> (vmid % 64) & 1u) != 0) {
        return vmid_fail(a, AUDIT_OWNER, d,
                         "a VMID that another domain has, or none that harts have");
    }
    seen[vmid / 64] |= BIT64(vmid % 64);
    if ((v->taken[vmid / 64] >> (vmid % 64) & 1u) == 0) {
        return vmid_fail(a, AUDIT_OWNER, d, "a domain's VMID is free for others");
    }
    if ((d->run.inside & ~d->run.harts) != 0 || (d->run.harts & ~v->harts) != 0) {
        return vmid_fail(a, AUDIT_FREE, d, "a hart that runs a domain is not told of its changes");
    }
    return 0;
}

int audit_vmids(const struct audit *a)
{
    struct vmids *v = &a->ctx->vmids;
    uint64_t seen[BIT64(VMID_BITS_MAX) / 64] = {0};
    int err = 0;

    lock_take(&v->lock);
    for (const struct cordon_domain *d = a->ctx->domains; d != NULL && err == 0; d = d->next) {
        err = check_domain(a, v, d, seen);
    }
    lock_give(&v->lock);
    return err;
}
