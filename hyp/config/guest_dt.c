/* The tree that Cordon makes for a guest, node by node, in the shape that Linux drivers bind to. */
#include "config/guest_dt.h"

#include <stdio.h>

#include <cordon/error.h>

#include "config/dt_writer.h"
#include "config/isa.h"

/* Phandles. A cpu's local interrupt controller has PHANDLE_CPU + its number. */
#define PHANDLE_CPU 0x100u
#define PHANDLE_IMSIC 1u
#define PHANDLE_APLIC 2u

#define UART_LEN 0x1000u
#define UART_CLOCK_HZ 3686400u
#define APLIC_LEN 0x8000u
#define ECAM_LEN 0x100000u
#define IMSIC_FILE_LEN 0x1000u
#define IRQ_LEVEL_HIGH 4u
#define IRQ_S_EXTERNAL 9u /* [Priv, scause] */

/* First cell of a PCI range: the address space. */
#define PCI_SPACE_MEM32 0x02000000u
#define PCI_SPACE_MEM64 0x03000000u

const char *guest_dt_mmu(enum host_mmu mmu)
{
    switch (mmu) {
    case HOST_MMU_SV57:
        return "riscv,sv57";
    case HOST_MMU_SV48:
        return "riscv,sv48";
    case HOST_MMU_SV39:
    case HOST_MMU_NONE:
        break;
    }
    return "riscv,sv39";
}

int guest_dt_check(const struct guest_dt *in)
{
    if ((in->cpu.isa & isa_required()) != isa_required() || in->cpu.mmu == HOST_MMU_NONE) {
        return -CORDON_ENOTSUP;
    }
    if (in->imsic_ids < 63 || in->imsic_ids > 2047 || in->imsic_ids % 64 != 63) {
        return -CORDON_EINVAL;
    }
    return 0;
}

static void write_chosen(struct dt_writer *w, const struct guest_dt *in, uint64_t window)
{
    char path[40];

    snprintf(path, sizeof path, "/soc/serial@%lx", (unsigned long)(window + GUEST_UART));
    dt_open(w, "aliases");
    dt_text(w, "serial0", path);
    dt_close(w);
    dt_open(w, "chosen");
    dt_text(w, "stdout-path", path);
    if (in->vm->bootargs[0] != '\0') {
        dt_text(w, "bootargs", in->vm->bootargs);
    }
    if (in->vm->initrd.len != 0) {
        dt_u64(w, "linux,initrd-start", in->initrd.v);
        dt_u64(w, "linux,initrd-end", in->initrd.v + in->vm->initrd.len);
    }
    if (in->has_random) {
        dt_bytes(w, "rng-seed", in->rng_seed, sizeof(in->rng_seed));
        dt_u64(w, "kaslr-seed", in->kaslr_seed);
    }
    dt_close(w);
}

static void write_block_size(struct dt_writer *w, const char *name, uint32_t bytes)
{
    if (bytes != 0) {
        dt_u32(w, name, bytes);
    }
}

static void write_cpu(struct dt_writer *w, const struct guest_dt *in, uint32_t number)
{
    char isa[ISA_TEXT_BYTES];
    size_t len;

    dt_open_at(w, "cpu", number);
    dt_text(w, "device_type", "cpu");
    dt_u32(w, "reg", number);
    dt_text(w, "status", "okay");
    dt_text(w, "compatible", "riscv");
    dt_text(w, "riscv,isa-base", "rv64i");
    len = isa_list(in->cpu.isa, isa);
    dt_bytes(w, "riscv,isa-extensions", isa, len);
    len = isa_text(in->cpu.isa, isa);
    dt_bytes(w, "riscv,isa", isa, len);
    write_block_size(w, "riscv,cbom-block-size", in->cpu.cbom_bytes);
    write_block_size(w, "riscv,cbop-block-size", in->cpu.cbop_bytes);
    write_block_size(w, "riscv,cboz-block-size", in->cpu.cboz_bytes);
    dt_text(w, "mmu-type", guest_dt_mmu(in->cpu.mmu));
    dt_open(w, "interrupt-controller");
    dt_text(w, "compatible", "riscv,cpu-intc");
    dt_flag(w, "interrupt-controller");
    dt_u32(w, "#interrupt-cells", 1);
    dt_u32(w, "#address-cells", 0);
    dt_u32(w, "phandle", PHANDLE_CPU + number);
    dt_close(w);
    dt_close(w);
}

static void write_cpus(struct dt_writer *w, const struct guest_dt *in)
{
    dt_open(w, "cpus");
    dt_u32(w, "#address-cells", 1);
    dt_u32(w, "#size-cells", 0);
    dt_u32(w, "timebase-frequency", in->timebase_hz);
    for (uint32_t i = 0; i < in->vm->vcpus; i++) {
        write_cpu(w, in, i);
    }
    dt_close(w);
}

static void write_memory(struct dt_writer *w, const struct vm_config *vm)
{
    dt_open_at(w, "memory", vm->ram_base.v);
    dt_text(w, "device_type", "memory");
    dt_reg(w, vm->ram_base.v, vm->ram_len);
    dt_close(w);
    if (vm->pool_len == 0) {
        return;
    }
    dt_open(w, "reserved-memory");
    dt_u32(w, "#address-cells", 2);
    dt_u32(w, "#size-cells", 2);
    dt_flag(w, "ranges");
    dt_open_at(w, "pool", guest_pool(vm->ram_base).v);
    dt_text(w, "compatible", "cordon,contiguous-pool");
    dt_reg(w, guest_pool(vm->ram_base).v, vm->pool_len);
    dt_flag(w, "no-map");
    dt_close(w);
    dt_close(w);
}

