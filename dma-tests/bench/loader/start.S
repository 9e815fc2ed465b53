/*
 * Stands before a Linux Image and starts it, with or without a hypervisor below: says the time of
 * its own first instruction, sets up the IOMMU if it is told to, and jumps. Runs where it was
 * loaded.
 */
    .section .head, "ax"
    .balign 4
    .globl _head
_head:
    .option push
    .option norvc
    j       start
    .word   0
    .option pop
    .dword  0x200000                    /* text_offset */
    .dword  0                           /* image_size: filled in when joined with a kernel */
    .dword  0
    .word   2
    .word   0
    .dword  0
    .ascii  "RISCV\0\0\0"
    .ascii  "RSC\x05"
    .word   0

/* What the loader is told (struct orders), at offset 64; whoever joins fills it in. */
    .globl orders
orders:
    .fill   7, 8, 0

start:
    rdtime  a2
    lla     sp, stack_top
    mv      s0, a0                      /* hart id */
    call    load                        /* load(hart id, device tree, time): the tree to use */
    mv      a1, a0
    mv      a0, s0
    lla     t0, _head
    li      t1, 0x200000                /* LOADER_BYTES */
    add     t0, t0, t1
    fence.i
    jr      t0

    .section .bss
    .balign 16
    .zero   16384
stack_top:
