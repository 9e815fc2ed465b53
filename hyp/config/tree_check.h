/* Is it a flattened device tree, whole, in the one version that we read? */
#ifndef HYP_CONFIG_TREE_CHECK_H
#define HYP_CONFIG_TREE_CHECK_H

#include "config/config_error.h"

/*
 * Check the tree at TREE (8-byte aligned), of which LEN bytes may be read. After 0, libfdt's
 * readers find every node and every property, and stay inside fdt_totalsize bytes. WHO names the
 * tree in the error. Errors: EINVAL.
 */
CORDON_MUST_CHECK int tree_check(const void *tree, uint64_t len, const char *who,
                                 struct config_error *why);

#endif
