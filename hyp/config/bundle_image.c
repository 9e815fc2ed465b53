/* Images of a bundle: where their bytes are, and what they must hash to. */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>

#include "config/bundle_parts.h"
#include "config/props.h"

enum { DATA, POSITION, SIZE, DESCRIPTION, TYPE, ARCH, OS, COMPRESSION, IMAGE_RULES };
static const struct prop_rule image_rules[IMAGE_RULES] = {
    [DATA] = {"data", PROP_BYTES, false},    [POSITION] = {"data-position", PROP_U32, false},
    [SIZE] = {"data-size", PROP_U32, false}, [DESCRIPTION] = {"description", PROP_TEXT, false},
    [TYPE] = {"type", PROP_TEXT, false},     [ARCH] = {"arch", PROP_TEXT, false},
    [OS] = {"os", PROP_TEXT, false},         [COMPRESSION] = {"compression", PROP_TEXT, false},
};

enum { ALGO, VALUE, HASH_RULES };
static const struct prop_rule hash_rules[HASH_RULES] = {
    [ALGO] = {"algo", PROP_TEXT, true},
    [VALUE] = {"value", PROP_BYTES, true},
};

static bool text_is(const struct prop_value *value, const char *text)
{
    return !value->given || strcmp(value->text, text) == 0;
}

/* Bytes outside the tree: behind it, and inside the bundle. */
static int image_external(const struct bundle *b, const char *who, uint64_t position, uint64_t size,
                          struct vm_blob *blob, struct config_error *why)
{
    uint64_t end = position + size; /* both have 32 bits */

    if (position < fdt_totalsize(b->base)) {
        return config_refuse(why,
                             "%s: data-position 0x%lx lies inside the tree, which ends at 0x%x",
                             who, (unsigned long)position, (unsigned)fdt_totalsize(b->base));
    }
    if (end > b->len) {
        return config_refuse(why, "%s: bytes 0x%lx to 0x%lx reach beyond the bundle's 0x%lx", who,
                             (unsigned long)position, (unsigned long)end, (unsigned long)b->len);
    }
    blob->offset = position;
    blob->len = size;
    return 0;
}

static int image_place(const struct bundle *b, const char *who, const struct prop_value *values,
                       struct vm_blob *blob, struct config_error *why)
{
    bool external = values[POSITION].given || values[SIZE].given;
    int status = 0;

    if (values[DATA].given && external) {
        return config_refuse(why, "%s: it has both data and data-position or data-size", who);
    }
    if (values[DATA].given) {
        blob->offset = (uint64_t)((const uint8_t *)values[DATA].bytes - (const uint8_t *)b->base);
        blob->len = values[DATA].len;
    } else if (values[POSITION].given && values[SIZE].given) {
        status = image_external(b, who, values[POSITION].number, values[SIZE].number, blob, why);
    } else {
        return config_refuse(why, "%s: it has neither data nor data-position and data-size", who);
    }
    if (status == 0 && blob->len == 0) {
        return config_refuse(why, "%s: it is empty", who);
    }
    return status;
}

static int image_hash(const void *tree, int node, const char *who, struct vm_blob *blob,
                      struct config_error *why)
{
    static const char *const children[] = {"hash-1"};
    struct prop_value values[HASH_RULES];
    char hash_who[WHO_BYTES + 16];
    int status = props_children_known(tree, node, who, children, 1, why);
    int hash;

    if (status != 0) {
        return status;
    }
    hash = props_child(tree, node, "hash-1", who, why);
    if (hash == -CORDON_ENOENT) {
        return config_refuse(why, "%s: it has no hash-1", who);
    }
    if (hash < 0) {
        return hash;
    }
    snprintf(hash_who, sizeof hash_who, "%s, hash-1", who);
    status = props_read(tree, hash, hash_who, hash_rules, values, HASH_RULES, why);
    if (status == 0) {
        status = props_children_known(tree, hash, hash_who, NULL, 0, why);
    }
    if (status != 0) {
        return status;
    }
    if (strcmp(values[ALGO].text, "sha256") != 0) {
        return config_refuse(why, "%s: algo is \"%.20s\", it must be \"sha256\"", hash_who,
                             values[ALGO].text);
    }
    if (values[VALUE].len != sizeof blob->sha256) {
        return config_refuse(why, "%s: value has %u bytes, it must have 32", hash_who,
                             values[VALUE].len);
    }
    memcpy(blob->sha256, values[VALUE].bytes, sizeof blob->sha256);
    return 0;
}

static int image_read(const struct bundle *b, int node, const char *who, struct vm_blob *blob,
                      struct config_error *why)
{
    struct prop_value values[IMAGE_RULES];
    int status = props_read(b->base, node, who, image_rules, values, IMAGE_RULES, why);

    if (status != 0) {
        return status;
    }
    if (!text_is(&values[ARCH], "riscv")) {
        return config_refuse(why, "%s: arch is \"%.20s\", it must be \"riscv\"", who,
                             values[ARCH].text);
    }
    if (!text_is(&values[COMPRESSION], "none")) {
        return config_refuse(why, "%s: compression is \"%.20s\", it must be \"none\"", who,
                             values[COMPRESSION].text);
    }
    status = image_place(b, who, values, blob, why);
    return status != 0 ? status : image_hash(b->base, node, who, blob, why);
}

/* Two images in the same bytes are a mistake of whoever made the bundle. */
static int image_overlaps(const struct bundle *b, const struct vm_blob *blob, const char *who,
                          struct config_error *why)
{
    for (uint32_t i = 0; i < b->image_count; i++) {
        const struct vm_blob *other = &b->image[i].blob;

        if (blob->offset < other->offset + other->len && other->offset < blob->offset + blob->len) {
            return config_refuse(why, "%s: its bytes overlap image \"%s\"", who, b->image[i].name);
        }
    }
    return 0;
}

static int image_find(const struct bundle *b, const char *name, const char *who,
                      struct config_error *why)
{
    int images = props_child(b->base, 0, "images", "bundle", why);
    int node = images < 0 ? images : props_child(b->base, images, name, who, why);

    if (node == -CORDON_ENOENT) {
        return config_refuse(why, "%s: the bundle has no such image", who);
    }
    return node;
}

static int image_add(struct bundle *b, const char *name, const char *who, struct config_error *why)
{
    struct bundle_image image = {.blob = {.image = b->image_count}};
    int node = image_find(b, name, who, why);
    int status = node < 0 ? node : image_read(b, node, who, &image.blob, why);

    if (status == 0) {
        status = image_overlaps(b, &image.blob, who, why);
    }
    if (status != 0) {
        return status;
    }
    if (b->image_count == BUNDLE_MAX_IMAGES) {
        return config_refuse(why, "%s: more than %u images are used", who, BUNDLE_MAX_IMAGES);
    }
    memcpy(image.name, name, strlen(name) + 1);
    b->image[b->image_count++] = image;
    return 0;
}

int bundle_image_use(struct bundle *b, const char *name, const char *who, struct vm_blob *out,
                     struct config_error *why)
{
    char image_who[WHO_BYTES];
    uint32_t i = 0;
    int status;

    if (!config_name_ok(name)) {
        return config_refuse(
            why, "%s: image name \"%.40s\" must be 1 to 31 letters, digits, - or _", who, name);
    }
    while (i < b->image_count && strcmp(b->image[i].name, name) != 0) {
        i++;
    }
    if (i == b->image_count) {
        snprintf(image_who, sizeof image_who, "%s, image \"%s\"", who, name);
        status = image_add(b, name, image_who, why);
        if (status != 0) {
            return status;
        }
    }
    *out = b->image[i].blob;
    return 0;
}
