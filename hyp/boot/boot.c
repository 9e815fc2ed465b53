/*
 * The first hart, from the first table to the last line of the banner: memory, our own tables, a
 * guarded stack, the other harts.
 */
#include "boot/boot.h"

#include <cordon/error.h>
#include <cordon/port.h>
#include <libfdt.h>
#include <string.h>

#include "boot/harts.h"
#include "boot/layout.h"
#include "boot/tables.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/hart_init.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/poweroff.h"
#include "core/tick.h"
#include "sbi/sbi.h"
#include "vm/guests.h"

#define GIB (UINT64_C(1) << 30)
#define ARENA_ALIGN UINT64_C(0x200000)
#define ARENA_TABLES (UINT64_C(512) << CORDON_PAGE_SHIFT)
#define ARENA_CHANNEL (UINT64_C(64) << CORDON_PAGE_SHIFT)
#define FDT_BYTES_MAX (UINT64_C(4) << 20)

extern char _image_start[], _rodata_start[], _data_start[], _image_end[];

static uint64_t entry_time;

uint64_t boot_entry_time(void)
{
    return entry_time;
}

static void must(int err, const char *what)
{
    if (err != 0) {
        panic("boot: %s: %s", what, cordon_strerror(err));
    }
}

/* Lowest byte that the direct map reaches, and the level count that it takes. */
static unsigned choose_direct(uint64_t *base)
{
    const struct cordon_extent *last = &machine.bank[machine.bank_count - 1];
    uint64_t low = machine.bank[0].hpa.v & ~(GIB - 1);
    bool small = last->hpa.v + last->len - low <= VA_IMAGE - VA_DIRECT_SV39;

    *base = (small ? VA_DIRECT_SV39 : VA_DIRECT_SV48) - low;
    return small ? 3 : 4;
}

/* Map [start, end) of RAM, save our image and what the firmware keeps to itself. */
static void map_ram(uint64_t start, uint64_t end, uint64_t direct)
{
    struct cordon_extent image = memory_image();

    while (start < end) {
        uint64_t stop = end;
        uint64_t resume = 0;

        for (uint32_t i = 0; i <= machine.reserved_count; i++) {
            struct cordon_extent hole =
                i < machine.reserved_count ? machine.reserved[i].run : image;

            if (i < machine.reserved_count && !machine.reserved[i].no_map) {
                continue;
            }
            if (hole.hpa.v < stop && hole.hpa.v + hole.len > start) {
                stop = hole.hpa.v > start ? hole.hpa.v : start;
                resume = hole.hpa.v + hole.len;
            }
        }
        if (stop > start) {
            must(tables_map(start + direct, cordon_hpa_make(start), stop - start, CORDON_RW),
                 "direct map");
        }
        start = resume != 0 ? resume : stop;
    }
}

static void map_image(void)
{
    struct cordon_extent image = memory_image();
    const struct {
        const char *start, *end;
        uint32_t rights;
    } part[] = {{_image_start, _rodata_start, CORDON_READ | CORDON_EXEC},
                {_rodata_start, _data_start, CORDON_READ},
                {_data_start, _image_end, CORDON_RW}};

    for (unsigned i = 0; i < 3; i++) {
        must(tables_map((uint64_t)(uintptr_t)part[i].start,
                        cordon_hpa_add(image.hpa, (uint64_t)(part[i].start - _image_start)),
                        (uint64_t)(part[i].end - part[i].start), part[i].rights),
             "our image");
    }
}

/* A page for each hart's stacks, unmapped pages between. */
static void map_stacks(void)
{
    for (uint32_t i = 0; i < hart_count; i++) {
        uint64_t slot = VA_STACKS + (uint64_t)i * STACK_SLOT;
        cordon_hpa emergency;
        cordon_hpa main;

        must(arena_alloc((STACK_EMERGENCY_TOP - STACK_EMERGENCY) >> CORDON_PAGE_SHIFT, &emergency),
             "stacks");
        must(arena_alloc((STACK_MAIN_TOP - STACK_MAIN) >> CORDON_PAGE_SHIFT, &main), "stacks");
        must(tables_map(slot + STACK_EMERGENCY, emergency, STACK_EMERGENCY_TOP - STACK_EMERGENCY,
                        CORDON_RW),
             "stacks");
        must(tables_map(slot + STACK_MAIN, main, STACK_MAIN_TOP - STACK_MAIN, CORDON_RW), "stacks");
        harts[i].emergency = slot + STACK_EMERGENCY_TOP;
        harts[i].stack_top = slot + STACK_MAIN_TOP;
    }
}

