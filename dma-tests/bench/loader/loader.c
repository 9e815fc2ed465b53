/*
 * The baseline of benchmarks of devices: Linux with an IOMMU and tables like the hypervisor's, but
 * no hypervisor. One second stage of Sv39x4 with leaves of 2 MiB that maps RAM to where it stands
 * once more, for some devices, and a flat MSI table with the first hart's own interrupt file.
 * [IOMMU 3.1, 5.5; AIA 9.5]
 *
 * Once more, as QEMU's IOMMU keeps no translation to the same address: it would walk these tables
 * for every access, and none of a guest's. RAM's second place is a BAR of a PCI function.
 *
 * Shares no code with what it is compared to. Everything it makes lies in its own 2 MiB, which it
 * has Linux leave alone by an entry in the device tree's memory reservation block.
 */
#include <stdint.h>

#define LOADER_BYTES 0x200000u
#define TREE_AT 0x80000u
#define ENTRY 16u /* of the reservation block */
#define LEAF_BYTES 0x200000u
#define PAGE_SHIFT 12
#define LEAF 0xd7u /* V R W U A D */
#define TABLE 1u
#define MODE_FLAT (UINT64_C(1) << 60)
#define MODE_SV39X4 (UINT64_C(8) << 60)
#define GSCID (UINT64_C(1) << 44)
#define MSI_BASIC 7u /* V, M = 3 */
#define DDTP_1LVL 2u
#define DDTP_BUSY 0x10u
#define BUSY_TRIES 1000000u
#define COMMAND_MEMORY 2u /* of PCI's command register */

/* Filled in by whoever joins loader and kernel; start.S keeps the place. */
struct orders {
    uint64_t iommu;   /* its registers, 0: there is none to set up */
    uint64_t devices; /* a bit for each device ID, 0 to 63 */
    uint64_t ram, ram_len, msi_page;
    uint64_t function; /* configuration space of the function whose BAR 2 is RAM */
    uint64_t again;    /* where that BAR is put, and Linux leaves it */
};

extern struct orders orders;
extern char _head[];

static _Alignas(16384) uint64_t root[2048];
static _Alignas(4096) uint64_t table[512];
static _Alignas(4096) uint64_t directory[512];
static _Alignas(4096) uint64_t messages[512];

uint64_t load(uint64_t hart, uint64_t tree, uint64_t time);

static void put(const char *text, uint64_t len)
{
    register uint64_t a0 __asm__("a0") = len;
    register uint64_t a1 __asm__("a1") = (uint64_t)(uintptr_t)text;
    register uint64_t a2 __asm__("a2") = 0;
    register uint64_t a6 __asm__("a6") = 0;
    register uint64_t a7 __asm__("a7") = 0x4442434E; /* DBCN: write */

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a6), "r"(a7) : "memory");
}

static void say_time(uint64_t time)
{
    static char line[48] = "BENCH-FIRST time=";
    char digits[20];
    unsigned n = 0;
    unsigned at = 17;

    do {
        digits[n++] = (char)('0' + time % 10);
        time /= 10;
    } while (time != 0);
    while (n != 0) {
        line[at++] = digits[--n];
    }
    line[at++] = '\n';
    put(line, at);
}

static void stop(const char *why, uint64_t len)
{
    put(why, len);
    for (;;) {
        __asm__ volatile("wfi");
    }
}

/* ---- the device tree's copy, with one reservation more ------------------------------------ */

/* Numbers of a device tree are big-endian. */
static uint64_t get(const uint8_t *from, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

static void set(uint8_t *to, unsigned bytes, uint64_t value)
{
    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        to[i] = (uint8_t)value;
    }
}

/* Header of 40 bytes, reservations, structure, strings: all but the header moves by one entry. */
static uint64_t copy_tree(uint64_t tree)
{
    const uint8_t *from = (const uint8_t *)(uintptr_t)tree;
    uint8_t *to = (uint8_t *)_head + TREE_AT;
    uint64_t total = get(from + 4, 4);
    uint64_t entries = get(from + 16, 4);

    if (total > LOADER_BYTES - TREE_AT - ENTRY || entries > total) {
        static const char text[] = "BENCH-ERROR no device tree that fits\n";

        stop(text, sizeof(text) - 1);
    }
    for (uint64_t i = 0; i < total; i++) {
        to[i < entries ? i : i + ENTRY] = from[i];
    }
    set(to + entries, 8, (uint64_t)(uintptr_t)_head);
    set(to + entries + 8, 8, LOADER_BYTES);
    set(to + 4, 4, total + ENTRY);              /* totalsize */
    set(to + 8, 4, get(from + 8, 4) + ENTRY);   /* off_dt_struct */
    set(to + 12, 4, get(from + 12, 4) + ENTRY); /* off_dt_strings */
    return (uint64_t)(uintptr_t)to;
}

/* ---- the IOMMU ---------------------------------------------------------------------------- */

static uint64_t ppn(const void *page)
{
    return (uint64_t)(uintptr_t)page >> PAGE_SHIFT;
}

static void place_again(void)
{
    volatile uint32_t *config = (volatile uint32_t *)(uintptr_t)orders.function;

    config[6] = (uint32_t)orders.again; /* BAR 2 and 3: one of 64 bits */
    config[7] = (uint32_t)(orders.again >> 32);
    config[1] = COMMAND_MEMORY;
}

/* RAM lies in one GiB. */
static void build_tables(void)
{
    uint64_t leaves = orders.ram_len / LEAF_BYTES;

    for (uint64_t i = 0; i < leaves && i < 512; i++) {
        uint64_t to = orders.again + i * LEAF_BYTES;

        table[(orders.ram / LEAF_BYTES + i) % 512] = to >> PAGE_SHIFT << 10 | LEAF;
    }
    root[orders.ram >> 30] = ppn(table) << 10 | TABLE;
    messages[0] = orders.msi_page >> PAGE_SHIFT << 10 | MSI_BASIC;
}

static void attach(uint64_t *context)
{
    context[1] = MODE_SV39X4 | GSCID | ppn(root);
    context[4] = MODE_FLAT | ppn(messages);
    context[5] = 0; /* the mask: one file */
    context[6] = orders.msi_page >> PAGE_SHIFT;
    context[0] = 1; /* V */
}

static void set_up_iommu(void)
{
    volatile uint64_t *ddtp = (volatile uint64_t *)(uintptr_t)(orders.iommu + 0x10);
    unsigned tries = BUSY_TRIES;

    place_again();
    build_tables();
    for (unsigned id = 0; id < 64; id++) {
        if ((orders.devices >> id & 1) != 0) {
            attach(&directory[id * 8]);
        }
    }
    __asm__ volatile("fence rw, rw" ::: "memory");
    *ddtp = ppn(directory) << 10 | DDTP_1LVL;
    __asm__ volatile("fence iorw, iorw" ::: "memory");
    while ((*ddtp & DDTP_BUSY) != 0 && --tries != 0) {
    }
    if ((*ddtp & 15) != DDTP_1LVL) {
        static const char text[] = "BENCH-ERROR the IOMMU does not take its directory\n";

        stop(text, sizeof(text) - 1);
    }
}

uint64_t load(uint64_t hart, uint64_t tree, uint64_t time)
{
    (void)hart;
    say_time(time);
    if (orders.iommu != 0) {
        set_up_iommu();
        tree = copy_tree(tree);
    }
    return tree;
}
