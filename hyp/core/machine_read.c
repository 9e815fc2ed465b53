/* The device tree of the machine, read into struct machine and the harts. */
#include <cordon/error.h>
#include <libfdt.h>
#include <string.h>

#include "core/devtree.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/machine_devices.h"

/* Insert one bank of RAM, in order. */
static int add_bank(uint64_t address, uint64_t len)
{
    uint64_t first = (address + CORDON_PAGE_SIZE - 1) & ~(CORDON_PAGE_SIZE - 1);
    uint64_t end = (address + len) & ~(CORDON_PAGE_SIZE - 1);
    uint32_t i = machine.bank_count;

    if (end <= first) {
        return 0;
    }
    if (machine.bank_count == CORDON_MAX_BANKS) {
        return -CORDON_ELIMIT;
    }
    for (; i > 0 && machine.bank[i - 1].hpa.v > first; i--) {
        machine.bank[i] = machine.bank[i - 1];
    }
    machine.bank[i] = (struct cordon_extent){cordon_hpa_make(first), end - first};
    machine.bank_count++;
    return 0;
}

static int read_memory(const void *fdt)
{
    int node;
    int err = 0;

    fdt_for_each_subnode(node, fdt, 0)
    {
        const char *type = fdt_getprop(fdt, node, "device_type", NULL);
        uint64_t address;
        uint64_t len;

        if (type == NULL || strcmp(type, "memory") != 0 || !devtree_enabled(fdt, node)) {
            continue;
        }
        for (uint32_t i = 0; err == 0 && devtree_reg(fdt, node, i, &address, &len) == 0; i++) {
            err = add_bank(address, len);
        }
    }
    return err;
}

static int read_reserved(const void *fdt)
{
    int parent = fdt_path_offset(fdt, "/reserved-memory");
    int node;
    int err = 0;

    for (int i = 0; i < fdt_num_mem_rsv(fdt) && err == 0; i++) {
        uint64_t address;
        uint64_t len;

        if (fdt_get_mem_rsv(fdt, i, &address, &len) == 0) {
            err = machine_reserve(cordon_hpa_make(address), len, false, "memory reservation block");
        }
    }
    if (parent < 0) {
        return err;
    }
    fdt_for_each_subnode(node, fdt, parent)
    {
        bool no_map = fdt_getprop(fdt, node, "no-map", NULL) != NULL;
        uint64_t address;
        uint64_t len;

        for (uint32_t i = 0; err == 0 && devtree_reg(fdt, node, i, &address, &len) == 0; i++) {
            err = machine_reserve(cordon_hpa_make(address), len, no_map,
                                  no_map ? "firmware" : "reserved-memory node");
        }
    }
    return err;
}

/* One hart; what guests may be told of is what all harts have. */
static int add_hart(const void *fdt, int node)
{
    struct hart *hart = &harts[hart_count];
    struct host_cpu cpu;
    int intc;

    if (hart_count == HART_MAX) {
        return 0; /* it stays with the firmware */
    }
    if (devtree_number(fdt, node, "reg", &hart->id) != 0 || host_cpu_read(fdt, node, &cpu) != 0) {
        return -CORDON_EINVAL;
    }
    fdt_for_each_subnode(intc, fdt, node)
    {
        if (fdt_node_check_compatible(fdt, intc, "riscv,cpu-intc") == 0) {
            hart->intc = fdt_get_phandle(fdt, intc);
        }
    }
    if (hart_count == 0) {
        machine.cpu = cpu;
    } else {
        host_cpu_join(&machine.cpu, &cpu);
    }
    hart->index = hart_count++;
    return 0;
}

static int read_harts(const void *fdt, const char **what)
{
    int cpus = fdt_path_offset(fdt, "/cpus");
    int node;

    if (cpus < 0 || devtree_number(fdt, cpus, "timebase-frequency", &machine.timebase) != 0 ||
        machine.timebase == 0) {
        *what = "/cpus has no timebase-frequency";
        return -CORDON_EINVAL;
    }
    fdt_for_each_subnode(node, fdt, cpus)
    {
        const char *type = fdt_getprop(fdt, node, "device_type", NULL);

        if (type != NULL && strcmp(type, "cpu") == 0 && devtree_enabled(fdt, node) &&
            add_hart(fdt, node) != 0) {
            *what = "a node of /cpus";
            return -CORDON_EINVAL;
        }
    }
    return 0;
}

int machine_read(const void *fdt, cordon_hpa fdt_hpa, const char **what)
{
    int err;

    *what = "the device tree";
    if (fdt_check_full(fdt, fdt_totalsize(fdt)) != 0) {
        return -CORDON_EINVAL;
    }
    machine.fdt = fdt;
    machine.fdt_found = fdt_hpa;
    *what = "a node of memory, or one of too many";
    err = read_memory(fdt);
    if (err == 0 && machine.bank_count == 0) {
        err = -CORDON_ENOENT;
    }
    if (err != 0) {
        return err;
    }
    *what = "reserved memory: too many parts";
    err = read_reserved(fdt);
    if (err == 0) {
        err = machine_reserve(fdt_hpa, fdt_totalsize(fdt), false, "device tree");
    }
    if (err != 0) {
        return err;
    }
    err = read_harts(fdt, what);
    return err != 0 ? err : machine_read_devices(fdt, what);
}
