/* The device tree of the machine: interrupt files, IOMMUs, virtio, what firmware chose. */
#include "core/machine_devices.h"

#include <cordon/error.h>
#include <libfdt.h>
#include <string.h>

#include "core/devtree.h"
#include "core/hart.h"

#define S_EXTERNAL 9u /* the supervisor external interrupt, in interrupts-extended */

static struct hart *hart_of_intc(uint32_t phandle)
{
    for (uint32_t i = 0; i < hart_count; i++) {
        if (harts[i].intc == phandle) {
            return &harts[i];
        }
    }
    return NULL;
}

/* Take NODE as the S level's interrupt files, and tell each hart where its own lies. */
static int take_imsic(const void *fdt, int node)
{
    struct machine_imsic *imsic = &machine.imsic;
    int len;
    const uint8_t *list = fdt_getprop(fdt, node, "interrupts-extended", &len);
    uint64_t address;
    uint64_t bytes;

    if (list == NULL || len < 8 || devtree_cells(list + 4, 1) != S_EXTERNAL || imsic->present) {
        return 0;
    }
    if (devtree_u32(fdt, node, "riscv,guest-index-bits", &imsic->guest_bits) != 0) {
        imsic->guest_bits = 0;
    }
    if (devtree_u32(fdt, node, "riscv,num-ids", &imsic->ids) != 0 || imsic->ids > 2047 ||
        imsic->guest_bits > 7) {
        return -CORDON_EINVAL;
    }
    while (imsic->reg_count < MACHINE_IMSIC_REGS &&
           devtree_reg(fdt, node, imsic->reg_count, &address, &bytes) == 0) {
        imsic->reg[imsic->reg_count++] = (struct cordon_extent){cordon_hpa_make(address), bytes};
    }
    imsic->present = true;
    for (uint32_t i = 0; i < (uint32_t)len / 8; i++) {
        struct hart *hart = hart_of_intc((uint32_t)devtree_cells(list + i * 8, 1));
        cordon_hpa file;

        if (hart != NULL && machine_imsic_file(i, &file) == 0) {
            hart->imsic = file.v;
        }
    }
    return 0;
}

static int take_iommu(const void *fdt, int node)
{
    uint64_t address;
    uint64_t len;

    if (devtree_reg(fdt, node, 0, &address, &len) != 0 || len < CORDON_PAGE_SIZE) {
        return -CORDON_EINVAL;
    }
    if (machine.iommu_count == CORDON_MAX_IOMMUS) {
        return -CORDON_ELIMIT;
    }
    machine.iommu[machine.iommu_count++] =
        (struct machine_iommu){cordon_hpa_make(address), fdt_get_phandle(fdt, node)};
    return 0;
}

static void take_virtio(const void *fdt, int node)
{
    uint64_t address;
    uint64_t len;

    if (machine.virtio_count < MACHINE_VIRTIO_MAX &&
        devtree_reg(fdt, node, 0, &address, &len) == 0) {
        machine.virtio[machine.virtio_count++] = cordon_hpa_make(address);
    }
}

static void take_finisher(const void *fdt, int node)
{
    uint64_t address;
    uint64_t len;

    if (devtree_reg(fdt, node, 0, &address, &len) == 0 && len >= 4) {
        machine.finisher = cordon_hpa_make(address);
    }
}

/* /chosen/rng-seed, if there is enough of it. */
static void take_seed(const void *fdt, int chosen)
{
    int len;
    const void *seed = fdt_getprop(fdt, chosen, "rng-seed", &len);

    if (seed != NULL && len >= (int)sizeof(machine.seed)) {
        memcpy(machine.seed, seed, sizeof(machine.seed));
        machine.has_seed = true;
    }
}

/* What firmware chose: where the initrd, our bundle, lies; random bytes. */
static int read_chosen(const void *fdt)
{
    int chosen = fdt_path_offset(fdt, "/chosen");
    uint64_t start;
    uint64_t end;

    if (chosen >= 0) {
        take_seed(fdt, chosen);
    }
    if (chosen < 0 || devtree_number(fdt, chosen, "linux,initrd-start", &start) != 0 ||
        devtree_number(fdt, chosen, "linux,initrd-end", &end) != 0 || end <= start) {
        return 0;
    }
    machine.bundle = cordon_hpa_make(start);
    machine.bundle_len = end - start;
    if (!machine_ram_holds(machine.bundle, machine.bundle_len)) {
        return -CORDON_ERANGE;
    }
    return machine_reserve(machine.bundle, machine.bundle_len, false, "bundle");
}

int machine_read_devices(const void *fdt, const char **what)
{
    int err = 0;

    for (int node = fdt_next_node(fdt, -1, NULL); node >= 0 && err == 0;
         node = fdt_next_node(fdt, node, NULL)) {
        if (!devtree_enabled(fdt, node)) {
            continue;
        }
        if (fdt_node_check_compatible(fdt, node, "riscv,imsics") == 0) {
            *what = "the interrupt files (riscv,imsics)";
            err = take_imsic(fdt, node);
        } else if (fdt_node_check_compatible(fdt, node, "riscv,iommu") == 0) {
            *what = "an IOMMU (riscv,iommu)";
            err = take_iommu(fdt, node);
        } else if (fdt_node_check_compatible(fdt, node, "virtio,mmio") == 0) {
            take_virtio(fdt, node);
        } else if (fdt_node_check_compatible(fdt, node, "sifive,test0") == 0) {
            take_finisher(fdt, node);
        }
    }
    if (err != 0) {
        return err;
    }
    *what = "/chosen: the initrd does not lie in RAM";
    return read_chosen(fdt);
}
