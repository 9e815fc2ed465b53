/*
 * The trap vector, and the ways into a guest and out.
 *
 * While a guest runs, sscratch holds its struct vcpu; while we run, it is 0. A vCPU is pinned to
 * its hart, so registers that C preserves (s0-s11, gp since nothing of ours uses it, and the
 * floating-point and vector registers) simply stay where they are: a call of the SBI saves 18
 * registers and no more, and so does an access to an emulated register that goes to or from one of
 * these, and the first touch of a page. Other exits save all.
 */
#include "boot/layout.h"
#include "core/hart_offsets.h"
#include "vcpu/vcpu_offsets.h"

#define CAUSE_ECALL_VS 10
#define CAUSE_LOAD_GUEST_PAGE 21
#define CAUSE_STORE_GUEST_PAGE 23
#define FRAME_BYTES 256

    .text
    .balign 4
    .globl trap_entry
trap_entry:
    csrrw   a0, sscratch, a0
    beqz    a0, own_fault
    sd      ra, VCPU_X(1)(a0)
    sd      sp, VCPU_X(2)(a0)
    sd      tp, VCPU_X(4)(a0)
    sd      t0, VCPU_X(5)(a0)
    sd      t1, VCPU_X(6)(a0)
    sd      t2, VCPU_X(7)(a0)
    sd      a1, VCPU_X(11)(a0)
    sd      a2, VCPU_X(12)(a0)
    sd      a3, VCPU_X(13)(a0)
    sd      a4, VCPU_X(14)(a0)
    sd      a5, VCPU_X(15)(a0)
    sd      a6, VCPU_X(16)(a0)
    sd      a7, VCPU_X(17)(a0)
    sd      t3, VCPU_X(28)(a0)
    sd      t4, VCPU_X(29)(a0)
    sd      t5, VCPU_X(30)(a0)
    sd      t6, VCPU_X(31)(a0)
    csrrw   t0, sscratch, zero
    sd      t0, VCPU_X(10)(a0)
    ld      sp, VCPU_HYP_SP(a0)
    ld      tp, VCPU_HART(a0)
    csrr    a1, scause
    li      t1, CAUSE_ECALL_VS
    bne     a1, t1, exit_other
    call    vcpu_ecall
    ld      a0, HART_VCPU(tp)

/* Back into the guest, a0 = vCPU. */
resume:
    csrw    sscratch, a0
    ld      ra, VCPU_X(1)(a0)
    ld      sp, VCPU_X(2)(a0)
    ld      tp, VCPU_X(4)(a0)
    ld      t0, VCPU_X(5)(a0)
    ld      t1, VCPU_X(6)(a0)
    ld      t2, VCPU_X(7)(a0)
    ld      a1, VCPU_X(11)(a0)
    ld      a2, VCPU_X(12)(a0)
    ld      a3, VCPU_X(13)(a0)
    ld      a4, VCPU_X(14)(a0)
    ld      a5, VCPU_X(15)(a0)
    ld      a6, VCPU_X(16)(a0)
    ld      a7, VCPU_X(17)(a0)
    ld      t3, VCPU_X(28)(a0)
    ld      t4, VCPU_X(29)(a0)
    ld      t5, VCPU_X(30)(a0)
    ld      t6, VCPU_X(31)(a0)
    ld      a0, VCPU_X(10)(a0)
    sret

/* An emulated register, or a page that is touched first, is the next most usual reason. */
exit_other:
    li      t1, CAUSE_LOAD_GUEST_PAGE
    beq     a1, t1, 1f
    li      t1, CAUSE_STORE_GUEST_PAGE
    bne     a1, t1, exit_slow
1:  call    vcpu_fault_fast
    mv      t0, a0
    ld      a0, HART_VCPU(tp)
    bnez    t0, resume

exit_slow:
    sd      gp, VCPU_X(3)(a0)
    sd      s0, VCPU_X(8)(a0)
    sd      s1, VCPU_X(9)(a0)
    sd      s2, VCPU_X(18)(a0)
    sd      s3, VCPU_X(19)(a0)
    sd      s4, VCPU_X(20)(a0)
    sd      s5, VCPU_X(21)(a0)
    sd      s6, VCPU_X(22)(a0)
    sd      s7, VCPU_X(23)(a0)
    sd      s8, VCPU_X(24)(a0)
    sd      s9, VCPU_X(25)(a0)
    sd      s10, VCPU_X(26)(a0)
    sd      s11, VCPU_X(27)(a0)
    call    vcpu_exit
    ld      a0, HART_VCPU(tp)
