/*
 * Any bytes as a guest's device tree that a bundle supplies. Whatever comes out is a whole tree
 * whose only memory is what the guest was given.
 */
#include <libfdt.h>

#include "config/guest_dt.h"
#include "config/isa.h"
#include "guarded.h"

#define ROOM 0x4000

static void check_tree(const void *tree, const struct vm_config *vm)
{
    const fdt64_t *reg;
    unsigned memories = 0;
    int node, len = 0;

    must(fdt_totalsize(tree) <= ROOM);
    must(fdt_check_full(tree, fdt_totalsize(tree)) == 0);
    fdt_for_each_subnode(node, tree, 0)
    {
        const char *type = fdt_getprop(tree, node, "device_type", &len);

        if (type == NULL || len != 7 || memcmp(type, "memory", 7) != 0) {
            continue;
        }
        memories++;
        reg = fdt_getprop(tree, node, "reg", &len);
        must(reg != NULL && len == 16);
        must(fdt64_ld(&reg[0]) == vm->ram_base.v && fdt64_ld(&reg[1]) == vm->ram_len);
    }
    must(memories == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(8) uint8_t tree[ROOM];
    static struct vm_config vm = {.name = "guest",
                                  .vcpus = 2,
                                  .ram_base = {0x80000000},
                                  .ram_len = 0x8000000,
                                  .pool_len = 0x200000,
                                  .initrd = {.len = 0x1000},
                                  .bootargs = "quiet"};
    struct guest_dt in = {.vm = &vm,
                          .cpu = {.isa = isa_required(), .mmu = HOST_MMU_SV39},
                          .timebase_hz = 10000000,
                          .imsic_ids = 63,
                          .initrd = {0x84000000}};
    struct config_error why = {""};
    const uint8_t *copy = guarded_copy(data, size);

    if (copy == NULL) {
        return -1;
    }
    if (guest_dt_patch(&in, copy, size, tree, ROOM, &why) == 0) {
        check_tree(tree, &vm);
    }
    return 0;
}
