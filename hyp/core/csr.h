/*
 * Control and status registers by number [Priv 2.2; AIA 2.1], their fields, and the fences of the
 * hypervisor extension. Numbers, since assemblers differ in which names they know.
 */
#ifndef HYP_CORE_CSR_H
#define HYP_CORE_CSR_H

#include <stdint.h>

#define CSR_SSTATUS 0x100
#define CSR_SIE 0x104
#define CSR_STVEC 0x105
#define CSR_SCOUNTEREN 0x106
#define CSR_SENVCFG 0x10A
#define CSR_SSTATEEN0 0x10C
#define CSR_SSCRATCH 0x140
#define CSR_SEPC 0x141
#define CSR_SCAUSE 0x142
#define CSR_STVAL 0x143
#define CSR_SIP 0x144
#define CSR_STIMECMP 0x14D
#define CSR_SISELECT 0x150
#define CSR_SIREG 0x151
#define CSR_STOPEI 0x15C
#define CSR_SATP 0x180
#define CSR_VSSTATUS 0x200
#define CSR_VSIE 0x204
#define CSR_VSTVEC 0x205
#define CSR_VSSCRATCH 0x240
#define CSR_VSEPC 0x241
#define CSR_VSCAUSE 0x242
#define CSR_VSTVAL 0x243
#define CSR_VSIP 0x244
#define CSR_VSTIMECMP 0x24D
#define CSR_VSISELECT 0x250
#define CSR_VSIREG 0x251
#define CSR_VSATP 0x280
#define CSR_HSTATUS 0x600
#define CSR_HEDELEG 0x602
#define CSR_HIDELEG 0x603
#define CSR_HIE 0x604
#define CSR_HTIMEDELTA 0x605
#define CSR_HCOUNTEREN 0x606
#define CSR_HGEIE 0x607
#define CSR_HVIEN 0x608
#define CSR_HVICTL 0x609
#define CSR_HENVCFG 0x60A
#define CSR_HSTATEEN0 0x60C
#define CSR_HTVAL 0x643
#define CSR_HIP 0x644
#define CSR_HVIP 0x645
#define CSR_HTINST 0x64A
#define CSR_HVIPRIO1 0x646
#define CSR_HVIPRIO2 0x647
#define CSR_HGATP 0x680
#define CSR_CYCLE 0xC00
#define CSR_INSTRET 0xC02
#define CSR_HGEIP 0xE12

#define SSTATUS_SIE (UINT64_C(1) << 1)
#define SSTATUS_SPIE (UINT64_C(1) << 5)
#define SSTATUS_SPP (UINT64_C(1) << 8)
#define SSTATUS_VS (UINT64_C(3) << 9)
#define SSTATUS_FS (UINT64_C(3) << 13)
#define SSTATUS_SUM (UINT64_C(1) << 18)
#define SSTATUS_MXR (UINT64_C(1) << 19)

#define SATP_MODE_SV39 (UINT64_C(8) << 60)
#define SATP_MODE_SV48 (UINT64_C(9) << 60)
#define SATP_MODE (UINT64_C(15) << 60)

#define HSTATUS_SPV (UINT64_C(1) << 7)
#define HSTATUS_SPVP (UINT64_C(1) << 8)
#define HSTATUS_VGEIN_SHIFT 12
#define HSTATUS_VSXL_64 (UINT64_C(2) << 32)

#define COUNTEREN_TIME UINT64_C(2)

#define HENVCFG_FIOM (UINT64_C(1) << 0)
#define HENVCFG_CBIE_FLUSH (UINT64_C(1) << 4)
#define HENVCFG_CBCFE (UINT64_C(1) << 6)
#define HENVCFG_CBZE (UINT64_C(1) << 7)
#define HENVCFG_ADUE (UINT64_C(1) << 61)
#define HENVCFG_PBMTE (UINT64_C(1) << 62)
#define HENVCFG_STCE (UINT64_C(1) << 63)

