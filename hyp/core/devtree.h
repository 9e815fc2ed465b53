/* Small readings of a device tree, on top of libfdt. All bounds are checked. */
#ifndef HYP_CORE_DEVTREE_H
#define HYP_CORE_DEVTREE_H

#include <cordon/types.h>

/* The INDEX'th (address, length) of NODE's reg, in the address space of the root: ranges of the
 * parents are applied. Errors: ENOENT (no such entry), EINVAL (cells, or no way up). */
CORDON_MUST_CHECK int devtree_reg(const void *fdt, int node, uint32_t index, uint64_t *address,
                                  uint64_t *len);

/* A property of one cell. Errors: ENOENT. */
CORDON_MUST_CHECK int devtree_u32(const void *fdt, int node, const char *name, uint32_t *out);

/* A property of one or two cells as a number. Errors: ENOENT. */
CORDON_MUST_CHECK int devtree_number(const void *fdt, int node, const char *name, uint64_t *out);

/* True unless status says otherwise. */
bool devtree_enabled(const void *fdt, int node);

/* A number of CELLS (1 or 2) cells. */
uint64_t devtree_cells(const void *words, uint32_t cells);

#endif
