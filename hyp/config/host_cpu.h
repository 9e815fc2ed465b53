/* What the machine's device tree says of a hart, as far as guests are told of it. */
#ifndef HYP_CONFIG_HOST_CPU_H
#define HYP_CONFIG_HOST_CPU_H

#include <cordon/types.h>

/* Translation that harts offer, the first stage: each includes the ones before it. */
enum host_mmu { HOST_MMU_NONE = 0, HOST_MMU_SV39 = 39, HOST_MMU_SV48 = 48, HOST_MMU_SV57 = 57 };

struct host_cpu {
    uint64_t isa; /* isa.h: extensions of the hart that are on the list */
    enum host_mmu mmu;
    uint32_t cbom_bytes, cbop_bytes, cboz_bytes; /* cache block sizes, 0: not said, or none */
};

/* Read the cpu node at NODE of a tree that has passed fdt_check_full. Errors: EINVAL (no rv64 hart:
 * its properties are missing or malformed). */
CORDON_MUST_CHECK int host_cpu_read(const void *tree, int node, struct host_cpu *out);

/* Reduce CPU to what OTHER has too, for a guest may run on either. A block size that differs is
 * dropped, with the extensions that work on such blocks. */
void host_cpu_join(struct host_cpu *cpu, const struct host_cpu *other);

#endif
