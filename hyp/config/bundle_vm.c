/* One VM of a bundle: its settings, each against its limit. */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>

#include "config/bundle_parts.h"
#include "config/kernel_image.h"
#include "config/props.h"

#define SCATTER_BITS 0x7FFFFu /* 4 KiB to 1 GiB */
#define DEFAULT_RAM_BASE GUEST_RAM_HIGH

enum {
    VCPUS,
    MEMORY,
    RAM_BASE,
    PIECES,
    SEED,
    FILL,
    OVERCOMMIT,
    GSTAGE,
    POOL,
    KERNEL,
    RAMDISK,
    FDT,
    BOOTARGS,
    NO_IOMMU,
    VM_RULES
};
static const struct prop_rule vm_rules[VM_RULES] = {
    [VCPUS] = {"vcpus", PROP_U32, true},
    [MEMORY] = {"memory", PROP_U64, true},
    [RAM_BASE] = {"ram-base", PROP_U64, false},
    [PIECES] = {"scatter-pieces", PROP_U32, false},
    [SEED] = {"scatter-seed", PROP_U64, false},
    [FILL] = {"fill", PROP_TEXT, false},
    [OVERCOMMIT] = {"overcommit", PROP_FLAG, false},
    [GSTAGE] = {"gstage", PROP_TEXT, false},
    [POOL] = {"pool", PROP_U64, false},
    [KERNEL] = {"kernel", PROP_TEXT, true},
    [RAMDISK] = {"ramdisk", PROP_TEXT, false},
    [FDT] = {"fdt", PROP_TEXT, false},
    [BOOTARGS] = {"bootargs", PROP_TEXT, false},
    [NO_IOMMU] = {"unsafe-devices-without-iommu", PROP_FLAG, false},
};

static int check_ram(const struct vm_config *vm, const char *who, struct config_error *why)
{
    uint64_t base = vm->ram_base.v, end = guest_ram_end(vm->ram_base);

    if (vm->ram_len == 0 || vm->ram_len % GUEST_RAM_ALIGN != 0) {
        return config_refuse(why,
                             "%s: memory is 0x%lx bytes, it must be a multiple of 2 MiB, not 0",
                             who, (unsigned long)vm->ram_len);
    }
    if (base % GUEST_RAM_ALIGN != 0) {
        return config_refuse(why, "%s: ram-base is 0x%lx, it must be a multiple of 2 MiB", who,
                             (unsigned long)base);
    }
    if (base >= end || vm->ram_len > end - base) {
        return config_refuse(
            why, "%s: 0x%lx bytes of RAM from 0x%lx touch the devices, the limit is 0x%lx", who,
            (unsigned long)vm->ram_len, (unsigned long)base, (unsigned long)end);
    }
    return 0;
}

static int check_scatter(const struct vm_config *vm, bool seed_given, const char *who,
                         struct config_error *why)
{
    uint32_t pieces = vm->scatter_pieces;

    if (pieces & ~SCATTER_BITS) {
        return config_refuse(why, "%s: scatter-pieces is 0x%x, only bits of 0x%x are sizes", who,
                             pieces, SCATTER_BITS);
    }
    if (pieces == 0) {
        return seed_given ? config_refuse(why, "%s: scatter-seed without scatter-pieces", who) : 0;
    }
    if (vm->ram_len % ((uint64_t)(pieces & -pieces) << CORDON_PAGE_SHIFT) != 0) {
        return config_refuse(why,
                             "%s: the smallest of scatter-pieces 0x%x does not divide memory 0x%lx",
                             who, pieces, (unsigned long)vm->ram_len);
    }
    return 0;
}

static int take_fill(const struct prop_value *values, const char *who, struct vm_config *vm,
                     struct config_error *why)
{
    static const char *const words[] = {[VM_FILL_START] = "start",
                                        [VM_FILL_TOUCH] = "first-touch",
                                        [VM_FILL_TOUCH_2M] = "first-touch-2M"};
    const char *word = values[FILL].given ? values[FILL].text : words[VM_FILL_START];
    size_t i = 0;

    while (i < sizeof words / sizeof words[0] && strcmp(words[i], word) != 0) {
        i++;
    }
    if (i == sizeof words / sizeof words[0]) {
        return config_refuse(
            why, "%s: fill \"%.20s\" must be \"start\", \"first-touch\" or \"first-touch-2M\"", who,
            word);
    }
    vm->fill = (enum vm_fill)i;
    vm->overcommit = values[OVERCOMMIT].given;
    if (vm->overcommit && vm->fill == VM_FILL_START) {
        return config_refuse(why, "%s: overcommit needs fill \"first-touch\" or \"first-touch-2M\"",
                             who);
    }
    if (vm->scatter_pieces != 0 && vm->fill != VM_FILL_START) {
        return config_refuse(why, "%s: scatter-pieces needs fill \"start\"", who);
    }
    return 0;
}

static int check_pool(const struct vm_config *vm, const char *who, struct config_error *why)
{
    if (vm->pool_len > GUEST_POOL_MAX) {
        return config_refuse(why, "%s: pool is 0x%lx bytes, the limit is 0x%x", who,
                             (unsigned long)vm->pool_len, GUEST_POOL_MAX);
    }
    if (vm->pool_len % GUEST_POOL_ALIGN != 0) {
        return config_refuse(why, "%s: pool is 0x%lx bytes, it must be a multiple of 2 MiB", who,
                             (unsigned long)vm->pool_len);
    }
    return 0;
}

