/*
 * Where firmware enters: the header of a RISC-V Linux Image, the first hart, the other harts.
 *
 * The first hart comes with the MMU off at whatever address, a multiple of 2 MiB, it was loaded to.
 * It makes a first table (the image at its linked address, a window of 1 GiB leaves on physical
 * memory) and turns it on: the fetch after the write of satp faults, and the trap vector, a linked
 * address, is where it goes on. So nothing is ever mapped at its physical address. [Priv 12.1.11]
 */
#include "boot/layout.h"

    .section .head, "ax"
    .balign 4
    .globl _head
_head:
    .option push
    .option norvc
    j       start
    .word   0
    .option pop
    .dword  0x200000                    /* text_offset from the start of RAM */
    .dword  _image_end - _image_start
    .dword  0                           /* flags: little-endian */
    .word   2                           /* header version 0.2 */
    .word   0
    .dword  told - _head                /* reserved: ours is vm/told.h */
    .ascii  "RISCV\0\0\0"
    .ascii  "RSC\x05"
    .word   0

start:
    csrw    sie, zero
    mv      s0, a0                      /* hart id */
    mv      s1, a1                      /* device tree */
    lla     s2, _head                   /* where we are */
    lla     t0, _bss_start
    lla     t1, _image_end
1:  sd      zero, 0(t0)
    addi    t0, t0, 8
    bltu    t0, t1, 1b

    /* The image in leaves of 2 MiB, rights as they come; the final table has W^X. */
    lla     t0, boot_image_table
    mv      t1, s2
    lla     t2, _image_end
    li      t4, 0x200000
2:  srli    t3, t1, 2
    ori     t3, t3, 0xcf                /* D A X W R V */
    sd      t3, 0(t0)
    addi    t0, t0, 8
    add     t1, t1, t4
    bltu    t1, t2, 2b

    lla     s3, boot_root_table
    lla     t0, boot_image_table
    srli    t0, t0, 2
    ori     t0, t0, 1
    li      t1, ((VA_IMAGE >> 30) & 511) * 8
    add     t1, t1, s3
    sd      t0, 0(t1)

    /* The window: GiB from max(0, ours - BOOT_WINDOW_BEFORE) on. */
    srli    t0, s2, 30
    li      t1, BOOT_WINDOW_BEFORE
    bgeu    t0, t1, 3f
    mv      t1, t0
3:  sub     t0, t0, t1
    slli    s4, t0, 30                  /* first byte of the window */
    srli    t0, s4, 2
    ori     t0, t0, 0xc7                /* D A W R V */
    li      t1, BOOT_WINDOW_GIB
    addi    t2, s3, 1024
    addi    t2, t2, 1024                /* entry 256 */
    li      t3, 1 << 28
4:  sd      t0, 0(t2)
    add     t0, t0, t3
    addi    t2, t2, 8
    addi    t1, t1, -1
    bnez    t1, 4b

    /* Two GiB from the one on that the device tree begins in. */
    srli    t0, s1, 30
    slli    t0, t0, 28
    ori     t0, t0, 0xc7
    li      t1, ((BOOT_FDT_WINDOW >> 30) & 511) * 8
    add     t1, t1, s3
    sd      t0, 0(t1)
    add     t0, t0, t3
    sd      t0, 8(t1)

    li      t0, VA_IMAGE
    sub     t0, t0, s2                  /* linked minus real */
    lla     t1, 5f
    add     t1, t1, t0
    csrw    stvec, t1
    srli    t1, s3, 12
    li      t2, 8 << 60
    or      t1, t1, t2
    sfence.vma
    csrw    satp, t1
    nop
    .balign 4
5:  lla     t0, boot_trap
    csrw    stvec, t0
    csrw    sscratch, zero
    lla     sp, boot_stack_top
    li      s5, 0
    mv      a0, s0
    mv      a1, s1
    mv      a2, s2
    mv      a3, s4
    mv      s0, zero
    call    boot_main

/* A fault before the real trap vector stands: nothing can be said yet. */
    .balign 4
boot_trap:
    wfi
    j       boot_trap

/*
 * Other harts: a0 = hart id, a1 = physical address of a struct hart_start.
 */
    .balign 4
    .globl boot_secondary
boot_secondary:
    csrw    sie, zero
    ld      t0, HART_START_SATP(a1)
    ld      t1, HART_START_ENTRY(a1)
    ld      sp, HART_START_SP(a1)
    ld      tp, HART_START_TP(a1)
    lla     t2, 6f
    lla     t3, _head
    sub     t2, t2, t3
    li      t3, VA_IMAGE
    add     t2, t2, t3
    csrw    stvec, t2
    csrw    sscratch, zero
    mv      s0, zero
    sfence.vma
    csrw    satp, t0
    nop
    .balign 4
6:  lla     t0, trap_entry
    csrw    stvec, t0
    jr      t1

/* boot_switch_table(satp): the code stands at the same address in both. */
    .text
    .balign 4
    .globl boot_switch_table
boot_switch_table:
    sfence.vma
    csrw    satp, a0
    sfence.vma
    ret

/* boot_switch_stack(sp, tp, fn): never returns. */
    .globl boot_switch_stack
boot_switch_stack:
    mv      sp, a0
    mv      tp, a1
    lla     t0, trap_entry
    csrw    stvec, t0
    mv      s0, zero
    jr      a2

    .section .bss
    .balign 4096
boot_root_table:
    .zero   4096
boot_image_table:
    .zero   4096
    .balign 16
boot_stack:
    .zero   8192
boot_stack_top:
