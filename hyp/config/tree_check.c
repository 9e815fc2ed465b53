/*
 * A tree of unknown origin [Devicetree 5]. Only version 17 gets as far as libfdt: its full check
 * reads through a null pointer on trees that claim a version before 16 (1.6.1).
 */
#include "config/tree_check.h"

#include <libfdt.h>
#include <string.h>

#include <cordon/error.h>

#define FDT_VERSION 17u
#define HEADER_BYTES 40u
#define TAG_BYTES 4u
#define PROP_BYTES 8u /* length and name, behind the tag */

static uint32_t tag_at(const uint8_t *at)
{
    fdt32_t raw;

    memcpy(&raw, at, sizeof(raw));
    return fdt32_to_cpu(raw);
}

/* No property goes over the end of the tags. libfdt 1.6.1 does not see a length that wraps around:
 * its full check would go on at the same property for ever. What else is wrong it says itself. */
static bool properties_fit(const void *tree)
{
    const uint8_t *tags = (const uint8_t *)tree + fdt_off_dt_struct(tree);
    uint32_t at = 0, size = fdt_size_dt_struct(tree);

    while (at <= size && size - at >= TAG_BYTES) {
        uint32_t tag = tag_at(tags + at);
        uint32_t left = size - at - TAG_BYTES;
        uint32_t len = 0;

        if (tag == FDT_BEGIN_NODE) {
            const uint8_t *end = memchr(tags + at + TAG_BYTES, 0, left);

            len = end != NULL ? (uint32_t)(end - (tags + at + TAG_BYTES)) + 1 : left;
        } else if (tag == FDT_PROP && left >= PROP_BYTES) {
            len = tag_at(tags + at + TAG_BYTES);
            if (len > left - PROP_BYTES) {
                return false;
            }
            len += PROP_BYTES;
        } else if (tag != FDT_END_NODE && tag != FDT_NOP) {
            break;
        }
        at = (at + TAG_BYTES + len + TAG_BYTES - 1) & ~(TAG_BYTES - 1);
    }
    return true;
}

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
    if (fdt_check_header(tree) == 0 && !properties_fit(tree)) {
        return config_refuse(why, "%s: malformed tree (a property goes over its end)", who);
    }
    status = fdt_check_full(tree, fdt_totalsize(tree));
    if (status != 0) {
        return config_refuse(why, "%s: malformed tree (%s)", who, fdt_strerror(status));
    }
    return check_shape(tree, who, why);
}
