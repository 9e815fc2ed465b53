/*
 * A tree of unknown origin [Devicetree 5]. Only version 17 gets as far as libfdt: its full check
 * reads through a null pointer on trees that claim a version before 16 (1.6.1).
 */
#include "config/tree_check.h"

#include <libfdt.h>

#include <cordon/error.h>

#define FDT_VERSION 17u
#define HEADER_BYTES 40u

/*
 * What fdt_check_full lets pass and libfdt's readers then do not see: a tree whose first tag is no
 * node, and properties that stand behind a child of their node. Nothing may hide from a table of
 * known properties.
 */
static int check_shape(const void *tree, const char *who, struct config_error *why)
{
    bool behind_child = false;
    int next = 0;
    uint32_t tag = fdt_next_tag(tree, 0, &next);

    if (tag != FDT_BEGIN_NODE) {
        return config_refuse(why, "%s: malformed tree (no root node)", who);
    }
    while (tag != FDT_END) {
        if (tag == FDT_PROP && behind_child) {
            return config_refuse(why, "%s: malformed tree (a property behind a node)", who);
        }
        if (tag == FDT_BEGIN_NODE || tag == FDT_END_NODE) {
            behind_child = tag == FDT_END_NODE;
        }
        tag = fdt_next_tag(tree, next, &next);
    }
    return 0;
}

int tree_check(const void *tree, uint64_t len, const char *who, struct config_error *why)
{
    int status;

    if ((uintptr_t)tree % 8 != 0) {
        return config_refuse(why, "%s: its address is no multiple of 8", who);
    }
    if (len < HEADER_BYTES || fdt_magic(tree) != FDT_MAGIC) {
        return config_refuse(why, "%s: 0x%lx bytes that are no flattened device tree", who,
                             (unsigned long)len);
    }
    if (fdt_totalsize(tree) > len) {
        return config_refuse(why, "%s: cut short: its tree has 0x%x bytes, 0x%lx are here", who,
                             (unsigned)fdt_totalsize(tree), (unsigned long)len);
    }
    if (fdt_version(tree) != FDT_VERSION) {
        return config_refuse(why, "%s: its tree has version %u, it must have %u", who,
                             (unsigned)fdt_version(tree), FDT_VERSION);
    }
    status = fdt_check_full(tree, fdt_totalsize(tree));
    if (status != 0) {
        return config_refuse(why, "%s: malformed tree (%s)", who, fdt_strerror(status));
    }
    return check_shape(tree, who, why);
}
