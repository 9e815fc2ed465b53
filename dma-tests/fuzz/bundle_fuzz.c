/*
 * Any bytes as a bundle. Whatever is accepted must hold what the hypervisor then relies on: every
 * blob inside the bundle, every number within its limit, no device twice.
 */
#include "config/bundle.h"
#include "guarded.h"

static void check_blob(const struct bundle *b, const struct vm_blob *blob)
{
    if (blob->len == 0) {
        return;
    }
    must(blob->len <= b->len && blob->offset <= b->len - blob->len);
    must(blob->image < b->image_count);
    must(b->image[blob->image].used);
    must(b->image[blob->image].blob.offset == blob->offset);
    must(b->image[blob->image].blob.len == blob->len);
}

static void check_text(const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    must(len < room);
    for (size_t i = 0; i < len; i++) {
        must(text[i] >= ' ' && text[i] <= '~');
    }
}

static void check_ram(const struct vm_config *vm)
{
    uint64_t end = vm->ram_base.v + vm->ram_len, window = guest_window(vm->ram_base);

    must(vm->ram_len != 0 && vm->ram_len % 0x200000 == 0 && vm->ram_base.v % 0x200000 == 0);
    must(end > vm->ram_base.v);
    must(end <= window || vm->ram_base.v >= window + 0x40000000);
    must(end <= GUEST_MMIO64);
    must(vm->pool_len <= GUEST_POOL_MAX && vm->pool_len % 0x200000 == 0);
    must(vm->kernel.len != 0);
    must(vm->kernel.len + vm->initrd.len + vm->dtb.len <= vm->ram_len);
}

static void check_devices(const struct bundle *b, const struct vm_config *vm)
{
    must(vm->device_count <= VM_MAX_DEVICES);
    for (uint32_t i = 0; i < vm->device_count; i++) {
        unsigned owners = 0;

        must(vm->device[i].bdf <= 0xFFFF && vm->device[i].segment <= 0xFFFF);
        for (uint32_t j = 0; j < b->vm_count; j++) {
            for (uint32_t k = 0; k < b->vm[j].device_count; k++) {
                owners += b->vm[j].device[k].bdf == vm->device[i].bdf &&
                          b->vm[j].device[k].segment == vm->device[i].segment;
            }
        }
        must(owners == 1);
    }
}

static void check_vm(const struct bundle *b, const struct vm_config *vm)
{
    must(vm->vcpus >= 1 && vm->vcpus <= VM_MAX_VCPUS);
    must(vm->name[0] != '\0');
    check_text(vm->name, sizeof vm->name);
    check_text(vm->bootargs, sizeof vm->bootargs);
    check_ram(vm);
    check_devices(b, vm);
    check_blob(b, &vm->kernel);
    check_blob(b, &vm->initrd);
    check_blob(b, &vm->dtb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bundle b;
    struct config_error why = {""};
    const uint8_t *copy = guarded_copy(data, size);
    int status;

    if (copy == NULL) {
        return -1;
    }
    status = bundle_parse(copy, size, &b, &why);
    must(b.vm_count + b.refused_count <= VM_MAX && b.image_count <= BUNDLE_MAX_IMAGES);
    must((status == 0) == (b.vm_count != 0));
    must((status == 0) == (why.text[0] == '\0'));
    check_text(why.text, sizeof why.text);
    for (uint32_t i = 0; i < b.vm_count; i++) {
        check_vm(&b, &b.vm[i]);
    }
    for (uint32_t i = 0; i < b.refused_count; i++) {
        check_text(b.refused[i].name, sizeof b.refused[i].name);
        check_text(b.refused[i].why.text, sizeof b.refused[i].why.text);
        must(b.refused[i].why.text[0] != '\0');
    }
    return 0;
}
