/* A device tree that came with the bundle: nothing in it is trusted, only parts are replaced. */
#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>

#include "config/config_error.h"
#include "config/guest_dt.h"
#include "config/isa.h"
#include "config/tree_check.h"

/* libfdt's answer to a change of the tree: no room, or a tree that does not hold what is needed. */
static int patch_status(const struct guest_dt *in, int status, const char *what,
                        struct config_error *why)
{
    if (status >= 0) {
        return 0;
    }
    if (status == -FDT_ERR_NOSPACE) {
        return -CORDON_ELIMIT;
    }
    return config_refuse(why, "VM \"%s\": its device tree: %s: %s", in->vm->name, what,
                         fdt_strerror(status));
}

static int copy_tree(const struct guest_dt *in, const void *dtb, uint64_t len, void *buf,
                     uint32_t size, struct config_error *why)
{
    char who[64];
    int status;

    snprintf(who, sizeof who, "VM \"%s\": its device tree", in->vm->name);
    if (len > size) {
        return config_refuse(why, "%s has 0x%lx bytes, the limit is 0x%x", who, (unsigned long)len,
                             size);
    }
    memcpy(buf, dtb, len);
    status = tree_check(buf, len, who, why);
    if (status != 0) {
        return status;
    }
    return patch_status(in, fdt_open_into(buf, buf, (int)size), "open", why);
}

static bool text_prop_is(const void *tree, int node, const char *name, const char *text)
{
    int len = 0;
    const char *value = fdt_getprop(tree, node, name, &len);

    return value != NULL && len == (int)strlen(text) + 1 && memcmp(value, text, (size_t)len) == 0;
}

static int put_text(void *tree, int node, const char *name, const char *text)
{
    return fdt_setprop(tree, node, name, text, (int)strlen(text) + 1);
}

static int patch_cpu(const struct guest_dt *in, void *tree, int node, struct config_error *why)
{
    char isa[ISA_TEXT_BYTES];
    int len = (int)isa_list(in->cpu.isa, isa);
    int status = fdt_setprop(tree, node, "riscv,isa-extensions", isa, len);

    if (status == 0) {
        len = (int)isa_text(in->cpu.isa, isa);
        status = fdt_setprop(tree, node, "riscv,isa", isa, len);
    }
    if (status == 0) {
        status = put_text(tree, node, "riscv,isa-base", "rv64i");
    }
    if (status == 0) {
        status = put_text(tree, node, "mmu-type", guest_dt_mmu(in->cpu.mmu));
    }
    return patch_status(in, status, "cpu", why);
}

/* The number of a cpu node that may be there and has not been before, as a bit of SEEN. */
static int cpu_number(const struct guest_dt *in, const void *tree, int node, uint32_t *seen,
                      struct config_error *why)
{
    int len = 0;
    const void *reg = fdt_getprop(tree, node, "reg", &len);
    uint64_t number = reg != NULL && len == 4   ? fdt32_ld(reg)
                      : reg != NULL && len == 8 ? fdt64_ld(reg)
                                                : UINT64_MAX;

    if (number >= in->vm->vcpus || (*seen >> number & 1) != 0) {
        return config_refuse(why,
                             "VM \"%s\": its device tree: a cpu's reg must be one of 0 to %u, "
                             "each once",
                             in->vm->name, in->vm->vcpus - 1);
    }
    *seen |= UINT32_C(1) << number;
    return 0;
}

static int patch_cpus(const struct guest_dt *in, void *tree, struct config_error *why)
{
    int cpus = fdt_path_offset(tree, "/cpus");
    int status =
        cpus < 0 ? cpus : fdt_setprop_u32(tree, cpus, "timebase-frequency", in->timebase_hz);
    uint32_t seen = 0;
    int node;

    if (status != 0) {
        return patch_status(in, status, "/cpus", why);
    }
    fdt_for_each_subnode(node, tree, cpus)
    {
        if (!text_prop_is(tree, node, "device_type", "cpu")) {
            continue;
        }
        status = cpu_number(in, tree, node, &seen, why);
        if (status == 0) {
            status = patch_cpu(in, tree, node, why);
        }
        if (status != 0) {
            return status;
        }
    }
    if (seen != (UINT32_C(1) << in->vm->vcpus) - 1) {
        return config_refuse(why, "VM \"%s\": its device tree has not all of cpu 0 to %u",
                             in->vm->name, in->vm->vcpus - 1);
    }
    return 0;
}

/* Take PATH/NAME's node, or make it. */
static int node_take(void *tree, int parent, const char *name)
{
    int node = fdt_subnode_offset(tree, parent, name);

    return node == -FDT_ERR_NOTFOUND ? fdt_add_subnode(tree, parent, name) : node;
}

