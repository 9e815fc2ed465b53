/*
 * A guest without an operating system: the header of a RISC-V Linux Image, a stack, a trap vector
 * that remembers the trap and goes on behind the instruction. Runs at any RAM base: everything is
 * reached relative to pc.
 */
    .section .head, "ax"
    .balign 4
    .option push
    .option norvc
    j       start
    .word   0
    .option pop
    .dword  0                           /* text_offset */
    .dword  0x100000                    /* image_size: code, data, stacks */
    .dword  0
    .word   2
    .word   0
    .dword  0
    .ascii  "RISCV\0\0\0"
    .ascii  "RSC\x05"
    .word   0

/* Every hart comes in here: a0 = hart id, a1 = opaque. Stacks of 16 KiB from 0x20000 on. */
    .globl start
start:
    lla     sp, image
    li      t0, 0x20000
    add     sp, sp, t0
    addi    t0, a0, 1
    slli    t0, t0, 14
    add     sp, sp, t0
    mv      tp, a0
    lla     t0, trap
    csrw    stvec, t0
    bnez    a0, 1f
    call    main
1:  call    other_hart
2:  wfi
    j       2b

/* The last trap: cause, value and pc; how many there were. Skips 4 bytes, or 2 of a compressed
 * one; a fetch that went wrong returns to ra. */
    .balign 4
    .globl trap
trap:
    csrw    sscratch, t0
    addi    sp, sp, -32
    sd      t1, 0(sp)
    sd      t2, 8(sp)
    lla     t0, last_trap
    csrr    t1, scause
    sd      t1, 0(t0)
    csrr    t2, stval
    sd      t2, 8(t0)
    csrr    t2, sepc
    sd      t2, 16(t0)
    ld      t2, 24(t0)
    addi    t2, t2, 1
    sd      t2, 24(t0)
    li      t2, 1
    beq     t1, t2, 3f                  /* fetch access fault */
    li      t2, 12
    beq     t1, t2, 3f                  /* fetch page fault */
    bltz    t1, 5f                      /* interrupt */
    csrr    t1, sepc
    lhu     t2, 0(t1)
    andi    t2, t2, 3
    addi    t2, t2, -3
    addi    t1, t1, 2
    bnez    t2, 4f
    addi    t1, t1, 2
    j       4f
3:  mv      t1, ra
4:  csrw    sepc, t1
    j       6f
5:  csrci   sip, 2                      /* the software interrupt was seen */
6:  ld      t1, 0(sp)
    ld      t2, 8(sp)
    addi    sp, sp, 32
    csrr    t0, sscratch
    sret

/*
 * long bench_ecall(eid, fid, arg, count): ticks of the time CSR that COUNT calls take. The loop is
 * 8 instructions and the ecall.
 */
    .globl bench_ecall
bench_ecall:
    mv      t3, a0
    mv      t4, a1
    mv      t5, a2
    mv      t6, a3
    rdtime  t2
1:  mv      a0, t5
    li      a1, 0
    li      a2, 0
    mv      a6, t4
    mv      a7, t3
    ecall
    addi    t6, t6, -1
    bnez    t6, 1b
    rdtime  t0
    sub     a0, t0, t2
    ret

/* long bench_load(address, count): ticks that COUNT loads of 32 bits take; the loop is 3
 * instructions. */
    .globl bench_load
bench_load:
    rdtime  t2
1:  lw      t0, 0(a0)
    addi    a1, a1, -1
    bnez    a1, 1b
    rdtime  t0
    sub     a0, t0, t2
    ret

/* long bench_empty(count): ticks of the loops alone. */
    .globl bench_empty
bench_empty:
    rdtime  t2
1:  addi    a0, a0, -1
    bnez    a0, 1b
    rdtime  t0
    sub     a0, t0, t2
    ret
