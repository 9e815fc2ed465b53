/*
 * The device tree of a guest: made whole, or a supplied one completed.
 *
 * What a guest sees is in vm_config.h (guest layout): a UART, an APLIC in MSI mode, an interrupt
 * file a vCPU, a PCI host bridge whose messages go there. There is no IOMMU and no INTx. The
 * contiguous pool is a reserved-memory node outside of RAM, so that Linux neither uses it nor calls
 * it RAM: user space may map it through /dev/mem in a kernel with STRICT_DEVMEM and
 * IO_STRICT_DEVMEM.
 */
#ifndef HYP_CONFIG_GUEST_DT_H
#define HYP_CONFIG_GUEST_DT_H

#include "config/host_cpu.h"
#include "config/vm_config.h"

#define GUEST_DT_BYTES 0x10000u /* always enough for a tree of ours */
#define GUEST_RNG_BYTES 32u

struct guest_dt {
    const struct vm_config *vm;
    struct host_cpu cpu; /* of all harts that the guest may run on, isa as isa_offer leaves it */
    uint32_t timebase_hz;
    uint32_t imsic_ids; /* interrupt identities of a guest interrupt file: 63, 127, .. 2047 */
    cordon_gpa initrd;  /* where it was put; its length is the VM's */
    bool has_random;    /* random bytes, no other guest's: for its kernel's generator and layout */
    uint8_t rng_seed[GUEST_RNG_BYTES];
    uint64_t kaslr_seed;
};

/*
 * Make the guest's tree in SIZE bytes at BUF (8-byte aligned). fdt_totalsize says how much was
 * used. Errors: ELIMIT (buffer), ENOTSUP (cpu lacks what a guest needs: isa_required, an MMU),
 * EINVAL (imsic_ids).
 */
CORDON_MUST_CHECK int guest_dt_make(const struct guest_dt *in, void *buf, uint32_t size);

/*
 * Complete the tree of LEN bytes that the bundle supplies at DTB (any alignment): timebase, what
 * the vCPUs can do, RAM, pool, bootargs and initrd; all else is left as it is. It must name vCPUs 0
 * to vcpus-1. Errors: as above, and EINVAL (WHY names what in it is wrong).
 */
CORDON_MUST_CHECK int guest_dt_patch(const struct guest_dt *in, const void *dtb, uint64_t len,
                                     void *buf, uint32_t size, struct config_error *why);

/* The value of mmu-type. */
const char *guest_dt_mmu(enum host_mmu mmu);

/* -CORDON_E* if IN cannot become a tree. */
CORDON_MUST_CHECK int guest_dt_check(const struct guest_dt *in);

#endif
