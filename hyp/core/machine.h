/*
 * What the device tree says of the machine. Read once by the first hart; constant afterwards.
 */
#ifndef HYP_CORE_MACHINE_H
#define HYP_CORE_MACHINE_H

#include <cordon/types.h>

#include "config/host_cpu.h"

#define MACHINE_IMSIC_REGS 8u
#define MACHINE_VIRTIO_MAX 32u
#define MACHINE_SEED_BYTES 32u

/* A part of RAM that is not ours to give away, and why. */
struct machine_reserved {
    struct cordon_extent run; /* whole pages */
    bool no_map;              /* not even to be mapped: the firmware's */
    const char *what;
};

/* Interrupt files of the S level and of guests [AIA 3.6, device-tree binding riscv,imsics]. */
struct machine_imsic {
    bool present;
    uint32_t ids;        /* highest interrupt identity */
    uint32_t guest_bits; /* log2 of pages a hart has: its own file and guests' */
    uint32_t reg_count;
    struct cordon_extent reg[MACHINE_IMSIC_REGS];
};

struct machine_iommu {
    cordon_hpa base;
    uint32_t phandle;
};

struct machine {
    const void *fdt; /* our own copy, once memory is up */
    cordon_hpa fdt_found;
    uint32_t bank_count;
    struct cordon_extent bank[CORDON_MAX_BANKS]; /* ascending, whole pages */
    uint32_t reserved_count;
    struct machine_reserved reserved[CORDON_MAX_BANKS];
    uint64_t timebase; /* ticks a second */
    cordon_hpa bundle; /* the initrd, where the bundle lies; bytes, not pages */
    uint64_t bundle_len;
    struct machine_imsic imsic;
    uint32_t iommu_count;
    struct machine_iommu iommu[CORDON_MAX_IOMMUS];
    uint32_t virtio_count;
    cordon_hpa virtio[MACHINE_VIRTIO_MAX];
    cordon_hpa finisher; /* sifive,test0: a register that ends an emulator with a status, 0: none */
    struct host_cpu cpu; /* what all harts have */
    bool has_seed;       /* firmware hands over random bytes: never given to a guest as they are */
    uint8_t seed[MACHINE_SEED_BYTES];
};

extern struct machine machine;

/* Read the tree at FDT into MACHINE and HARTS. On an error *WHAT says in words what is wrong.
 * Errors: EINVAL, ELIMIT, ENOENT. */
CORDON_MUST_CHECK int machine_read(const void *fdt, cordon_hpa fdt_hpa, const char **what);

/* Add a reserved part, widened to whole pages. Errors: ELIMIT. */
CORDON_MUST_CHECK int machine_reserve(cordon_hpa hpa, uint64_t len, bool no_map, const char *what);

/* LEN bytes of RAM, ALIGN'ed, that nothing has reserved, the first at or above FROM. Errors:
 * ENOMEM. */
CORDON_MUST_CHECK int machine_find_gap(uint64_t from, uint64_t len, uint64_t align,
                                       cordon_hpa *out);

/* True if any byte of the range is RAM; all bytes. */
bool machine_ram_touches(cordon_hpa hpa, uint64_t len);
bool machine_ram_holds(cordon_hpa hpa, uint64_t len);

/* True if every hart has extension NAME ("sstc"), one of those that guests may be told of. */
bool machine_isa_has(const char *name);

/* HPA of the S-level interrupt file of the hart that is entry I of the IMSIC's list. Errors:
 * ENOENT. */
CORDON_MUST_CHECK int machine_imsic_file(uint32_t i, cordon_hpa *out);

#endif
