/* The judge: see pci_world.h. */
#include "pci_world.h"

#include <cordon/cordon.h>

struct judge judge;

struct cordon_domain {
    int unused;
};
struct cordon_device {
    bool attached;
};

static struct cordon_device device[8];

static bool meets(const struct judged *r, uint64_t gpa, uint64_t len)
{
    return r->gpa < gpa + len && gpa < r->gpa + r->len;
}

static int fails(void)
{
    if (judge.fail_next != 0 && --judge.fail_next == 0) {
        return judge.fail_as;
    }
    return 0;
}

void judge_reset(void)
{
    judge = (struct judge){.count = 2};
    judge.region[0] = (struct judged){W_RAM, W_RAM_LEN, 0x80000000, false};
    judge.region[1] = (struct judged){W_INSIDE, W_INSIDE_LEN, 0xa0000000, false};
    for (size_t i = 0; i < sizeof(device) / sizeof(device[0]); i++) {
        device[i].attached = false;
    }
}

void judge_attach_all(void)
{
    for (uint32_t i = 0; i < judge.attached; i++) {
        device[i].attached = true;
    }
}

bool judge_has(uint64_t gpa, uint64_t len, uint64_t hpa)
{
    for (uint32_t i = 0; i < judge.count; i++) {
        const struct judged *r = &judge.region[i];

        if (r->mmio && r->gpa == gpa && r->len == len && r->hpa == hpa) {
            return true;
        }
    }
    return false;
}

uint32_t judge_mmio_count(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < judge.count; i++) {
        count += judge.region[i].mmio ? 1 : 0;
    }
    return count;
}

/* A BAR may be granted where a BAR may stand, whole, once. */
static void grant_check(const struct cordon_op *op)
{
    const struct cordon_extent *e = op->extents;
    uint64_t gpa = op->gpa.v;
    bool known = false;

    must(op->flags == CORDON_REGION_MMIO && op->perms == CORDON_RW);
    must(op->extent_count == 1 && e->len == op->len && op->len != 0);
    must(gpa % CORDON_PAGE_SIZE == 0 && op->len % CORDON_PAGE_SIZE == 0);
    must((gpa >= W_LOW && gpa + op->len <= W_LOW + W_LOW_LEN) ||
         (gpa >= W_HIGH && gpa + op->len <= W_HIGH + W_HIGH_LEN));
    must(gpa >= W_AVOID + W_AVOID_LEN || gpa + op->len <= W_AVOID);
    for (uint32_t i = 0; i < judge.count; i++) {
        must(!meets(&judge.region[i], gpa, op->len));
        must(judge.region[i].hpa != e->hpa.v);
    }
    for (uint32_t i = 0; i < judge.resources; i++) {
        known = known || (judge.resource[i].hpa == e->hpa.v && judge.resource[i].len == e->len);
    }
    must(known);
}

static void revoke(const struct cordon_op *op)
{
    for (uint32_t i = 0; i < judge.count; i++) {
        if (judge.region[i].gpa == op->gpa.v && judge.region[i].len == op->len) {
            must(judge.region[i].mmio);
            judge.region[i] = judge.region[--judge.count];
            return;
        }
    }
    must(false); /* revoke of what is not there */
}

int cordon_change(cordon_domain *d, const struct cordon_op *ops, size_t count)
{
    int err = fails();

    (void)d;
    judge.changes++;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == CORDON_OP_GRANT) {
            grant_check(&ops[i]);
            if (err == -CORDON_EPENDING) {
                err = -CORDON_ENOMEM; /* a grant never waits */
            }
        } else {
            must(ops[i].kind == CORDON_OP_REVOKE);
        }
    }
    if (err != 0 && err != -CORDON_EPENDING) {
        return err;
    }
    for (size_t i = 0; i < count; i++) {
        if (ops[i].kind == CORDON_OP_REVOKE) {
            revoke(&ops[i]);
        } else {
            must(judge.count < JUDGE_REGIONS);
            judge.region[judge.count++] =
                (struct judged){ops[i].gpa.v, ops[i].len, ops[i].extents->hpa.v, true};
        }
    }
    return err;
}

