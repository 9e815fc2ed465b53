/* Registers of an APLIC domain [AIA 4.5], offsets in bytes. */
#ifndef VDEV_APLIC_APLIC_REGS_H
#define VDEV_APLIC_APLIC_REGS_H

#define APLIC_DOMAINCFG 0x0000u
#define APLIC_SOURCECFG1 0x0004u
#define APLIC_SETIP0 0x1C00u
#define APLIC_SETIPNUM 0x1CDCu
#define APLIC_IN_CLRIP0 0x1D00u
#define APLIC_CLRIPNUM 0x1DDCu
#define APLIC_SETIE0 0x1E00u
#define APLIC_SETIENUM 0x1EDCu
#define APLIC_CLRIE0 0x1F00u
#define APLIC_CLRIENUM 0x1FDCu
#define APLIC_SETIPNUM_LE 0x2000u
#define APLIC_GENMSI 0x3000u
#define APLIC_TARGET1 0x3004u

#define DOMAINCFG_FIXED 0x80000004u /* bits 31:24, and DM: MSI delivery */
#define DOMAINCFG_IE 0x100u

#define SOURCECFG_D 0x400u
#define SOURCECFG_SM 0x7u

enum aplic_mode {
    APLIC_INACTIVE = 0,
    APLIC_DETACHED = 1,
    APLIC_EDGE1 = 4,
    APLIC_EDGE0 = 5,
    APLIC_LEVEL1 = 6,
    APLIC_LEVEL0 = 7
};

/* target and genmsi share these. */
#define TARGET_HART_SHIFT 18u
#define TARGET_EIID 0x7FFu
#define TARGET_WRITABLE 0xFFFC07FFu

#endif
