/* Properties against a table. Each loop is over what the tree holds, up to the first error. */
#include "config/props.h"

#include <libfdt.h>
#include <string.h>

#include <cordon/error.h>

static bool is_one_string(const char *bytes, uint32_t len)
{
    return len >= 1 && memchr(bytes, '\0', len) == bytes + len - 1;
}

/* The length that KIND must have; any length for text and bytes. */
static uint32_t kind_len(enum prop_kind kind, uint32_t len)
{
    switch (kind) {
    case PROP_U32:
        return 4;
    case PROP_U64:
        return 8;
    case PROP_FLAG:
        return 0;
    case PROP_TEXT:
    case PROP_BYTES:
        break;
    }
    return len;
}

static int prop_read(const struct prop_rule *rule, struct prop_value *value, const char *who,
                     struct config_error *why)
{
    uint32_t must = kind_len(rule->kind, value->len);

    if (value->len != must) {
        return config_refuse(why, "%s: property \"%s\" has %u bytes, it must have %u", who,
                             rule->name, value->len, must);
    }
    if (rule->kind == PROP_U32) {
        value->number = fdt32_ld(value->bytes);
    } else if (rule->kind == PROP_U64) {
        value->number = fdt64_ld(value->bytes);
    } else if (rule->kind == PROP_TEXT) {
        if (!is_one_string(value->bytes, value->len)) {
            return config_refuse(why, "%s: property \"%s\" is no text", who, rule->name);
        }
        value->text = value->bytes;
    }
    return 0;
}

/* The index of NAME in the table; COUNT if it is not there. */
static size_t rule_find(const struct prop_rule *rules, size_t count, const char *name)
{
    size_t i = 0;

    while (i < count && strcmp(rules[i].name, name) != 0) {
        i++;
    }
    return i;
}

static int prop_take(const void *tree, int offset, const char *who, const struct prop_rule *rules,
                     struct prop_value *values, size_t count, struct config_error *why)
{
    const char *name = NULL;
    int len = 0;
    const void *bytes = fdt_getprop_by_offset(tree, offset, &name, &len);
    size_t i;

    if (bytes == NULL || len < 0) {
        return config_refuse(why, "%s: malformed property", who);
    }
    i = rule_find(rules, count, name);
    if (i == count) {
        return config_refuse(why, "%s: unknown property \"%.40s\"", who, name);
    }
    if (values[i].given) {
        return config_refuse(why, "%s: property \"%s\" is given twice", who, name);
    }
    values[i] = (struct prop_value){.given = true, .bytes = bytes, .len = (uint32_t)len};
    return prop_read(&rules[i], &values[i], who, why);
}

int props_read(const void *tree, int node, const char *who, const struct prop_rule *rules,
               struct prop_value *values, size_t count, struct config_error *why)
{
    int offset;

    memset(values, 0, count * sizeof *values);
    fdt_for_each_property_offset(offset, tree, node)
    {
        int status = prop_take(tree, offset, who, rules, values, count, why);

        if (status != 0) {
            return status;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (rules[i].required && !values[i].given) {
            return config_refuse(why, "%s: property \"%s\" is missing", who, rules[i].name);
        }
    }
    return 0;
}

int props_child(const void *tree, int node, const char *name, const char *who,
                struct config_error *why)
{
    int found = -CORDON_ENOENT;
    int child;

    fdt_for_each_subnode(child, tree, node)
    {
        const char *other = fdt_get_name(tree, child, NULL);

        if (other == NULL || strcmp(other, name) != 0) {
            continue;
        }
        if (found >= 0) {
            return config_refuse(why, "%s: node \"%s\" is given twice", who, name);
        }
        found = child;
    }
    return found;
}

int props_children_known(const void *tree, int node, const char *who, const char *const *names,
                         size_t count, struct config_error *why)
{
    int child;

    fdt_for_each_subnode(child, tree, node)
    {
        const char *name = fdt_get_name(tree, child, NULL);
        size_t i = 0;

        while (i < count && name != NULL && strcmp(names[i], name) != 0) {
            i++;
        }
        if (i == count || name == NULL) {
            return config_refuse(why, "%s: unknown node \"%.40s\"", who, name ? name : "");
        }
    }
    return 0;
}
