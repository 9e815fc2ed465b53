/*
 * What the hypervisor's parser makes of bundles, one line of JSON each, for comparison with
 * tools/bundle.
 * usage: bundle_json FILE...     exit status 0, or 2: some file cannot be read
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/bundle.h"

/* TEXT has only printable ASCII. */
static void print_text(const char *name, const char *text, const char *end)
{
    printf("\"%s\": \"", name);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    printf("\"%s", end);
}

static void print_number(const char *name, uint64_t value, const char *end)
{
    printf("\"%s\": %" PRIu64 "%s", name, value, end);
}

static void print_blob(const char *name, const struct bundle *b, const struct vm_blob *blob)
{
    if (blob->len == 0) {
        printf("\"%s\": null, ", name);
        return;
    }
    printf("\"%s\": {", name);
    print_text("image", b->image[blob->image].name, ", ");
    print_number("offset", blob->offset, ", ");
    print_number("len", blob->len, ", ");
    printf("\"sha256\": \"");
    for (size_t i = 0; i < sizeof blob->sha256; i++) {
        printf("%02x", blob->sha256[i]);
    }
    printf("\"}, ");
}

static void print_devices(const struct vm_config *vm)
{
    printf("\"devices\": [");
    for (uint32_t i = 0; i < vm->device_count; i++) {
        const struct vm_device *dev = &vm->device[i];

        printf("%s{", i == 0 ? "" : ", ");
        print_number("segment", dev->segment, ", ");
        print_number("bdf", dev->bdf, ", ");
        print_text("reset", dev->reset == VM_RESET_REQUIRED ? "required" : "none-allowed", "}");
    }
    printf("]");
}

static const char *const fills[] = {[VM_FILL_START] = "start",
                                    [VM_FILL_TOUCH] = "first-touch",
                                    [VM_FILL_TOUCH_2M] = "first-touch-2M"};

static void print_vm(const struct bundle *b, const struct vm_config *vm)
{
    printf("{");
    print_text("name", vm->name, ", ");
    print_number("vcpus", vm->vcpus, ", ");
    print_number("ram_base", vm->ram_base.v, ", ");
    print_number("ram_len", vm->ram_len, ", ");
    print_number("scatter_pieces", vm->scatter_pieces, ", ");
    print_number("scatter_seed", vm->scatter_seed, ", ");
    print_text("fill", fills[vm->fill], ", ");
    printf("\"overcommit\": %s, ", vm->overcommit ? "true" : "false");
    print_number("gstage", vm->gstage, ", ");
    print_number("pool_len", vm->pool_len, ", ");
    print_blob("kernel", b, &vm->kernel);
    print_blob("ramdisk", b, &vm->initrd);
    print_blob("fdt", b, &vm->dtb);
    print_text("bootargs", vm->bootargs, ", ");
    print_devices(vm);
    printf(", \"unsafe_devices_without_iommu\": %s}", vm->allow_no_iommu ? "true" : "false");
}

static void print_bundle(const struct bundle *b, int status, const char *why)
{
    printf("{");
    if (status == 0) {
        printf("\"error\": null, ");
    } else {
        print_text("error", why, ", ");
    }
    print_number("vmid_bits", b->vmid_bits, ", ");
    printf("\"vms\": [");
    for (uint32_t i = 0; i < b->vm_count; i++) {
        printf("%s", i == 0 ? "" : ", ");
        print_vm(b, &b->vm[i]);
    }
    printf("], \"refused\": [");
    for (uint32_t i = 0; i < b->refused_count; i++) {
        printf("%s{", i == 0 ? "" : ", ");
        print_text("name", b->refused[i].name, ", ");
        print_text("why", b->refused[i].why.text, "}");
    }
    printf("]}\n");
}

/* The whole file in a block of exactly its size, so that a read behind its end is seen. */
static void *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size = -1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
        rewind(file);
    }
    if (size >= 0) {
        bytes = malloc(size > 0 ? (size_t)size : 1);
    }
    if (bytes != NULL && fread(bytes, 1, (size_t)size, file) != (size_t)size) {
        free(bytes);
        bytes = NULL;
    }
    if (file != NULL) {
        fclose(file);
    }
    *len = (size_t)size;
    return bytes;
}

static int show(const char *path)
{
    static struct bundle bundle;
    struct config_error why = {""};
    size_t len = 0;
    void *bytes = read_file(path, &len);
    int status;

    if (bytes == NULL) {
        fprintf(stderr, "bundle_json: %s cannot be read\n", path);
        return 2;
    }
    status = bundle_parse(bytes, len, &bundle, &why);
    print_bundle(&bundle, status, why.text);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    int worst = argc > 1 ? 0 : 2;

    for (int i = 1; i < argc; i++) {
        int status = show(argv[i]);

        worst = status > worst ? status : worst;
    }
    return worst;
}
