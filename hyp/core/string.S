/*
 * memset and memcpy, eight bytes a store where that is aligned. The C library's own are built for
 * size, a byte at a time: to scrub a guest's memory with them takes four instructions a byte.
 */
    .text

/*
 * Whole pages of zeroes: each frame that comes to a guest. By cache blocks where cbo.c allows it,
 * 136 instructions a page of blocks of 64 bytes; else by stores, 546.
 */
zero_pages:
    add     t2, a0, a2
    lla     t1, zero_block
    ld      t1, 0(t1)
    beqz    t1, 2f
1:  .rept   8
    .insn   i 0x0f, 2, x0, t0, 4        /* cbo.zero (t0) */
    add     t0, t0, t1
    .endr
    bltu    t0, t2, 1b
    ret
2:  .set    at, 0
    .rept   32
    sd      zero, at(t0)
    .set    at, at + 8
    .endr
    addi    t0, t0, 256
    bltu    t0, t2, 2b
    ret

/* void *memset(void *to, int byte, size_t len) */
    .globl memset
    .balign 4
memset:
    mv      t0, a0
    andi    a1, a1, 255
    or      t1, a0, a2
    slli    t1, t1, 52                  /* of both, the bits below a page */
    or      t1, t1, a1
    seqz    t2, a2
    or      t1, t1, t2
    beqz    t1, zero_pages
    slli    t1, a1, 8
    or      a1, a1, t1
    slli    t1, a1, 16
    or      a1, a1, t1
    slli    t1, a1, 32
    or      a1, a1, t1
    li      t3, 64
    bltu    a2, t3, 4f
1:  andi    t1, t0, 7
    beqz    t1, 2f
    sb      a1, 0(t0)
    addi    t0, t0, 1
    addi    a2, a2, -1
    j       1b
2:  bltu    a2, t3, 4f
3:  sd      a1, 0(t0)
    sd      a1, 8(t0)
    sd      a1, 16(t0)
    sd      a1, 24(t0)
    sd      a1, 32(t0)
    sd      a1, 40(t0)
    sd      a1, 48(t0)
    sd      a1, 56(t0)
    addi    t0, t0, 64
    addi    a2, a2, -64
    bgeu    a2, t3, 3b
4:  beqz    a2, 6f
5:  sb      a1, 0(t0)
    addi    t0, t0, 1
    addi    a2, a2, -1
    bnez    a2, 5b
6:  ret

/* void *memcpy(void *restrict to, const void *restrict from, size_t len) */
    .globl memcpy
    .balign 4
memcpy:
    mv      t0, a0
    li      t3, 64
    bltu    a2, t3, 4f
    xor     t1, a0, a1
    andi    t1, t1, 7
    bnez    t1, 4f
1:  andi    t1, t0, 7
    beqz    t1, 2f
    lbu     t2, 0(a1)
    sb      t2, 0(t0)
    addi    a1, a1, 1
    addi    t0, t0, 1
    addi    a2, a2, -1
    j       1b
2:  bltu    a2, t3, 4f
3:  ld      t1, 0(a1)
    ld      t2, 8(a1)
    ld      t4, 16(a1)
    ld      t5, 24(a1)
    sd      t1, 0(t0)
    sd      t2, 8(t0)
    sd      t4, 16(t0)
    sd      t5, 24(t0)
    ld      t1, 32(a1)
    ld      t2, 40(a1)
    ld      t4, 48(a1)
    ld      t5, 56(a1)
    sd      t1, 32(t0)
    sd      t2, 40(t0)
    sd      t4, 48(t0)
    sd      t5, 56(t0)
    addi    a1, a1, 64
    addi    t0, t0, 64
    addi    a2, a2, -64
    bgeu    a2, t3, 3b
4:  beqz    a2, 6f
5:  lbu     t2, 0(a1)
    sb      t2, 0(t0)
    addi    a1, a1, 1
    addi    t0, t0, 1
    addi    a2, a2, -1
    bnez    a2, 5b
6:  ret
