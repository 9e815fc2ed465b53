/*
 * What a bundle says of one VM, checked; and where things stand in a guest's physical address
 * space.
 *
 * Filled by bundle.c from a Flattened Image Tree, read by the VM builder and the guest device tree.
 */
#ifndef HYP_CONFIG_VM_CONFIG_H
#define HYP_CONFIG_VM_CONFIG_H

#include <cordon/types.h>

#define VM_MAX 8u
#define VM_MAX_VCPUS 8u
#define VM_MAX_DEVICES 16u
#define VM_NAME_BYTES 32u
#define VM_BOOTARGS_BYTES 512u
#define BUNDLE_MAX_IMAGES 24u
#define BUNDLE_MAX_VMID_BITS 14u /* of hgatp.VMID [Priv 18.2.10] */

/* A piece of the bundle: offset and length in bytes from the bundle's first byte, in bounds. */
struct vm_blob {
    uint64_t offset;
    uint64_t len;   /* 0: absent */
    uint32_t image; /* index into the bundle's images */
    uint8_t sha256[32];
};

/* Reset policy of a passthrough device. */
enum vm_reset { VM_RESET_REQUIRED = 0, VM_RESET_NONE_ALLOWED = 1 };

/* When the frames of a guest's RAM come. */
enum vm_fill {
    VM_FILL_START = 0, /* all of them before it starts */
    VM_FILL_TOUCH = 1, /* a page at its first touch */
    VM_FILL_TOUCH_2M =
        2 /* an aligned 2 MiB at the first touch of any page of it, where one is free */
};

struct vm_device {
    uint32_t segment; /* PCI segment = number of the host bridge in the device tree, from 0 */
    uint32_t bdf;     /* bus << 8 | device << 3 | function */
    enum vm_reset reset;
};

struct vm_config {
    char name[VM_NAME_BYTES]; /* letters, digits, - and _; NUL-terminated */
    uint32_t vcpus;           /* 1..VM_MAX_VCPUS */
    cordon_gpa ram_base;      /* 2 MiB aligned, 0 works */
    uint64_t ram_len;         /* bytes, 2 MiB multiple; see the guest layout below */
    uint32_t scatter_pieces;  /* as in cordon_scatter_alloc; the smallest divides ram_len */
    uint64_t scatter_seed;
    enum vm_fill fill;     /* with devices: START, whatever it says */
    bool overcommit;       /* with first touch: no frames are promised, and a touch may find none */
    uint32_t gstage;       /* a mode for its tables: 0 the smallest that will do, 8 Sv39x4, 9
                              Sv48x4, 10 Sv57x4, as in hgatp */
    uint64_t pool_len;     /* bytes, contiguous in GPA and HPA, beside ram_len, at guest_pool() */
    struct vm_blob kernel; /* a RISC-V Image whose header says that it fits into ram_len */
    struct vm_blob initrd;
    struct vm_blob dtb;               /* supplied device tree, absent: made by us */
    char bootargs[VM_BOOTARGS_BYTES]; /* printable characters */
    uint32_t device_count;
    struct vm_device device[VM_MAX_DEVICES];
    bool allow_no_iommu; /* devices may be given on a machine without IOMMU: no isolation */
};

/* One sentence that names VM, object, value and limit. */
struct config_error {
    char text[160];
};

/* An image of the bundle that some VM uses: each is to be hashed once, whoever uses it. */
struct bundle_image {
    char name[VM_NAME_BYTES];
    struct vm_blob blob;
    bool used; /* by a VM in vm[] */
};

/* A VM that is not to be started, and why. NAME has only printable characters. */
struct bundle_refusal {
    char name[VM_NAME_BYTES];
    struct config_error why;
};

struct bundle {
    const void *base;
    uint64_t len;
    uint32_t vmid_bits; /* that the machine uses, at most; harts may have fewer */
    uint32_t vm_count;
    struct vm_config vm[VM_MAX];
    uint32_t refused_count;
    struct bundle_refusal refused[VM_MAX];
    uint32_t image_count;
    struct bundle_image image[BUNDLE_MAX_IMAGES];
};

/*
 * Guest layout. Devices and the pool live in a window of 1 GiB that RAM never touches: [0, 1 GiB)
 * when RAM starts at 2 GiB or above, and then RAM must end at 256 GiB; else [3 GiB, 4 GiB), and
 * then RAM must end at 3 GiB. Offsets into the window:
 */
/* The UART is not at 0: Linux takes a UART at physical address 0 for none. */
#define GUEST_UART 0x00010000u     /* 4 KiB, NS16550A, wired interrupt 1 */
#define GUEST_APLIC 0x00100000u    /* 32 KiB, S-level domain, MSI mode */
#define GUEST_IMSIC 0x01000000u    /* 4 KiB a vCPU, S-level files */
#define GUEST_POOL 0x02000000u     /* the contiguous pool, no part of the guest's RAM */
#define GUEST_POOL_MAX 0x0E000000u /* 224 MiB */
#define GUEST_ECAM 0x10000000u     /* bus 0 */
#define GUEST_ECAM_LEN 0x100000u   /* 1 MiB */
#define GUEST_MMIO32 0x20000000u   /* 512 MiB of 32-bit BARs */
#define GUEST_MMIO32_LEN 0x20000000u
#define GUEST_MMIO64 UINT64_C(0x4000000000) /* absolute: 64-bit BARs, 64 GiB at 256 GiB */
#define GUEST_MMIO64_LEN UINT64_C(0x1000000000)
#define GUEST_APLIC_SOURCES 31u
#define GUEST_IRQ_UART 1u
#define GUEST_RAM_ALIGN UINT64_C(0x200000)
#define GUEST_POOL_ALIGN UINT64_C(0x200000)
#define GUEST_RAM_HIGH UINT64_C(0x80000000) /* RAM from here on has the window below it */

/* First byte of the device window for a guest whose RAM starts at RAM_BASE. */
static inline uint64_t guest_window(cordon_gpa ram_base)
{
    return ram_base.v >= GUEST_RAM_HIGH ? 0 : UINT64_C(0xC0000000);
}

/* First byte of the pool. */
static inline cordon_gpa guest_pool(cordon_gpa ram_base)
{
    return cordon_gpa_make(guest_window(ram_base) + GUEST_POOL);
}

/* First byte behind the RAM that a guest may have. */
static inline uint64_t guest_ram_end(cordon_gpa ram_base)
{
    return ram_base.v >= GUEST_RAM_HIGH ? GUEST_MMIO64 : guest_window(ram_base);
}

#endif
