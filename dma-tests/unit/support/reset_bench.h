/* What the tests of resets share: a device with two BARs, its reset, and what stands after it. */
#ifndef UNIT_SUPPORT_RESET_BENCH_H
#define UNIT_SUPPORT_RESET_BENCH_H

#include "pci_bench.h"

#include "pci/place.h"
#include "pci/reset.h"
#include "pci/scan.h"

static inline void discover(struct pci_bench *b)
{
    struct pci_scan_report s;
    struct pci_place_report p;

    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    assert_int_equal(pci_scan(&b->host, &s), 0);
    pci_place(&b->host, &p);
    assert_int_equal(p.unplaced, 0);
}

static inline struct fpci_fn *device(struct pci_bench *b, int parent)
{
    struct fpci_fn *f = bench_endpoint(b, parent, 9);

    fpci_bar(f, 0, 0x4000, PCI_BAR_TYPE_64 | PCI_BAR_IS_PREFETCH);
    fpci_bar(f, 2, 0x1000, 0);
    return f;
}

/* Reset the function at BDF to its end. */
static inline int reset(struct pci_bench *b, uint32_t bdf, struct pci_reset *r)
{
    int err = pci_reset_begin(r, &b->host, bench_find(b, bdf));

    return err != 0 ? err : pci_reset_wait(r);
}

static inline void check_restored(struct pci_bench *b, struct fpci_fn *f, uint32_t bdf)
{
    const struct pci_function *fn = bench_find(b, bdf);

    assert_int_equal(fpci_bar_address(f, 0), fn->bar[0].bus);
    assert_int_equal(fpci_bar_address(f, 2), fn->bar[2].bus);
    assert_int_equal(fpci_get(f, PCI_COMMAND) & 0xffffu, PCI_COMMAND_INTX_OFF);
    assert_int_equal(f->early, 0);
    assert_int_equal(b->fake.stray, 0);
}

#endif
