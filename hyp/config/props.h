/*
 * The properties of one node, read against a table: a property that the table lacks, that comes
 * twice, that has a wrong length or that is missing is refused.
 */
#ifndef HYP_CONFIG_PROPS_H
#define HYP_CONFIG_PROPS_H

#include "config/config_error.h"

enum prop_kind {
    PROP_U32,  /* one cell */
    PROP_U64,  /* two cells */
    PROP_TEXT, /* one string, NUL-terminated */
    PROP_FLAG, /* no bytes */
    PROP_BYTES /* any bytes */
};

struct prop_rule {
    const char *name;
    enum prop_kind kind;
    bool required;
};

struct prop_value {
    bool given;
    uint64_t number;   /* U32, U64 */
    const char *text;  /* TEXT */
    const void *bytes; /* all kinds; inside the tree */
    uint32_t len;
};

/*
 * Read NODE's properties: VALUES[i] is what RULES[i] asks for, both of COUNT entries. TREE has
 * passed fdt_check_full. WHO names the node in the error. Errors: EINVAL, VALUES is undefined then.
 */
CORDON_MUST_CHECK int props_read(const void *tree, int node, const char *who,
                                 const struct prop_rule *rules, struct prop_value *values,
                                 size_t count, struct config_error *why);

/*
 * The child of NODE with exactly this NAME: libfdt's own search would also take NAME@1. Returns the
 * node, -CORDON_ENOENT if there is none (WHY is untouched), -CORDON_EINVAL if there are two.
 */
CORDON_MUST_CHECK int props_child(const void *tree, int node, const char *name, const char *who,
                                  struct config_error *why);

/* Refuse children of NODE that are not among the COUNT names, and ones given twice. */
CORDON_MUST_CHECK int props_children_known(const void *tree, int node, const char *who,
                                           const char *const *names, size_t count,
                                           struct config_error *why);

#endif
