/*
 * The hypervisor's own tables, Sv39 or Sv48 [Priv 12.4, 12.5]. They only grow: what is mapped
 * stays.
 */
#ifndef HYP_BOOT_TABLES_H
#define HYP_BOOT_TABLES_H

#include <cordon/types.h>

/* Begin with an empty root, in frames of the arena. LEVELS 3 or 4. Errors: ENOMEM. */
CORDON_MUST_CHECK int tables_begin(unsigned levels);

/* Map [va, va+len) to hpa.., pages aligned, largest leaves first, with RIGHTS (CORDON_READ..).
 * Write and execute together are refused. Errors: EPERM, EALIGN, EEXIST, ENOMEM (part is
 * mapped). */
CORDON_MUST_CHECK int tables_map(uint64_t va, cordon_hpa hpa, uint64_t len, uint32_t rights);

/* Make new words visible to the walkers of every hart. */
void tables_fence(void);

/* The value for satp. */
uint64_t tables_satp(void);

struct tables_sum {
    uint64_t leaves, executable, writable, both; /* numbers of leaves */
};

/* Count all leaves. BOTH (writable and executable) is 0 unless something is broken. */
void tables_count(struct tables_sum *out);

/* True if VA is mapped; RIGHTS gets those of the leaf. */
bool tables_find(uint64_t va, uint32_t *rights);

#endif
