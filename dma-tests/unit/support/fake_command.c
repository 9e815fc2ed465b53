/* The command queue of the fake [IOMMU 3.1]: strict about every reserved bit. */
#include "fake_iommu.h"

#include <string.h>

#define CSR_FAULT (1u << 8)
#define CSR_TIMEOUT (1u << 9)
#define CSR_ILLEGAL (1u << 10)
#define CSR_STOPPED (CSR_FAULT | CSR_TIMEOUT | CSR_ILLEGAL)
#define CSR_ON (1u << 16)

#define OP_IOTINVAL 1u
#define OP_IOFENCE 2u
#define OP_IODIR 3u

#define BIT_AV (1ull << 10)
#define BIT_GV (1ull << 33)
#define BIT_PSCV (1ull << 32)
#define BIT_DV (1ull << 33)

/* Reserved bits of the first and second word. */
#define IOTINVAL_RSVD0 ((1ull << 11) | (0x3ffull << 34) | (15ull << 60))
#define IOTINVAL_RSVD1 (0x3ffull | (3ull << 62))
#define IOFENCE_RSVD0 (0x3ffffull << 14)
#define IOFENCE_RSVD1 (3ull << 62)
#define IODIR_RSVD0 ((3ull << 10) | (0xfffffull << 12) | (1ull << 32) | (63ull << 34))

static bool iotinval(struct fake_iommu *f, const uint64_t w[2])
{
    bool gvma = (w[0] >> 7 & 7) == 1;
    bool av = (w[0] & BIT_AV) != 0;
    bool gv = (w[0] & BIT_GV) != 0;
    uint64_t gscid = w[0] >> 44 & 0xffff;

    if ((w[0] & IOTINVAL_RSVD0) != 0 || (w[1] & IOTINVAL_RSVD1) != 0 || (w[0] >> 7 & 7) > 1) {
        return false;
    }
    if (gvma && (w[0] & BIT_PSCV) != 0) {
        return false;
    }
    if (gvma) { /* first-stage entries are not modelled: contexts here have none */
        fake_drop(f->pages, false, 0, gv, gscid, gv && av, w[1] >> 10);
    }
    return true;
}

static bool iodir(struct fake_iommu *f, const uint64_t w[2])
{
    static const unsigned width[2][5] = {{0, 0, 7, 16, 24}, {0, 0, 6, 15, 24}};
    bool extended = (f->capabilities & FAKE_CAP_MSI_FLAT) != 0;
    uint32_t did = (uint32_t)(w[0] >> 40);
    bool dv = (w[0] & BIT_DV) != 0;

    if ((w[0] & IODIR_RSVD0) != 0 || w[1] != 0 || (w[0] >> 7 & 7) != 0) {
        return false;
    }
    if (dv && did >> width[extended][f->ddtp & 15] != 0) {
        return false;
    }
    fake_drop(f->contexts, dv, did, false, 0, false, 0);
    return true;
}

static bool iofence(struct fake_iommu *f, const uint64_t w[2])
{
    bool wsi_illegal = (w[0] >> 11 & 1) != 0 && (f->fctl & 2) == 0;
    uint32_t data = (uint32_t)(w[0] >> 32);

    if ((w[0] & IOFENCE_RSVD0) != 0 || (w[1] & IOFENCE_RSVD1) != 0 || (w[0] >> 7 & 7) != 0 ||
        wsi_illegal) {
        return false;
    }
    if ((w[0] & BIT_AV) != 0) {
        void *at = fake_ram(f, w[1] << 2, 4);

        if (at == NULL) {
            f->cq.csr |= CSR_FAULT;
        } else {
            memcpy(at, &data, 4);
        }
    }
    return true;
}

static bool execute(struct fake_iommu *f, const uint64_t w[2])
{
    switch (w[0] & 0x7f) {
    case OP_IOTINVAL:
        return iotinval(f, w);
    case OP_IOFENCE:
        return iofence(f, w);
    case OP_IODIR:
        return iodir(f, w);
    default:
        return false;
    }
}

/* The error that this command is told to meet, 0: none. */
static uint32_t planned_error(const struct fake_iommu *f)
{
    if (f->commands == f->fault_at) {
        return CSR_FAULT;
    }
    if (f->commands == f->timeout_at) {
        return CSR_TIMEOUT;
    }
    if (f->commands == f->ill_at || (f->ill_from != 0 && f->commands >= f->ill_from)) {
        return CSR_ILLEGAL;
    }
    return 0;
}

void fake_run_commands(struct fake_iommu *f)
{
    uint32_t mask = ~0u >> (31 - (f->cq.base & 31));
    uint64_t ring = (f->cq.base & ~0x3ffull) << 2;

    while ((f->cq.csr & CSR_ON) != 0 && (f->cq.csr & CSR_STOPPED) == 0 &&
           f->cq.head != f->cq.tail) {
        const uint64_t *at = fake_ram(f, ring + 16ull * f->cq.head, 16);
        uint64_t w[2];

        f->commands++;
        f->cq.csr |= at == NULL ? CSR_FAULT : planned_error(f);
        if ((f->cq.csr & CSR_STOPPED) != 0) {
            return;
        }
        memcpy(w, at, sizeof(w));
        if (!execute(f, w)) {
            fake_violate(f, "an illegal command");
            f->cq.csr |= CSR_ILLEGAL;
            return;
        }
        fake_log(f, FAKE_COMMAND, 0, w[0], w[1]);
        if ((f->cq.csr & CSR_STOPPED) == 0) {
            f->cq.head = (f->cq.head + 1) & mask;
        }
    }
}

uint32_t fake_count(const struct fake_iommu *f, uint64_t mask, uint64_t word)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < f->logged; i++) {
        count += f->log[i].kind == FAKE_COMMAND && (f->log[i].value & mask) == word;
    }
    return count;
}
