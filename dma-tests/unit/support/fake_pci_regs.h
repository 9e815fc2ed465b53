/* Inside of the PCI model: registers behind BAR 0, and where capabilities stand. */
#ifndef DMA_TESTS_FAKE_REGS_H
#define DMA_TESTS_FAKE_REGS_H

#include "fake_pci.h"

#define FPCI_NVME_CAP 0x0u
#define FPCI_NVME_CAP_VALUE 0x0a0103ffu /* gives itself 5 s */
#define FPCI_NVME_CC 0x14u
#define FPCI_NVME_CSTS 0x1cu
#define FPCI_E1000E_RST 0x04000000u

struct fpci_places {
    uint32_t pcie, pm, af;
};
struct fpci_places fpci_places_of(const struct fpci_fn *f);

void fpci_reset(struct fpci *p, struct fpci_fn *f);
uint32_t fpci_register_read(struct fpci_fn *f, uint64_t offset);
void fpci_register_write(struct fpci *p, struct fpci_fn *f, uint64_t offset, uint32_t value);

#endif
