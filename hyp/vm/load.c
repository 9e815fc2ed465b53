/*
 * Kernel, initial ramdisk and device tree, into a guest's memory.
 *
 *   ram_base + text_offset   kernel, image_size bytes [Linux, riscv boot]
 *   from the top of RAM down device tree, then the ramdisk below it
 *
 * The harts of the guest run fence.i before they fetch any of it (vcpu.c; INV 9).
 */
#include "vm/load.h"

#include <string.h>

#include "config/config_error.h"
#include "config/guest_dt.h"
#include "config/isa.h"
#include "config/kernel_image.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/sha256.h"
#include "vm/guests.h"
#include "vm/memory_vm.h"

#define DT_BYTES GUEST_DT_BYTES
#define DT_RUN_ALIGN UINT64_C(0x10000)

struct layout {
    cordon_gpa kernel, ramdisk, tree;
};

static const uint8_t *blob(const struct bundle *bundle, const struct vm_blob *b)
{
    return (const uint8_t *)bundle->base + b->offset;
}

/* Where everything goes; the ramdisk must not reach down to the kernel. */
static int lay_out(const struct vm *vm, const struct bundle *bundle, struct layout *out,
                   struct config_error *why)
{
    const struct vm_config *c = vm->config;
    struct kernel_image kernel;
    uint64_t top = c->ram_len - DT_BYTES;
    uint64_t kernel_end;

    if (kernel_image_read(blob(bundle, &c->kernel), c->kernel.len, &kernel) != 0) {
        return config_refuse(why, "its kernel is no RISC-V Image");
    }
    kernel_end = kernel.text_offset + kernel.image_size;
    if (kernel_end > top || c->initrd.len + CORDON_PAGE_SIZE > top - kernel_end) {
        return config_refuse(why,
                             "kernel to 0x%lx, ramdisk of 0x%lx bytes and a device tree do not "
                             "fit into 0x%lx bytes of RAM",
                             kernel_end, c->initrd.len, c->ram_len);
    }
    out->kernel = cordon_gpa_add(c->ram_base, kernel.text_offset);
    out->tree = cordon_gpa_add(c->ram_base, top);
    out->ramdisk = cordon_gpa_add(c->ram_base, (top - c->initrd.len) & ~(CORDON_PAGE_SIZE - 1));
    return 0;
}

/* Random bytes of the guest's own: a hash of the machine's seed, of which no guest can say what it
 * or another's was. Without a seed there are none. */
static void make_random(const struct vm *vm, struct guest_dt *in)
{
    struct {
        uint8_t seed[MACHINE_SEED_BYTES];
        uint64_t vm, time, use;
    } from = {.vm = vm->index, .time = hart_time()};
    uint8_t digest[32];

    _Static_assert(sizeof(digest) == sizeof(in->rng_seed), "a digest is a seed");
    in->has_random = machine.has_seed;
    memcpy(from.seed, machine.seed, sizeof(from.seed));
    sha256((const uint8_t *)&from, sizeof(from), in->rng_seed);
    from.use = 1;
    sha256((const uint8_t *)&from, sizeof(from), digest);
    memcpy(&in->kaslr_seed, digest, sizeof(in->kaslr_seed));
}

/* The guest's tree at BUF: ours, or the bundle's completed. */
static int make_tree(const struct vm *vm, const struct bundle *bundle, const struct layout *l,
                     void *buf, struct config_error *why)
{
    struct guest_dt in = {.vm = vm->config,
                          .cpu = machine.cpu,
                          .timebase_hz = (uint32_t)machine.timebase,
                          .imsic_ids = machine.imsic.ids,
                          .initrd = l->ramdisk};
    struct hart_abilities all;
    int err;

    hart_common(&all);
    in.cpu.isa = isa_offer(in.cpu.isa, all.needs);
    make_random(vm, &in);
    if (vm->config->dtb.len != 0) {
        return guest_dt_patch(&in, blob(bundle, &vm->config->dtb), vm->config->dtb.len, buf,
                              DT_BYTES, why);
    }
    err = guest_dt_make(&in, buf, DT_BYTES);
    return err == 0 ? 0 : config_refuse(why, "device tree: %s", cordon_strerror(err));
}

static int refuse_write(struct config_error *why, const char *what, int err)
{
    return config_refuse(why, "%s: %s where they belong", what,
                         err == -CORDON_ENOMEM ? "no frame is left" : "there is no RAM");
}

/* The device tree is made in memory of ours, then copied. */
static int load_tree(struct vm *vm, const struct bundle *bundle, const struct layout *l,
                     struct config_error *why)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = DT_BYTES, .align = DT_RUN_ALIGN};
    cordon_hpa run;
    int err = cordon_run_alloc(guests_ctx(), &want, &run);
    int freed;

    if (err != 0) {
        return config_refuse(why, "device tree: %s", cordon_strerror(err));
    }
    err = make_tree(vm, bundle, l, memory_ptr(run), why);
    if (err == 0) {
        err = vm_memory_write(vm, l->tree, memory_ptr(run), DT_BYTES);
        err = err != 0 ? refuse_write(why, "device tree", err) : 0;
    }
    freed = cordon_run_free(guests_ctx(), run, DT_BYTES);
    cordon_assert(freed == 0);
    return err;
}

int load_images(struct vm *vm, const struct bundle *bundle, struct config_error *why)
{
    const struct vm_config *c = vm->config;
    struct layout l = {0};
    int err = lay_out(vm, bundle, &l, why);

    if (err != 0) {
        return err;
    }
    err = vm_memory_write(vm, l.kernel, blob(bundle, &c->kernel), c->kernel.len);
    if (err == 0) {
        err = vm_memory_write(vm, l.ramdisk, blob(bundle, &c->initrd), c->initrd.len);
    }
    if (err != 0) {
        return refuse_write(why, "images", err);
    }
    err = load_tree(vm, bundle, &l, why);
    if (err == 0) {
        vm->entry = l.kernel;
        vm->dtb = l.tree;
    }
    return err;
}
