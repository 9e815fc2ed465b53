/*
 * A guest with a PCI bus, for tests: the fake IOMMU, the PCI model, the real map and driver between
 * them, and the guest's own accesses to its bus.
 */
#ifndef UNIT_SUPPORT_VPCI_BENCH_H
#define UNIT_SUPPORT_VPCI_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_machine.h"
#include "fake_pci.h"
#include "pci/assign.h"
#include "pci/group.h"
#include "pci/pass.h"
#include "pci/place.h"
#include "pci/scan.h"
#include <cordon/error.h>

#define GUEST 7u
#define G_UART UINT64_C(0)
#define G_FILES UINT64_C(0x01000000)
#define G_FILES_LEN UINT64_C(0x2000)
#define G_ECAM UINT64_C(0x10000000)
#define G_LOW UINT64_C(0x20000000)
#define G_LOW_LEN UINT64_C(0x20000000)
#define G_HIGH UINT64_C(0x4000000000)
#define G_HIGH_LEN UINT64_C(0x1000000000)
#define G_RAM UINT64_C(0x80000000)
#define G_RAM_PAGES 16u

#define NVME_DEV 9u /* device id 72 */
#define EDU_DEV 17u /* device id 136 */
#define NVME_BDF PCI_BDF(0, NVME_DEV, 0)
#define EDU_BDF PCI_BDF(0, EDU_DEV, 0)
#define NVME_SLOT 8u
#define EDU_SLOT 31u

struct vpci_bench {
    struct fake_machine m;
    struct fpci pci;
    struct pci_host host;
    struct pci_function table[FPCI_MAX];
    struct fpci_fn *nvme; /* FLR, MSI-X in BAR 0, 64-bit BAR; drains by reset */
    struct fpci_fn *edu;  /* no PCIe, no reset, MSI; drains by the IOMMU */
    cordon_iommu *iommu;
    cordon_domain *domain;
    struct vbus bus;
    struct vpci_bridge bridge;
    struct pci_assignment a[2];
    struct vpci_pass pass[2];
};

/* The machine: both devices on the bus, scanned, placed, grouped; the guest's domain, RAM and
 * bus. */
int vbench_setup(void **state);
/* What still stands is released; fails the test if something is left, or an order was broken. */
int vbench_teardown(void **state);
int vbench_drop(void **state);

/* Look for devices again after the model was changed. */
void vbench_discover(struct vpci_bench *b);
struct pci_assign_config vbench_config(struct vpci_bench *b);
int vbench_claim(struct vpci_bench *b, uint32_t bdf);
/* Claim, assign, and show device N (0: nvme, 1: edu) to the guest; fails the test if it cannot. */
struct vpci_pass *vbench_give(struct vpci_bench *b, int n);

uint64_t guest_read(struct vpci_bench *b, uint64_t gpa, unsigned width);
void guest_write(struct vpci_bench *b, uint64_t gpa, unsigned width, uint64_t value);
uint32_t config_read(struct vpci_bench *b, uint32_t slot, uint32_t offset);
void config_write(struct vpci_bench *b, uint32_t slot, uint32_t offset, uint32_t value);
/* Command register as the guest writes it. */
void config_command(struct vpci_bench *b, uint32_t slot, uint32_t command);

/* The HPA that the guest's harts reach at GPA; 0: none. */
uint64_t guest_reaches(struct vpci_bench *b, uint64_t gpa);
/* The same for the device's DMA. */
bool device_reaches(struct vpci_bench *b, uint32_t device_id, uint64_t gpa);
void vbench_audit(struct vpci_bench *b);

#endif
