/*
 * The hypervisor's own virtual addresses [Priv 12.4, 12.5]: all in the upper half.
 *
 *   direct map   Sv39: the lower 254 GiB of the upper half; Sv48: all of it but the top 2 GiB
 *   VA_IMAGE     code, constants, data, as linked
 *   VA_STACKS    a slot a hart: guard, emergency stack, guard, stack, guard
 *   VA_MMIO      device registers, mapped on demand
 *
 * Also read by the assembler: only plain numbers here.
 */
#ifndef HYP_BOOT_LAYOUT_H
#define HYP_BOOT_LAYOUT_H

#define VA_DIRECT_SV39 0xffffffc000000000
#define VA_DIRECT_SV48 0xffff800000000000
#define VA_IMAGE 0xffffffff80000000
#define VA_STACKS 0xffffffffc0000000
#define VA_MMIO 0xffffffffd0000000
#define VA_MMIO_END 0xfffffffff0000000

#define STACK_SLOT 0x10000
#define STACK_EMERGENCY 0x1000 /* offsets into the slot */
#define STACK_EMERGENCY_TOP 0x3000
#define STACK_MAIN 0x4000
#define STACK_MAIN_TOP 0xf000

/* The window of 1 GiB leaves that the first table, Sv39, opens on physical memory. */
#define BOOT_WINDOW_GIB 254
#define BOOT_WINDOW_BEFORE 127 /* GiB below the image, at most */

/* And one of 2 GiB on the device tree, which may lie anywhere. */
#define BOOT_FDT_WINDOW 0x3f80000000

/* Offsets of struct hart_start, which a hart reads before it has any table. */
#define HART_START_SATP 0
#define HART_START_ENTRY 8
#define HART_START_SP 16
#define HART_START_TP 24

#endif