/* The arena, out of RAM that nobody has reserved, behind our image if there is room. */
static void open_arena(uint64_t fdt_bytes)
{
    struct cordon_extent image = memory_image();
    uint64_t len = ARENA_TABLES + ARENA_CHANNEL + (uint64_t)hart_count * STACK_SLOT + fdt_bytes;
    cordon_hpa at;

    must(machine_reserve(image.hpa, image.len, false, "hypervisor"), "reserved memory");
    len = (len + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (machine_find_gap(image.hpa.v, len, ARENA_ALIGN, &at) != 0 &&
        machine_find_gap(0, len, ARENA_ALIGN, &at) != 0) {
        panic("boot: no %lu KiB of RAM in a row for the hypervisor itself", len >> 10);
    }
    arena_open((struct cordon_extent){at, len});
    must(machine_reserve(at, len, false, "hypervisor's memory"), "reserved memory");
}

/* Our own tables instead of the first ones; then the device tree's copy is the one to read. */
static void build_tables(void)
{
    uint64_t direct;
    unsigned levels = choose_direct(&direct);
    uint64_t fdt_bytes = fdt_totalsize(machine.fdt);
    cordon_hpa copy;

    must(tables_begin(levels), "tables");
    map_image();
    map_stacks();
    for (uint32_t i = 0; i < machine.bank_count; i++) {
        map_ram(machine.bank[i].hpa.v, machine.bank[i].hpa.v + machine.bank[i].len, direct);
    }
    must(arena_alloc((fdt_bytes + CORDON_PAGE_SIZE - 1) >> CORDON_PAGE_SHIFT, &copy),
         "copy of the device tree");
    memcpy(memory_ptr(copy), machine.fdt, fdt_bytes);
    boot_switch_table(tables_satp());
    if (csr_read(CSR_SATP) != tables_satp()) {
        panic("boot: RAM reaches too far for Sv39, and this hart has no Sv48");
    }
    memory_set_offset(direct);
    machine.fdt = memory_ptr(copy);
}

/* The rights that count are tried out as well as counted. */
static void check_tables(void)
{
    struct tables_sum sum;
    uint32_t rights = 0;
    bool ok;

    tables_count(&sum);
    ok = sum.both == 0 && sum.executable != 0 && !probe_store(_image_start) &&
         !probe_store(_rodata_start) && probe_store(_data_start) &&
         !probe_load((const void *)(uintptr_t)VA_STACKS) &&
         !probe_load((const void *)(uintptr_t)memory_image().hpa.v) &&
         tables_find((uint64_t)(uintptr_t)_data_start, &rights) && !(rights & CORDON_EXEC);
    if (!ok) {
        panic("boot: W^X is broken: of %lu leaves %lu are writable and executable", sum.leaves,
              sum.both);
    }
    log_line("tables: %s, %lu leaves: %lu executable, %lu writable, none both; guards hold",
             (tables_satp() & SATP_MODE) == SATP_MODE_SV39 ? "Sv39" : "Sv48", sum.leaves,
             sum.executable, sum.writable);
}

static void say_what_there_is(void)
{
    struct cordon_extent image = memory_image();
    uint64_t ram = 0;

    for (uint32_t i = 0; i < machine.bank_count; i++) {
        ram += machine.bank[i].len;
    }
    log_line("Cordon: %u harts, %lu MiB of RAM in %u banks, image at 0x%lx, %lu KiB", hart_count,
             ram >> 20, machine.bank_count, image.hpa.v, image.len >> 10);
    for (uint32_t i = 0; i < machine.reserved_count; i++) {
        const struct machine_reserved *r = &machine.reserved[i];

        log_line("  0x%010lx, %6lu KiB: %s", r->run.hpa.v, r->run.len >> 10, r->what);
    }
}

/* On the guarded stack, under our own tables. */
static _Noreturn void boot_late(void)
{
    struct hart *hart = hart_this();

    poweroff_init();
    say_what_there_is();
    check_tables();
    sbi_init();
    atomic_store(&hart->online, hart_init_here(hart) ? HART_READY : HART_UNFIT);
    harts_start_others();
    guests_run();
}

static struct hart *find_hart(uint64_t id)
{
    for (uint32_t i = 0; i < hart_count; i++) {
        if (harts[i].id == id) {
            return &harts[i];
        }
    }
    panic("boot: the device tree does not have hart %lu, which runs this", id);
}

void boot_main(uint64_t hart_id, uint64_t fdt, uint64_t load, uint64_t window)
{
    static struct hart early; /* until the harts are known */
    static _Alignas(16) uint8_t early_stack[STACK_EMERGENCY_TOP - STACK_EMERGENCY];
    const char *what = "the device tree";
    const void *tree;
    struct hart *hart;

    entry_time = hart_time();
    early.id = hart_id;
    early.emergency = (uint64_t)(uintptr_t)(early_stack + sizeof(early_stack));
    boot_set_tp(&early);
    csr_write(CSR_STVEC, (uint64_t)(uintptr_t)trap_entry);
    memory_set_image(cordon_hpa_make(load));
    memory_set_offset(VA_DIRECT_SV39 - window);
    console_init();
    tree = (const void *)(uintptr_t)(BOOT_FDT_WINDOW + fdt % GIB);
    if (fdt == 0 || fdt % 8 != 0 || fdt_check_header(tree) != 0 ||
        fdt_totalsize(tree) > FDT_BYTES_MAX) {
        panic("boot: no device tree at 0x%lx", fdt);
    }
    must(machine_read(tree, cordon_hpa_make(fdt), &what), what);
    open_arena(fdt_totalsize(tree));
    build_tables();
    hart = find_hart(hart_id);
    boot_switch_stack(hart->stack_top, (uint64_t)(uintptr_t)hart, boot_late);
}
