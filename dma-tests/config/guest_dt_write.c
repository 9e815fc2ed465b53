/*
 * Writes the device tree of a guest to standard output, for dtc to judge.
 * usage: guest_dt_write VCPUS RAM_BASE RAM_LEN POOL_LEN ISA BOOTARGS [SUPPLIED.dtb]
 */
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/guest_dt.h"
#include "config/isa.h"

#define SUPPLIED_BYTES 0x8000

static _Alignas(8) uint8_t tree[GUEST_DT_BYTES];
static uint8_t supplied[SUPPLIED_BYTES];

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

static int make(const struct guest_dt *in, const char *path)
{
    struct config_error why = {""};
    FILE *file = path != NULL ? fopen(path, "rb") : NULL;
    size_t len = file != NULL ? fread(supplied, 1, sizeof supplied, file) : 0;
    int status;

    if (path == NULL) {
        return guest_dt_make(in, tree, sizeof tree);
    }
    if (file != NULL) {
        fclose(file);
    }
    status = guest_dt_patch(in, supplied, len, tree, sizeof tree, &why);
    fprintf(stderr, "%s\n", why.text);
    return status;
}

int main(int argc, char **argv)
{
    static struct vm_config vm = {.name = "guest", .initrd = {.len = 0x1000}};
    struct guest_dt in = {
        .vm = &vm,
        .cpu = {.mmu = HOST_MMU_SV57, .cbom_bytes = 64, .cbop_bytes = 64, .cboz_bytes = 64},
        .timebase_hz = 10000000,
        .imsic_ids = 255,
    };

    if (argc < 7 || isa_parse(argv[5], &in.cpu.isa) != 0) {
        fprintf(stderr,
                "usage: guest_dt_write VCPUS RAM_BASE RAM_LEN POOL_LEN ISA BOOTARGS [DTB]\n");
        return 2;
    }
    vm.vcpus = (uint32_t)number(argv[1]);
    vm.ram_base = cordon_gpa_make(number(argv[2]));
    vm.ram_len = number(argv[3]);
    vm.pool_len = number(argv[4]);
    snprintf(vm.bootargs, sizeof vm.bootargs, "%s", argv[6]);
    in.initrd = cordon_gpa_make(vm.ram_base.v + vm.ram_len - 0x1000);
    in.cpu.isa = isa_offer(in.cpu.isa, UINT32_MAX);
    if (make(&in, argc > 7 ? argv[7] : NULL) != 0) {
        return 1;
    }
    return fwrite(tree, fdt_totalsize(tree), 1, stdout) == 1 ? 0 : 1;
}
