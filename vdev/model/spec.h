/* Registers, queues and tables of the RISC-V IOMMU, from its specification, version 1.0. */
#ifndef MODEL_SPEC_H
#define MODEL_SPEC_H

#include <stdint.h>

#define BIT(n) (1ull << (n))
/* Bits HIGH..LOW of a word, shifted down or in place. */
#define FIELD(word, high, low) (((word) >> (low)) & (~0ull >> (63 - ((high) - (low)))))
#define BITS(high, low) ((~0ull >> (63 - ((high) - (low)))) << (low))

/* [IOMMU 5] offsets */
enum {
    R_CAPABILITIES = 0x000,
    R_FCTL = 0x008,
    R_DDTP = 0x010,
    R_CQB = 0x018,
    R_CQH = 0x020,
    R_CQT = 0x024,
    R_FQB = 0x028,
    R_FQH = 0x030,
    R_FQT = 0x034,
    R_CQCSR = 0x048,
    R_FQCSR = 0x04c,
    R_IPSR = 0x054,
    R_IOCOUNTOVF = 0x058,
    R_IOCOUNTINH = 0x05c,
    R_IOHPMCYCLES = 0x060,
    R_IOHPMCTR = 0x068,
    R_IOHPMEVT = 0x160,
    R_TR_REQ_IOVA = 0x258,
    R_TR_REQ_CTL = 0x260,
    R_TR_RESPONSE = 0x268,
    R_ICVEC = 0x2f8,
    R_MSI_CFG = 0x300,
    R_MSI_CFG_END = 0x400,
};

/* [IOMMU 5.3] capabilities */
#define CAP_SV39 BIT(9) /* Sv48 and Sv57 are the next two */
#define CAP_SVPBMT BIT(15)
#define CAP_SV39X4 BIT(17)
#define CAP_SV48X4 BIT(18)
#define CAP_SV57X4 BIT(19)
#define CAP_MSI_FLAT BIT(22)
#define CAP_AMO_HWAD BIT(24)
#define CAP_IGS(cap) FIELD(cap, 29, 28)
#define CAP_HPM BIT(30)
#define CAP_DBG BIT(31)
#define CAP_PAS(cap) FIELD(cap, 37, 32)
#define CAP_KNOWN                                                                         \
    (BITS(7, 0) | BITS(11, 9) | CAP_SVPBMT | BITS(19, 17) | CAP_MSI_FLAT | CAP_AMO_HWAD | \
     BITS(29, 28) | CAP_HPM | CAP_DBG | BITS(37, 32))

#define FCTL_WSI 2u
#define DDTP_BUSY BIT(4)
#define PPN_FIELD BITS(53, 10)
enum { MODE_OFF, MODE_BARE, MODE_1LVL, MODE_2LVL, MODE_3LVL };

#define CSR_EN BIT(0)
#define CSR_IE BIT(1)
#define CSR_MF BIT(8)
#define CSR_FQOF BIT(9)
#define CSR_CMD_TO BIT(9)
#define CSR_CMD_ILL BIT(10)
#define CSR_FENCE_W_IP BIT(11)
#define CSR_ON BIT(16)
#define CSR_BUSY BIT(17)
#define CQ_ERRORS (CSR_MF | CSR_CMD_TO | CSR_CMD_ILL)
#define FQ_ERRORS (CSR_MF | CSR_FQOF)

#define IPSR_CIP 1u
#define IPSR_FIP 2u
#define IPSR_PMIP 4u

/* [IOMMU 5.23] what iohpmevt selects */
enum {
    HPM_UNTRANSLATED = 1,
    HPM_TLB_MISS = 4,
    HPM_DDT_WALK = 5,
    HPM_FIRST_WALK = 7,
    HPM_SECOND_WALK = 8,
};
#define EVT_DMASK BIT(15)
#define EVT_PV_PSCV BIT(60)
#define EVT_DV_GSCV BIT(61)
#define EVT_IDT BIT(62)
#define EVT_OF BIT(63)

/* [IOMMU 2.1] device context */
#define TC_V BIT(0)
#define TC_DTF BIT(4)
#define TC_PDTV BIT(5)
#define TC_GADE BIT(7)
#define TC_SADE BIT(8)
#define TC_DPE BIT(9)
#define TC_SBE BIT(10)
#define TC_SXL BIT(11)

/* Page tables: [Priv 12.3, 12.4, 21.5] */
#define PTE_V BIT(0)
#define PTE_R BIT(1)
#define PTE_W BIT(2)
#define PTE_X BIT(3)
#define PTE_U BIT(4)
#define PTE_G BIT(5)
#define PTE_A BIT(6)
#define PTE_D BIT(7)
#define PTE_N BIT(63)

/* [IOMMU 4.2] causes */
enum {
    CAUSE_INSN_ACCESS = 1,
    CAUSE_READ_ACCESS = 5,
    CAUSE_WRITE_ACCESS = 7,
    CAUSE_INSN_PAGE = 12,
    CAUSE_INSN_GUEST = 20,
    CAUSE_ALL_INBOUND = 256,
    CAUSE_DDT_LOAD = 257,
    CAUSE_DDT_INVALID = 258,
    CAUSE_DDT_MISCONFIGURED = 259,
    CAUSE_TYPE_DISALLOWED = 260,
    CAUSE_MSI_LOAD = 261,
    CAUSE_MSI_INVALID = 262,
    CAUSE_MSI_MISCONFIGURED = 263,
    CAUSE_DDT_CORRUPT = 268,
    CAUSE_INTERNAL = 272,
    CAUSE_MSI_WRITE = 273,
};

#endif