resume_all:
    ld      gp, VCPU_X(3)(a0)
    ld      s0, VCPU_X(8)(a0)
    ld      s1, VCPU_X(9)(a0)
    ld      s2, VCPU_X(18)(a0)
    ld      s3, VCPU_X(19)(a0)
    ld      s4, VCPU_X(20)(a0)
    ld      s5, VCPU_X(21)(a0)
    ld      s6, VCPU_X(22)(a0)
    ld      s7, VCPU_X(23)(a0)
    ld      s8, VCPU_X(24)(a0)
    ld      s9, VCPU_X(25)(a0)
    ld      s10, VCPU_X(26)(a0)
    ld      s11, VCPU_X(27)(a0)
    j       resume

/* A fault of our own. sscratch holds a0. On the emergency stack, unless we are on it already. */
own_fault:
    ld      a0, HART_EMERGENCY(tp)
    sub     a0, a0, sp
    srli    a0, a0, 13
    .if STACK_EMERGENCY_TOP - STACK_EMERGENCY != (1 << 13)
    .error "the emergency stack is not 8 KiB"
    .endif
    beqz    a0, 1f
    ld      a0, HART_EMERGENCY(tp)
    j       2f
1:  andi    a0, sp, -16
2:  addi    a0, a0, -FRAME_BYTES
    sd      ra, 8(a0)
    sd      sp, 16(a0)
    sd      gp, 24(a0)
    sd      tp, 32(a0)
    sd      t0, 40(a0)
    sd      t1, 48(a0)
    sd      t2, 56(a0)
    sd      s0, 64(a0)
    sd      s1, 72(a0)
    sd      a1, 88(a0)
    sd      a2, 96(a0)
    sd      a3, 104(a0)
    sd      a4, 112(a0)
    sd      a5, 120(a0)
    sd      a6, 128(a0)
    sd      a7, 136(a0)
    sd      s2, 144(a0)
    sd      s3, 152(a0)
    sd      s4, 160(a0)
    sd      s5, 168(a0)
    sd      s6, 176(a0)
    sd      s7, 184(a0)
    sd      s8, 192(a0)
    sd      s9, 200(a0)
    sd      s10, 208(a0)
    sd      s11, 216(a0)
    sd      t3, 224(a0)
    sd      t4, 232(a0)
    sd      t5, 240(a0)
    sd      t6, 248(a0)
    csrrw   t0, sscratch, zero
    sd      t0, 80(a0)
    mv      sp, a0
    call    own_trap
    mv      a0, sp
    ld      ra, 8(a0)
    ld      t0, 40(a0)
    ld      t1, 48(a0)
    ld      t2, 56(a0)
    ld      a1, 88(a0)
    ld      a2, 96(a0)
    ld      a3, 104(a0)
    ld      a4, 112(a0)
    ld      a5, 120(a0)
    ld      a6, 128(a0)
    ld      a7, 136(a0)
    ld      t3, 224(a0)
    ld      t4, 232(a0)
    ld      t5, 240(a0)
    ld      t6, 248(a0)
    ld      sp, 16(a0)
    ld      a0, 80(a0)
    sret

/*
 * vcpu_run(vcpu): enter the guest with the registers in VCPU; sepc, sstatus and the rest are set.
 * Returns when something on this hart calls vcpu_leave(vcpu).
 */
    .globl vcpu_run
vcpu_run:
    addi    sp, sp, -112
    sd      ra, 0(sp)
    sd      s0, 8(sp)
    sd      s1, 16(sp)
    sd      s2, 24(sp)
    sd      s3, 32(sp)
    sd      s4, 40(sp)
    sd      s5, 48(sp)
    sd      s6, 56(sp)
    sd      s7, 64(sp)
    sd      s8, 72(sp)
    sd      s9, 80(sp)
    sd      s10, 88(sp)
    sd      s11, 96(sp)
    sd      gp, 104(sp)
    sd      sp, VCPU_HYP_SP(a0)
    j       resume_all

/* vcpu_leave(vcpu): out of the handler of an exit, back to who called vcpu_run. */
    .globl vcpu_leave
vcpu_leave:
    ld      sp, VCPU_HYP_SP(a0)
    ld      ra, 0(sp)
    ld      s0, 8(sp)
    ld      s1, 16(sp)
    ld      s2, 24(sp)
    ld      s3, 32(sp)
    ld      s4, 40(sp)
    ld      s5, 48(sp)
    ld      s6, 56(sp)
    ld      s7, 64(sp)
    ld      s8, 72(sp)
    ld      s9, 80(sp)
    ld      s10, 88(sp)
    ld      s11, 96(sp)
    ld      gp, 104(sp)
    addi    sp, sp, 112
    ret