static int take_gstage(const struct prop_value *value, const char *who, struct vm_config *vm,
                       struct config_error *why)
{
    static const char *const names[] = {"sv39x4", "sv48x4", "sv57x4"};

    for (uint32_t i = 0; value->given && i < 3; i++) {
        if (strcmp(value->text, names[i]) == 0) {
            vm->gstage = 8 + i;
        }
    }
    return !value->given || vm->gstage != 0
               ? 0
               : config_refuse(why, "%s: gstage must be sv39x4, sv48x4 or sv57x4", who);
}

static int take_bootargs(const struct prop_value *value, const char *who, struct vm_config *vm,
                         struct config_error *why)
{
    if (!value->given) {
        return 0;
    }
    if (value->len > sizeof vm->bootargs) {
        return config_refuse(why, "%s: bootargs has %u characters, the limit is %u", who,
                             value->len - 1, VM_BOOTARGS_BYTES - 1);
    }
    for (uint32_t i = 0; i + 1 < value->len; i++) {
        if (value->text[i] < ' ' || value->text[i] > '~') {
            return config_refuse(why, "%s: bootargs: character %u is not printable", who, i + 1);
        }
    }
    memcpy(vm->bootargs, value->text, value->len);
    return 0;
}

/* What will stand in RAM at the start must fit there, whatever the order. */
static int check_fit(const struct bundle *b, const struct vm_config *vm, const char *who,
                     struct config_error *why)
{
    const uint8_t *bytes = b->base;
    struct kernel_image image;
    uint64_t rest = vm->initrd.len + vm->dtb.len;
    int status = kernel_image_read(bytes + vm->kernel.offset, vm->kernel.len, &image);

    if (status != 0) {
        return config_refuse(why, "%s: kernel \"%s\" %s", who, b->image[vm->kernel.image].name,
                             status == -CORDON_EINVAL ? "is no RISC-V Linux Image"
                                                      : "has a header whose sizes are wrong");
    }
    if (image.text_offset + image.image_size > vm->ram_len ||
        rest > vm->ram_len - image.text_offset - image.image_size) {
        return config_refuse(why,
                             "%s: kernel (0x%lx at 0x%lx) and 0x%lx more do not fit memory 0x%lx",
                             who, (unsigned long)image.image_size, (unsigned long)image.text_offset,
                             (unsigned long)rest, (unsigned long)vm->ram_len);
    }
    return 0;
}

static int take_images(struct bundle *b, const struct prop_value *values, const char *who,
                       struct vm_config *vm, struct config_error *why)
{
    int status = bundle_image_use(b, values[KERNEL].text, who, &vm->kernel, why);

    if (status == 0 && values[RAMDISK].given) {
        status = bundle_image_use(b, values[RAMDISK].text, who, &vm->initrd, why);
    }
    if (status == 0 && values[FDT].given) {
        status = bundle_image_use(b, values[FDT].text, who, &vm->dtb, why);
    }
    return status != 0 ? status : check_fit(b, vm, who, why);
}

static int take_settings(const struct prop_value *values, const char *who, struct vm_config *vm,
                         struct config_error *why)
{
    int status;

    if (values[VCPUS].number < 1 || values[VCPUS].number > VM_MAX_VCPUS) {
        return config_refuse(why, "%s: vcpus is %lu, it must be 1 to %u", who,
                             (unsigned long)values[VCPUS].number, VM_MAX_VCPUS);
    }
    vm->vcpus = (uint32_t)values[VCPUS].number;
    vm->ram_len = values[MEMORY].number;
    vm->ram_base =
        cordon_gpa_make(values[RAM_BASE].given ? values[RAM_BASE].number : DEFAULT_RAM_BASE);
    vm->scatter_pieces = (uint32_t)values[PIECES].number;
    vm->scatter_seed = values[SEED].number;
    vm->pool_len = values[POOL].number;
    vm->allow_no_iommu = values[NO_IOMMU].given;
    status = take_gstage(&values[GSTAGE], who, vm, why);
    if (status == 0) {
        status = check_ram(vm, who, why);
    }
    if (status == 0) {
        status = check_scatter(vm, values[SEED].given, who, why);
    }
    if (status == 0) {
        status = take_fill(values, who, vm, why);
    }
    if (status == 0) {
        status = check_pool(vm, who, why);
    }
    return status != 0 ? status : take_bootargs(&values[BOOTARGS], who, vm, why);
}

int bundle_vm_read(struct bundle *b, int node, struct vm_config *vm, struct config_error *why)
{
    static const char *const children[] = {"devices"};
    const char *name = fdt_get_name(b->base, node, NULL);
    struct prop_value values[VM_RULES];
    char who[WHO_BYTES];
    int status;

    memset(vm, 0, sizeof *vm);
    if (name == NULL || !config_name_ok(name)) {
        return config_refuse(why, "VM \"%.40s\": a name must be 1 to 31 letters, digits, - or _",
                             name ? name : "");
    }
    memcpy(vm->name, name, strlen(name) + 1);
    snprintf(who, sizeof who, "VM \"%s\"", name);
    status = props_read(b->base, node, who, vm_rules, values, VM_RULES, why);
    if (status == 0) {
        status = props_children_known(b->base, node, who, children, 1, why);
    }
    if (status == 0) {
        status = take_settings(values, who, vm, why);
    }
    if (status == 0) {
        status = bundle_devices_read(b, node, who, vm, why);
    }
    return status != 0 ? status : take_images(b, values, who, vm, why);
}
