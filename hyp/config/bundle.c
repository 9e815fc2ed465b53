/*
 * A bundle as a whole: is it a tree, are its parts known, which of its VMs may be started.
 *
 * The tree is walked once, whole; after that libfdt's readers stay inside. The bundle is memory
 * that no guest reaches, so what was checked stays so.
 */
#include "config/bundle.h"

#include <libfdt.h>
#include <string.h>

#include <cordon/error.h>

#include "config/bundle_parts.h"
#include "config/props.h"
#include "config/tree_check.h"

enum { VMID_BITS, DESCRIPTION, TIMESTAMP, ADDRESS_CELLS, ROOT_RULES };

/* The root may say what mkimage says there, and what holds for the machine; /images and /vms have
 * no properties. */
static int read_root(struct bundle *b, const void *tree, struct config_error *why)
{
    static const struct prop_rule rules[ROOT_RULES] = {
        [VMID_BITS] = {"vmid-bits", PROP_U32, false},
        [DESCRIPTION] = {"description", PROP_TEXT, false},
        [TIMESTAMP] = {"timestamp", PROP_U32, false},
        [ADDRESS_CELLS] = {"#address-cells", PROP_U32, false},
    };
    static const char *const children[] = {"images", "vms", "configurations"};
    struct prop_value values[ROOT_RULES];
    int status = props_read(tree, 0, "bundle", rules, values, ROOT_RULES, why);

    if (status == 0) {
        status = props_children_known(tree, 0, "bundle", children, 3, why);
    }
    if (status != 0 || !values[VMID_BITS].given) {
        return status;
    }
    if (values[VMID_BITS].number > BUNDLE_MAX_VMID_BITS) {
        return config_refuse(why, "bundle: vmid-bits is %lu, it must be 0 to %u",
                             (unsigned long)values[VMID_BITS].number, BUNDLE_MAX_VMID_BITS);
    }
    b->vmid_bits = (uint32_t)values[VMID_BITS].number;
    return 0;
}

/* The node of /NAME, which must be there, once, without properties. */
static int folder_find(const void *tree, const char *name, struct config_error *why)
{
    struct prop_value none[1];
    int node = props_child(tree, 0, name, "bundle", why);
    int status;

    if (node == -CORDON_ENOENT) {
        return config_refuse(why, "bundle: node \"%s\" is missing", name);
    }
    if (node < 0) {
        return node;
    }
    status = props_read(tree, node, "bundle", NULL, none, 0, why);
    return status != 0 ? status : node;
}

/* An earlier child of VMS has NODE's name. */
static bool name_is_taken(const void *tree, int vms, int node)
{
    const char *name = fdt_get_name(tree, node, NULL);
    int other;

    fdt_for_each_subnode(other, tree, vms)
    {
        if (other == node) {
            break;
        }
        if (strcmp(fdt_get_name(tree, other, NULL), name) == 0) {
            return true;
        }
    }
    return false;
}

static void vm_accept(struct bundle *b)
{
    const struct vm_config *vm = &b->vm[b->vm_count++];

    b->image[vm->kernel.image].used = true;
    if (vm->initrd.len != 0) {
        b->image[vm->initrd.image].used = true;
    }
    if (vm->dtb.len != 0) {
        b->image[vm->dtb.image].used = true;
    }
}

/* A refused VM leaves no claim behind, save images on the list that nobody uses. */
static void vm_read(struct bundle *b, int vms, int node)
{
    const char *name = fdt_get_name(b->base, node, NULL);
    struct bundle_refusal *refusal = &b->refused[b->refused_count];
    int status = 0;

    if (name_is_taken(b->base, vms, node)) {
        status = config_refuse(&refusal->why, "VM \"%.40s\": an earlier VM has this name", name);
    }
    if (status == 0) {
        status = bundle_vm_read(b, node, &b->vm[b->vm_count], &refusal->why);
    }
    if (status != 0) {
        memset(&b->vm[b->vm_count], 0, sizeof b->vm[0]);
        config_printable(refusal->name, sizeof refusal->name, name);
        b->refused_count++;
    } else {
        vm_accept(b);
    }
}

static int read_vms(struct bundle *b, struct config_error *why)
{
    int images = folder_find(b->base, "images", why);
    int vms = images < 0 ? images : folder_find(b->base, "vms", why);
    uint32_t count = 0;
    int node;

    if (vms < 0) {
        return vms;
    }
    fdt_for_each_subnode(node, b->base, vms)
    {
        count++;
    }
    if (count == 0 || count > VM_MAX) {
        return config_refuse(why, "bundle: it has %u VMs, it must have 1 to %u", count, VM_MAX);
    }
    fdt_for_each_subnode(node, b->base, vms)
    {
        vm_read(b, vms, node);
    }
    if (b->vm_count == 0) {
        *why = b->refused[0].why;
        return -CORDON_EINVAL;
    }
    return 0;
}

int bundle_parse(const void *base, uint64_t len, struct bundle *out, struct config_error *why)
{
    int status;

    memset(out, 0, sizeof *out);
    out->vmid_bits = BUNDLE_MAX_VMID_BITS;
    status = tree_check(base, len, "bundle", why);
    if (status == 0) {
        status = read_root(out, base, why);
    }
    if (status == 0) {
        out->base = base;
        out->len = len;
        status = read_vms(out, why);
    }
    return status;
}
