/* The header of a RISC-V Linux Image [Linux, riscv boot-image-header]. */
#ifndef HYP_CONFIG_KERNEL_IMAGE_H
#define HYP_CONFIG_KERNEL_IMAGE_H

#include <cordon/types.h>

#define KERNEL_HEADER_BYTES 64u

struct kernel_image {
    uint64_t text_offset; /* bytes from the start of RAM (2 MiB aligned) to the first byte */
    uint64_t image_size;  /* bytes from there that must be RAM: code, data and bss */
};

/* Read the header at BYTES, of LEN bytes. Errors: EINVAL (no little-endian RISC-V Image), ERANGE
 * (image_size is less than LEN, or the sum of the two wraps). */
CORDON_MUST_CHECK int kernel_image_read(const void *bytes, uint64_t len, struct kernel_image *out);

#endif
