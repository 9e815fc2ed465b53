/* The devices that a VM of the bundle is to be given. */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>

#include "config/bundle_parts.h"
#include "config/props.h"

enum { PCI, RESET, DEVICE_RULES };
static const struct prop_rule device_rules[DEVICE_RULES] = {
    [PCI] = {"pci", PROP_TEXT, true},
    [RESET] = {"reset", PROP_TEXT, false},
};

/* The value of a hexadecimal digit; 16 for anything else. */
static uint32_t hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return (uint32_t)(c - '0');
    }
    return c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10 : 16;
}

/* Exactly ssss:bb:dd.f, in lower-case hexadecimal. */
static bool parse_pci(const char *text, struct vm_device *dev)
{
    static const char form[] = "xxxx:xx:xx.x";
    uint64_t number = 0;

    if (strlen(text) != sizeof form - 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof form - 1; i++) {
        uint32_t digit = hex_digit(text[i]);

        if (form[i] != 'x' ? text[i] != form[i] : digit == 16) {
            return false;
        }
        number = form[i] == 'x' ? number << 4 | digit : number;
    }
    dev->segment = (uint32_t)(number >> 20);
    dev->bdf = (uint32_t)((number >> 12 & 0xFF) << 8 | (number >> 4 & 0x1F) << 3 | (number & 7));
    return (number >> 4 & 0xFF) < 32 && (number & 0xF) < 8;
}

static bool same_device(const struct vm_device *a, const struct vm_device *b)
{
    return a->segment == b->segment && a->bdf == b->bdf;
}

static bool has_device(const struct vm_config *vm, const struct vm_device *dev)
{
    for (uint32_t i = 0; i < vm->device_count; i++) {
        if (same_device(&vm->device[i], dev)) {
            return true;
        }
    }
    return false;
}

/* Nobody has it: neither this VM nor one that was accepted before. */
static int device_is_free(const struct bundle *b, const struct vm_config *vm,
                          const struct vm_device *dev, const char *who, const char *pci,
                          struct config_error *why)
{
    if (has_device(vm, dev)) {
        return config_refuse(why, "%s: %s is listed twice", who, pci);
    }
    for (uint32_t i = 0; i < b->vm_count; i++) {
        if (has_device(&b->vm[i], dev)) {
            return config_refuse(why, "%s: %s is given to VM \"%s\" already", who, pci,
                                 b->vm[i].name);
        }
    }
    return 0;
}

static int device_read(const struct bundle *b, int node, const char *who,
                       const struct vm_config *vm, struct vm_device *dev, struct config_error *why)
{
    struct prop_value values[DEVICE_RULES];
    int status = props_read(b->base, node, who, device_rules, values, DEVICE_RULES, why);

    if (status == 0) {
        status = props_children_known(b->base, node, who, NULL, 0, why);
    }
    if (status != 0) {
        return status;
    }
    if (!parse_pci(values[PCI].text, dev)) {
        return config_refuse(why, "%s: pci \"%.20s\" must be like 0000:00:1f.7", who,
                             values[PCI].text);
    }
    dev->reset = VM_RESET_REQUIRED;
    if (values[RESET].given && strcmp(values[RESET].text, "none-allowed") == 0) {
        dev->reset = VM_RESET_NONE_ALLOWED;
    } else if (values[RESET].given && strcmp(values[RESET].text, "required") != 0) {
        return config_refuse(why, "%s: reset \"%.20s\" must be \"required\" or \"none-allowed\"",
                             who, values[RESET].text);
    }
    return device_is_free(b, vm, dev, who, values[PCI].text, why);
}

int bundle_devices_read(const struct bundle *b, int node, const char *who, struct vm_config *vm,
                        struct config_error *why)
{
    int devices = props_child(b->base, node, "devices", who, why);
    char device_who[WHO_BYTES], name[VM_NAME_BYTES];
    struct prop_value none[1];
    int child, status;

    if (devices < 0) {
        return devices == -CORDON_ENOENT ? 0 : devices;
    }
    status = props_read(b->base, devices, who, NULL, none, 0, why);
    if (status != 0) {
        return status;
    }
    fdt_for_each_subnode(child, b->base, devices)
    {
        if (vm->device_count == VM_MAX_DEVICES) {
            return config_refuse(why, "%s: more than %u devices", who, VM_MAX_DEVICES);
        }
        config_printable(name, sizeof name, fdt_get_name(b->base, child, NULL));
        snprintf(device_who, sizeof device_who, "%s, device \"%s\"", who, name);
        status = device_read(b, child, device_who, vm, &vm->device[vm->device_count], why);
        if (status != 0) {
            return status;
        }
        vm->device_count++;
    }
    return 0;
}