#define HSTATEEN0_CONTEXT (UINT64_C(1) << 57)
#define HSTATEEN0_IMSIC (UINT64_C(1) << 58)
#define HSTATEEN0_AIA (UINT64_C(1) << 59)
#define HSTATEEN0_CSRIND (UINT64_C(1) << 60)
#define HSTATEEN0_ENVCFG (UINT64_C(1) << 62)
#define HSTATEEN0_SE0 (UINT64_C(1) << 63)

#define HGATP_MODE_SV39X4 (UINT64_C(8) << 60)
#define HGATP_MODE_SV48X4 (UINT64_C(9) << 60)
#define HGATP_MODE_SV57X4 (UINT64_C(10) << 60)
#define HGATP_VMID_SHIFT 44
#define HGATP_VMID_MASK UINT64_C(0x3fff)

/* Interrupts: bits of sip, sie, hip, hvip and hideleg. */
#define IRQ_SSI (UINT64_C(1) << 1)
#define IRQ_VSSI (UINT64_C(1) << 2)
#define IRQ_STI (UINT64_C(1) << 5)
#define IRQ_VSTI (UINT64_C(1) << 6)
#define IRQ_SEI (UINT64_C(1) << 9)
#define IRQ_VSEI (UINT64_C(1) << 10)

#define CAUSE_INTERRUPT (UINT64_C(1) << 63)
#define CAUSE_FETCH_MISALIGNED 0u
#define CAUSE_FETCH_ACCESS 1u
#define CAUSE_ILLEGAL 2u
#define CAUSE_BREAKPOINT 3u
#define CAUSE_LOAD_MISALIGNED 4u
#define CAUSE_LOAD_ACCESS 5u
#define CAUSE_STORE_MISALIGNED 6u
#define CAUSE_STORE_ACCESS 7u
#define CAUSE_ECALL_U 8u
#define CAUSE_ECALL_VS 10u
#define CAUSE_FETCH_PAGE 12u
#define CAUSE_LOAD_PAGE 13u
#define CAUSE_STORE_PAGE 15u
#define CAUSE_FETCH_GUEST_PAGE 20u
#define CAUSE_LOAD_GUEST_PAGE 21u
#define CAUSE_VIRTUAL 22u
#define CAUSE_STORE_GUEST_PAGE 23u

#define CSR_STRING(x) #x

#define csr_read(number)                                                              \
    ({                                                                                \
        uint64_t csr_value;                                                           \
        __asm__ volatile("csrr %0, " CSR_STRING(number) : "=r"(csr_value)::"memory"); \
        csr_value;                                                                    \
    })
#define csr_write(number, value) \
    __asm__ volatile("csrw " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_set(number, value) \
    __asm__ volatile("csrs " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_clear(number, value) \
    __asm__ volatile("csrc " CSR_STRING(number) ", %0" ::"rK"((uint64_t)(value)) : "memory")
#define csr_swap(number, value)                                 \
    ({                                                          \
        uint64_t csr_value;                                     \
        __asm__ volatile("csrrw %0, " CSR_STRING(number) ", %1" \
                         : "=r"(csr_value)                      \
                         : "rK"((uint64_t)(value))              \
                         : "memory");                           \
        csr_value;                                              \
    })

static inline void hart_wait_for_interrupt(void)
{
    __asm__ volatile("wfi" ::: "memory");
}

static inline void hart_fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

static inline void hart_fence_own_tables(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

/* hfence.gvma of everything [Priv 18.3.2]. */
static inline void hart_fence_gstage(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" ::: "memory");
}

/* hfence.gvma of the VMID in this hart's hgatp, leaves and tables alike. */
static inline void hart_fence_gstage_current(void)
{
    uint64_t vmid = csr_read(CSR_HGATP) >> HGATP_VMID_SHIFT & HGATP_VMID_MASK;

    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, %0" ::"r"(vmid) : "memory");
}

/* hfence.vvma of everything of the current VMID. */
static inline void hart_fence_vstage(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x11, x0, x0, x0" ::: "memory");
}

static inline uint64_t hart_time(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

#endif
