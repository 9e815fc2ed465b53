/* Cpu nodes [Devicetree bindings, riscv/cpus and riscv/extensions]. */
#include "config/host_cpu.h"

#include <libfdt.h>
#include <string.h>

#include <cordon/error.h>

#include "config/isa.h"

#define BLOCK_MIN 16u
#define BLOCK_MAX 4096u

/* The string property NAME; null if it is missing or no string. */
static const char *cpu_text(const void *tree, int node, const char *name)
{
    int len = 0;
    const char *text = fdt_getprop(tree, node, name, &len);

    return text != NULL && len >= 1 && text[len - 1] == '\0' ? text : NULL;
}

static uint32_t cpu_u32(const void *tree, int node, const char *name)
{
    int len = 0;
    const void *cell = fdt_getprop(tree, node, name, &len);

    return cell != NULL && len == 4 ? fdt32_ld(cell) : 0;
}

/* The size of a cache block; 0 if it is missing, no power of two, or beyond a page: who worked on
 * such blocks would leave some out. */
static uint32_t cpu_block(const void *tree, int node, const char *name)
{
    uint32_t bytes = cpu_u32(tree, node, name);

    return bytes >= BLOCK_MIN && bytes <= BLOCK_MAX && (bytes & (bytes - 1)) == 0 ? bytes : 0;
}

/* riscv,isa-extensions, a list of strings. */
static int read_extensions(const char *list, int len, uint64_t *out)
{
    uint64_t set = 0;

    if (len < 1 || list[len - 1] != '\0') {
        return -CORDON_EINVAL;
    }
    for (const char *end = list + len; list < end; list += strlen(list) + 1) {
        set |= isa_bit(list, strlen(list));
    }
    *out = set;
    return 0;
}

static int read_isa(const void *tree, int node, uint64_t *out)
{
    const char *base = cpu_text(tree, node, "riscv,isa-base");
    const char *text = cpu_text(tree, node, "riscv,isa");
    int len = 0;
    const char *list = fdt_getprop(tree, node, "riscv,isa-extensions", &len);

    if (list != NULL) {
        return base != NULL && strcmp(base, "rv64i") == 0 ? read_extensions(list, len, out)
                                                          : -CORDON_EINVAL;
    }
    return text != NULL ? isa_parse(text, out) : -CORDON_EINVAL;
}

static enum host_mmu read_mmu(const void *tree, int node)
{
    const char *text = cpu_text(tree, node, "mmu-type");

    if (text == NULL) {
        return HOST_MMU_NONE;
    }
    if (strcmp(text, "riscv,sv57") == 0) {
        return HOST_MMU_SV57;
    }
    if (strcmp(text, "riscv,sv48") == 0) {
        return HOST_MMU_SV48;
    }
    return strcmp(text, "riscv,sv39") == 0 ? HOST_MMU_SV39 : HOST_MMU_NONE;
}

/* An extension on blocks whose size is not known cannot be used. */
static void drop_unsized(struct host_cpu *cpu)
{
    cpu->isa &= cpu->cbom_bytes != 0 ? ~UINT64_C(0) : ~isa_bit("zicbom", 6);
    cpu->isa &= cpu->cboz_bytes != 0 ? ~UINT64_C(0) : ~isa_bit("zicboz", 6);
    cpu->isa &= cpu->cbop_bytes != 0 ? ~UINT64_C(0) : ~isa_bit("zicbop", 6);
}

int host_cpu_read(const void *tree, int node, struct host_cpu *out)
{
    struct host_cpu cpu = {
        .mmu = read_mmu(tree, node),
        .cbom_bytes = cpu_block(tree, node, "riscv,cbom-block-size"),
        .cbop_bytes = cpu_block(tree, node, "riscv,cbop-block-size"),
        .cboz_bytes = cpu_block(tree, node, "riscv,cboz-block-size"),
    };
    int status = read_isa(tree, node, &cpu.isa);

    if (status != 0) {
        return status;
    }
    drop_unsized(&cpu);
    *out = cpu;
    return 0;
}

void host_cpu_join(struct host_cpu *cpu, const struct host_cpu *other)
{
    cpu->isa &= other->isa;
    cpu->mmu = cpu->mmu < other->mmu ? cpu->mmu : other->mmu;
    cpu->cbom_bytes = cpu->cbom_bytes == other->cbom_bytes ? cpu->cbom_bytes : 0;
    cpu->cbop_bytes = cpu->cbop_bytes == other->cbop_bytes ? cpu->cbop_bytes : 0;
    cpu->cboz_bytes = cpu->cboz_bytes == other->cboz_bytes ? cpu->cboz_bytes : 0;
    drop_unsized(cpu);
}