int cordon_retire(cordon_domain *d)
{
    (void)d;
    return fails();
}

int cordon_region_find(const cordon_domain *d, cordon_gpa gpa, bool next,
                       struct cordon_region_info *out)
{
    const struct judged *best = NULL;

    (void)d;
    for (uint32_t i = 0; i < judge.count; i++) {
        const struct judged *r = &judge.region[i];

        if (gpa.v < r->gpa + r->len && (next || gpa.v >= r->gpa) &&
            (best == NULL || r->gpa < best->gpa)) {
            best = r;
        }
    }
    if (best == NULL) {
        return -CORDON_ENOENT;
    }
    *out = (struct cordon_region_info){.gpa = cordon_gpa_make(best->gpa),
                                       .len = best->len,
                                       .perms = CORDON_RW,
                                       .flags = best->mmio ? CORDON_REGION_MMIO : 0};
    return 0;
}

int cordon_translate(const cordon_domain *d, uint32_t view, cordon_gpa gpa, uint32_t access,
                     struct cordon_hit *out)
{
    (void)d;
    (void)view;
    (void)gpa;
    (void)access;
    (void)out;
    return -CORDON_EFAULT;
}

int cordon_resource_add(cordon_ctx *ctx, cordon_hpa hpa, uint64_t len)
{
    (void)ctx;
    must(hpa.v % CORDON_PAGE_SIZE == 0 && len % CORDON_PAGE_SIZE == 0 && len != 0);
    for (uint32_t i = 0; i < judge.resources; i++) {
        const struct judged *r = &judge.resource[i];

        must(hpa.v >= r->hpa + r->len || r->hpa >= hpa.v + len);
    }
    must(judge.resources < JUDGE_REGIONS);
    judge.resource[judge.resources++] = (struct judged){.hpa = hpa.v, .len = len};
    return 0;
}

int cordon_resource_remove(cordon_ctx *ctx, cordon_hpa hpa)
{
    (void)ctx;
    for (uint32_t i = 0; i < judge.resources; i++) {
        if (judge.resource[i].hpa == hpa.v) {
            judge.resource[i] = judge.resource[--judge.resources];
            return 0;
        }
    }
    must(false); /* removal of what is no resource */
    return 0;
}

int cordon_device_add(cordon_iommu *iommu, const struct cordon_device_config *cfg,
                      cordon_device **out)
{
    (void)iommu;
    must(cfg->drain == CORDON_DRAIN_IOMMU || cfg->drain == CORDON_DRAIN_RESET);
    must(judge.attached < sizeof(device) / sizeof(device[0]));
    *out = &device[judge.attached];
    return 0;
}

int cordon_device_remove(cordon_device *dev)
{
    must(!dev->attached);
    return 0;
}

int cordon_device_attach(cordon_domain *d, cordon_device *dev, uint32_t flags)
{
    (void)d;
    (void)flags;
    must(!dev->attached);
    dev->attached = true;
    judge.attached++;
    return 0;
}

int cordon_device_detach(cordon_device *dev)
{
    must(dev->attached);
    dev->attached = false;
    return 0;
}

int cordon_device_drained(cordon_device *dev)
{
    (void)dev;
    return 0;
}

/* ---- the port: straight to the model ------------------------------------------------*/

uint32_t cordon_port_read32(void *cookie, cordon_hpa reg)
{
    const struct cordon_port_ops *ops = cookie;

    return (uint32_t)ops->mmio_read(ops->user, reg.v, 4);
}

void cordon_port_write32(void *cookie, cordon_hpa reg, uint32_t value)
{
    const struct cordon_port_ops *ops = cookie;

    ops->mmio_write(ops->user, reg.v, 4, value);
}

uint64_t cordon_port_time_us(void *cookie)
{
    const struct cordon_port_ops *ops = cookie;

    return ops->time_us(ops->user);
}

void cordon_port_relax(void *cookie)
{
    (void)cookie;
}
