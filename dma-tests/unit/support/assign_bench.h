/* What the tests of assignment and release share: device N (0: nvme, 1: edu) given, and all as it
 * was before. */
#ifndef UNIT_SUPPORT_ASSIGN_BENCH_H
#define UNIT_SUPPORT_ASSIGN_BENCH_H

#include "vpci_bench.h"

static inline int begin(struct vpci_bench *b, int n)
{
    const struct pci_assign_config cfg = vbench_config(b);

    return pci_assign_begin(&b->a[n], &b->host, n == 0 ? NVME_BDF : EDU_BDF, &cfg);
}

static inline int assign(struct vpci_bench *b, int n)
{
    int err = begin(b, n);

    return err != 0 ? err : pci_assign_finish(&b->a[n]);
}

static inline uint32_t commands_of(const struct fpci_fn *f)
{
    return fpci_get(f, PCI_COMMAND) & 0x7u;
}

/* Everything is as before the attempt: ids free, resources free, device off the bus. */
static inline void check_nothing_given(struct vpci_bench *b,
                                       const struct cordon_memory_stats *before)
{
    struct cordon_memory_stats now = machine_stats(&b->m);
    const struct pci_function *f = pci_find(&b->host, NVME_BDF);

    assert_int_equal(b->a[0].stage, PCI_STAGE_FREE);
    assert_null(b->a[0].dev);
    assert_int_equal(b->a[0].resources, 0);
    assert_false(f->assigned);
    assert_int_equal(commands_of(b->nvme), 0);
    assert_false(device_reaches(b, NVME_BDF, G_RAM));
    assert_int_equal(now.owned, before->owned);
    assert_int_equal(now.revoking, 0);
    assert_int_equal(cordon_resource_add(b->m.ctx, f->bar[0].hpa, 0x4000), 0); /* not there */
    assert_int_equal(cordon_resource_remove(b->m.ctx, f->bar[0].hpa), 0);
    vbench_audit(b);
}

#endif
