/* What the PCI tests share: a machine of fake functions, and the host bridge over it. */
#ifndef UNIT_SUPPORT_PCI_BENCH_H
#define UNIT_SUPPORT_PCI_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_pci.h"
#include <cordon/error.h>

#define ENDPOINT_CLASS 0x020000u

struct pci_bench {
    struct fpci fake;
    struct pci_host host;
    struct pci_function table[FPCI_MAX];
};

static inline int bench_setup(void **state)
{
    static struct pci_bench bench;

    memset(&bench, 0, sizeof(bench));
    fpci_init(&bench.fake);
    *state = &bench;
    return 0;
}

/* A plain endpoint on the root bus (or below bridge PARENT). */
static inline struct fpci_fn *bench_endpoint(struct pci_bench *b, int parent, uint32_t dev)
{
    return &b->fake.fn[fpci_add(&b->fake, parent, dev, 0, 0x1234, 0x5678, ENDPOINT_CLASS)];
}

static inline struct pci_function *bench_find(struct pci_bench *b, uint32_t bdf)
{
    struct pci_function *f = pci_find(&b->host, bdf);

    assert_non_null(f);
    return f;
}

#endif
