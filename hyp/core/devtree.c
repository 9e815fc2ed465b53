/* Small readings of a device tree, on top of libfdt [Devicetree Specification 0.4, 2.3]. */
#include "core/devtree.h"

#include <cordon/error.h>
#include <libfdt.h>
#include <string.h>

uint64_t devtree_cells(const void *words, uint32_t cells)
{
    const uint8_t *bytes = words;
    uint64_t value = 0;

    for (uint32_t i = 0; i < cells * 4; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

int devtree_number(const void *fdt, int node, const char *name, uint64_t *out)
{
    int len;
    const void *words = fdt_getprop(fdt, node, name, &len);

    if (words == NULL || (len != 4 && len != 8)) {
        return -CORDON_ENOENT;
    }
    *out = devtree_cells(words, (uint32_t)len / 4);
    return 0;
}

int devtree_u32(const void *fdt, int node, const char *name, uint32_t *out)
{
    int len;
    const void *words = fdt_getprop(fdt, node, name, &len);

    if (words == NULL || len != 4) {
        return -CORDON_ENOENT;
    }
    *out = (uint32_t)devtree_cells(words, 1);
    return 0;
}

bool devtree_enabled(const void *fdt, int node)
{
    const char *status = fdt_getprop(fdt, node, "status", NULL);

    return status == NULL || strcmp(status, "okay") == 0 || strcmp(status, "ok") == 0;
}

/* One step towards the root: an address on BUS as its parent PARENT sees it. */
static int translate_up(const void *fdt, int bus, int parent, uint64_t *address)
{
    int ac = fdt_address_cells(fdt, bus);
    int sc = fdt_size_cells(fdt, bus);
    int pac = fdt_address_cells(fdt, parent);
    int len;
    const uint8_t *ranges = fdt_getprop(fdt, bus, "ranges", &len);
    uint32_t entry;

    if (ranges == NULL || ac < 1 || ac > 2 || sc < 1 || sc > 2 || pac < 1 || pac > 2) {
        return -CORDON_EINVAL;
    }
    entry = (uint32_t)(ac + sc + pac) * 4;
    for (uint32_t at = 0; at + entry <= (uint32_t)len; at += entry) {
        uint64_t child = devtree_cells(ranges + at, (uint32_t)ac);
        uint64_t up = devtree_cells(ranges + at + ac * 4, (uint32_t)pac);
        uint64_t size = devtree_cells(ranges + at + (ac + pac) * 4, (uint32_t)sc);

        if (*address >= child && *address - child < size) {
            *address = up + (*address - child);
            return 0;
        }
    }
    return len == 0 ? 0 : -CORDON_EINVAL; /* empty: the same addresses */
}

int devtree_reg(const void *fdt, int node, uint32_t index, uint64_t *address, uint64_t *len)
{
    int parent = fdt_parent_offset(fdt, node);
    int ac = fdt_address_cells(fdt, parent);
    int sc = fdt_size_cells(fdt, parent);
    int bytes;
    const uint8_t *words = fdt_getprop(fdt, node, "reg", &bytes);
    uint32_t entry;
    uint64_t at;

    if (parent < 0 || ac < 1 || ac > 2 || sc < 0 || sc > 2) {
        return -CORDON_EINVAL;
    }
    entry = (uint32_t)(ac + sc) * 4;
    if (words == NULL || (uint64_t)(index + 1) * entry > (uint32_t)bytes) {
        return -CORDON_ENOENT;
    }
    at = devtree_cells(words + index * entry, (uint32_t)ac);
    while (parent > 0) {
        int above = fdt_parent_offset(fdt, parent);
        int err = above < 0 ? -CORDON_EINVAL : translate_up(fdt, parent, above, &at);

        if (err != 0) {
            return err;
        }
        parent = above;
    }
    *address = at;
    *len = devtree_cells(words + index * entry + ac * 4, (uint32_t)sc);
    return 0;
}