static void write_imsic(struct dt_writer *w, const struct guest_dt *in, uint64_t window)
{
    uint32_t lines[2 * VM_MAX_VCPUS];

    for (uint32_t i = 0; i < in->vm->vcpus; i++) {
        lines[2 * i] = PHANDLE_CPU + i;
        lines[2 * i + 1] = IRQ_S_EXTERNAL;
    }
    dt_open_at(w, "interrupt-controller", window + GUEST_IMSIC);
    dt_text(w, "compatible", "riscv,imsics");
    dt_reg(w, window + GUEST_IMSIC, (uint64_t)in->vm->vcpus * IMSIC_FILE_LEN);
    dt_cells(w, "interrupts-extended", lines, (size_t)2 * in->vm->vcpus);
    dt_flag(w, "interrupt-controller");
    dt_u32(w, "#interrupt-cells", 0);
    dt_u32(w, "#address-cells", 0);
    dt_flag(w, "msi-controller");
    dt_u32(w, "#msi-cells", 0);
    dt_u32(w, "riscv,num-ids", in->imsic_ids);
    dt_u32(w, "phandle", PHANDLE_IMSIC);
    dt_close(w);
}

static void write_aplic(struct dt_writer *w, uint64_t window)
{
    dt_open_at(w, "interrupt-controller", window + GUEST_APLIC);
    dt_text(w, "compatible", "riscv,aplic");
    dt_reg(w, window + GUEST_APLIC, APLIC_LEN);
    dt_flag(w, "interrupt-controller");
    dt_u32(w, "#interrupt-cells", 2);
    dt_u32(w, "#address-cells", 0);
    dt_u32(w, "msi-parent", PHANDLE_IMSIC);
    dt_u32(w, "riscv,num-sources", GUEST_APLIC_SOURCES);
    dt_u32(w, "phandle", PHANDLE_APLIC);
    dt_close(w);
}

static void write_uart(struct dt_writer *w, uint64_t window)
{
    const uint32_t line[2] = {GUEST_IRQ_UART, IRQ_LEVEL_HIGH};

    dt_open_at(w, "serial", window + GUEST_UART);
    dt_text(w, "compatible", "ns16550a");
    dt_reg(w, window + GUEST_UART, UART_LEN);
    dt_u32(w, "clock-frequency", UART_CLOCK_HZ);
    dt_u32(w, "interrupt-parent", PHANDLE_APLIC);
    dt_cells(w, "interrupts", line, 2);
    dt_close(w);
}

/* Addresses on the bus equal the guest's physical ones. */
static void write_pci(struct dt_writer *w, uint64_t window)
{
    const uint32_t low = (uint32_t)(window + GUEST_MMIO32);
    const uint32_t high = (uint32_t)(GUEST_MMIO64 >> 32);
    const uint32_t high_len = (uint32_t)(GUEST_MMIO64_LEN >> 32);
    const uint32_t ranges[14] = {PCI_SPACE_MEM32, 0,    low, 0,    low, 0,        GUEST_MMIO32_LEN,
                                 PCI_SPACE_MEM64, high, 0,   high, 0,   high_len, 0};
    const uint32_t buses[2] = {0, 0};

    dt_open_at(w, "pci", window + GUEST_ECAM);
    dt_text(w, "compatible", "pci-host-ecam-generic");
    dt_text(w, "device_type", "pci");
    dt_reg(w, window + GUEST_ECAM, ECAM_LEN);
    dt_u32(w, "#address-cells", 3);
    dt_u32(w, "#size-cells", 2);
    dt_cells(w, "bus-range", buses, 2);
    dt_u32(w, "linux,pci-domain", 0);
    dt_cells(w, "ranges", ranges, 14);
    dt_u32(w, "msi-parent", PHANDLE_IMSIC);
    dt_flag(w, "dma-coherent");
    dt_close(w);
}

int guest_dt_make(const struct guest_dt *in, void *buf, uint32_t size)
{
    uint64_t window = guest_window(in->vm->ram_base);
    int status = guest_dt_check(in);
    struct dt_writer w;

    if (status != 0) {
        return status;
    }
    dt_start(&w, buf, size);
    dt_u32(&w, "#address-cells", 2);
    dt_u32(&w, "#size-cells", 2);
    dt_text(&w, "compatible", "cordon,guest");
    dt_text(&w, "model", "cordon,guest");
    write_chosen(&w, in, window);
    write_cpus(&w, in);
    write_memory(&w, in->vm);
    dt_open(&w, "soc");
    dt_text(&w, "compatible", "simple-bus");
    dt_u32(&w, "#address-cells", 2);
    dt_u32(&w, "#size-cells", 2);
    dt_flag(&w, "ranges");
    write_uart(&w, window);
    write_aplic(&w, window);
    write_imsic(&w, in, window);
    write_pci(&w, window);
    dt_close(&w);
    return dt_finish(&w);
}
