/*
 * The registers of a RISC-V IOMMU, in the order of the specification (release 20260222), and the
 * only way to reach them. Chapter 5; the QoS registers are not used.
 *
 * All are little-endian. 32-bit registers take 32-bit accesses only [IOMMU 6.1], hence two enums.
 */
#ifndef CORDON_RISCV_REGS_H
#define CORDON_RISCV_REGS_H

#include "core/bits.h"

enum iommu_reg32 {
    REG32_FCTL = 0x008,
    REG32_CQH = 0x020,
    REG32_CQT = 0x024,
    REG32_FQH = 0x030,
    REG32_FQT = 0x034,
    REG32_CQCSR = 0x048,
    REG32_FQCSR = 0x04c,
    REG32_PQCSR = 0x050,
    REG32_IPSR = 0x054,
    REG32_IOCOUNTINH = 0x05c
};

enum iommu_reg64 {
    REG64_CAPABILITIES = 0x000,
    REG64_DDTP = 0x010,
    REG64_CQB = 0x018,
    REG64_FQB = 0x028,
    REG64_TR_REQ_IOVA = 0x258,
    REG64_TR_REQ_CTL = 0x260,
    REG64_TR_RESPONSE = 0x268,
    REG64_ICVEC = 0x2f8
};

#define IOMMU_REGISTERS_SIZE UINT64_C(0x1000)

/* 5.3 capabilities */
#define CAP_VERSION_MAJOR GENMASK64(7, 4)
#define CAP_SVPBMT BIT64(15)
#define CAP_SV39X4 BIT64(17)
#define CAP_SV48X4 BIT64(18)
#define CAP_SV57X4 BIT64(19)
#define CAP_MSI_FLAT BIT64(22)
#define CAP_AMO_HWAD BIT64(24)
#define CAP_ATS BIT64(25)
#define CAP_IGS GENMASK64(29, 28)
#define CAP_HPM BIT64(30)
#define CAP_DBG BIT64(31)
#define CAP_PAS GENMASK64(37, 32)

#define IGS_MSI 0u
#define IGS_WSI 1u
#define IGS_BOTH 2u

/* 5.4 fctl */
#define FCTL_BE BIT64(0)
#define FCTL_WSI BIT64(1)
#define FCTL_GXL BIT64(2)

/* 5.5 ddtp */
#define DDTP_MODE GENMASK64(3, 0)
#define DDTP_BUSY BIT64(4)
#define DDTP_PPN GENMASK64(53, 10)

#define DDTP_MODE_OFF 0u
#define DDTP_MODE_1LVL 2u /* 2LVL and 3LVL follow */

/* 5.6 cqb, 5.9 fqb: the same layout */
#define QUEUE_LOG2SZ_1 GENMASK64(4, 0)
#define QUEUE_PPN GENMASK64(53, 10)

/* 5.15 cqcsr */
#define CQCSR_CQEN BIT64(0)
#define CQCSR_CQMF BIT64(8)
#define CQCSR_CMD_TO BIT64(9)
#define CQCSR_CMD_ILL BIT64(10)
#define CQCSR_CQON BIT64(16)
#define CQCSR_BUSY BIT64(17)
#define CQCSR_ERRORS (CQCSR_CQMF | CQCSR_CMD_TO | CQCSR_CMD_ILL)

/* 5.16 fqcsr */
#define FQCSR_FQEN BIT64(0)
#define FQCSR_FIE BIT64(1)
#define FQCSR_FQMF BIT64(8)
#define FQCSR_FQOF BIT64(9)
#define FQCSR_FQON BIT64(16)
#define FQCSR_BUSY BIT64(17)
#define FQCSR_ERRORS (FQCSR_FQMF | FQCSR_FQOF)

/* 5.17 pqcsr, only with capabilities.ATS */
#define PQCSR_PQEN BIT64(0)
#define PQCSR_PQON BIT64(16)
#define PQCSR_BUSY BIT64(17)

/* 5.18 ipsr */
#define IPSR_FIP BIT64(1)

/* 5.20 iocountinh, 5.21 iohpmcycles (counter 0), 5.22 iohpmctr and 5.23 iohpmevt 1 to 31: only with
 * capabilities.HPM */
#define IOHPMCYCLES_COUNTER GENMASK64(62, 0)
#define REG64_IOHPMCTR(n) ((enum iommu_reg64)(0x060 + 8 * (n)))
#define REG64_IOHPMEVT(n) ((enum iommu_reg64)(0x158 + 8 * (n)))
#define IOHPMEVT_DMASK_SHIFT 15u /* above the event */
#define IOHPMEVT_DID_GSCID_SHIFT 36u
#define IOHPMEVT_PV_PSCV_SHIFT 60u /* DV_GSCV and IDT follow */
#define IOHPMEVT_OF BIT64(63)

/* 5.24 to 5.26 tr_req_iova, tr_req_ctl, tr_response: only with capabilities.DBG */
#define TR_REQ_GO BIT64(0)
#define TR_REQ_NW BIT64(3)
#define TR_REQ_DID GENMASK64(63, 40)
#define TR_RESPONSE_FAULT BIT64(0)
#define TR_RESPONSE_S BIT64(9)
#define TR_RESPONSE_PPN GENMASK64(53, 10)

/* 5.28 icvec */
#define ICVEC_CIV GENMASK64(3, 0)
#define ICVEC_FIV GENMASK64(7, 4)
#define ICVEC_PMIV GENMASK64(11, 8)
#define ICVEC_PIV GENMASK64(15, 12)
#define ICVEC_ALL GENMASK64(15, 0)

/* 5.29 msi_cfg_tbl: vector control of entry N */
#define REG32_MSI_VEC_CTL(n) ((enum iommu_reg32)(0x30c + 16 * (n)))
#define MSI_VEC_CTL_M BIT64(0)

/* One IOMMU's register page, and how long to wait for what it does. */
struct iommu_mmio {
    void *cookie;
    cordon_hpa base;
    uint32_t timeout_us;
};

static inline uint32_t reg_read32(const struct iommu_mmio *m, enum iommu_reg32 reg)
{
    return cordon_port_read32(m->cookie, cordon_hpa_add(m->base, (uint64_t)reg));
}

static inline uint64_t reg_read64(const struct iommu_mmio *m, enum iommu_reg64 reg)
{
    return cordon_port_read64(m->cookie, cordon_hpa_add(m->base, (uint64_t)reg));
}

static inline void reg_write32(const struct iommu_mmio *m, enum iommu_reg32 reg, uint64_t value)
{
    cordon_assert(value <= UINT32_MAX);
    cordon_port_write32(m->cookie, cordon_hpa_add(m->base, (uint64_t)reg), (uint32_t)value);
}

static inline void reg_write64(const struct iommu_mmio *m, enum iommu_reg64 reg, uint64_t value)
{
    cordon_port_write64(m->cookie, cordon_hpa_add(m->base, (uint64_t)reg), value);
}

#endif