static int put_reg(void *tree, int node, uint64_t address, uint64_t len)
{
    fdt64_t reg[2] = {cpu_to_fdt64(address), cpu_to_fdt64(len)};

    return fdt_setprop(tree, node, "reg", reg, sizeof reg);
}

/* A child of the root that Linux would take for RAM; -FDT_ERR_NOTFOUND when there is none. */
static int memory_node(const void *tree)
{
    int node;

    fdt_for_each_subnode(node, tree, 0)
    {
        if (text_prop_is(tree, node, "device_type", "memory")) {
            break;
        }
    }
    return node;
}

/* RAM is what the hypervisor gave, and nothing else: each memory node goes, one comes. */
static int patch_memory(const struct guest_dt *in, void *tree, struct config_error *why)
{
    const struct vm_config *vm = in->vm;
    char name[32];
    int node = memory_node(tree);
    int status = 0;

    if (fdt_address_cells(tree, 0) != 2 || fdt_size_cells(tree, 0) != 2) {
        return config_refuse(
            why, "VM \"%s\": its device tree: addresses and sizes must have 2 cells", vm->name);
    }
    while (status == 0 && node >= 0) {
        status = fdt_del_node(tree, node);
        node = memory_node(tree);
    }
    snprintf(name, sizeof name, "memory@%lx", (unsigned long)vm->ram_base.v);
    node = status != 0 ? status : fdt_add_subnode(tree, 0, name);
    status = node < 0 ? node : put_reg(tree, node, vm->ram_base.v, vm->ram_len);
    status = status != 0 ? status : put_text(tree, node, "device_type", "memory");
    return patch_status(in, status, "memory", why);
}

static int patch_pool(const struct guest_dt *in, void *tree, struct config_error *why)
{
    uint64_t pool = guest_pool(in->vm->ram_base).v;
    char name[32];
    int parent, node, status;

    if (in->vm->pool_len == 0) {
        return 0;
    }
    snprintf(name, sizeof name, "pool@%lx", (unsigned long)pool);
    parent = node_take(tree, 0, "reserved-memory");
    status = parent < 0 ? parent : fdt_setprop_u32(tree, parent, "#address-cells", 2);
    status = status != 0 ? status : fdt_setprop_u32(tree, parent, "#size-cells", 2);
    status = status != 0 ? status : fdt_setprop(tree, parent, "ranges", NULL, 0);
    node = status != 0 ? status : node_take(tree, parent, name);
    status = node < 0 ? node : put_reg(tree, node, pool, in->vm->pool_len);
    status = status != 0 ? status : put_text(tree, node, "compatible", "cordon,contiguous-pool");
    status = status != 0 ? status : fdt_setprop(tree, node, "no-map", NULL, 0);
    return patch_status(in, status, "reserved-memory", why);
}

static int patch_chosen(const struct guest_dt *in, void *tree, struct config_error *why)
{
    const struct vm_config *vm = in->vm;
    int node = node_take(tree, 0, "chosen");
    int status = node < 0 ? node : 0;

    if (status == 0 && vm->bootargs[0] != '\0') {
        status = put_text(tree, node, "bootargs", vm->bootargs);
    }
    if (status == 0 && vm->initrd.len != 0) {
        status = fdt_setprop_u64(tree, node, "linux,initrd-start", in->initrd.v);
        status = status != 0 ? status
                             : fdt_setprop_u64(tree, node, "linux,initrd-end",
                                               in->initrd.v + vm->initrd.len);
    }
    if (status == 0 && in->has_random) {
        status = fdt_setprop(tree, node, "rng-seed", in->rng_seed, sizeof(in->rng_seed));
        status = status != 0 ? status : fdt_setprop_u64(tree, node, "kaslr-seed", in->kaslr_seed);
    }
    return patch_status(in, status, "/chosen", why);
}

int guest_dt_patch(const struct guest_dt *in, const void *dtb, uint64_t len, void *buf,
                   uint32_t size, struct config_error *why)
{
    int status = guest_dt_check(in);

    if (status != 0 || size > INT32_MAX) {
        return status != 0 ? status : -CORDON_ELIMIT;
    }
    status = copy_tree(in, dtb, len, buf, size, why);
    if (status == 0) {
        status = patch_cpus(in, buf, why);
    }
    if (status == 0) {
        status = patch_memory(in, buf, why);
    }
    if (status == 0) {
        status = patch_pool(in, buf, why);
    }
    if (status == 0) {
        status = patch_chosen(in, buf, why);
    }
    return status != 0 ? status : patch_status(in, fdt_pack(buf), "pack", why);
}
