/* The header of a RISC-V Linux Image: little-endian words at fixed offsets. */
#include "config/kernel_image.h"

#include <string.h>

#include <cordon/error.h>

#define OFFSET_TEXT 8u
#define OFFSET_SIZE 16u
#define OFFSET_FLAGS 24u
#define OFFSET_MAGIC2 56u
#define FLAG_BIG_ENDIAN 1u

static uint64_t load_le64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        value |= (uint64_t)bytes[i] << (8 * i);
    }
    return value;
}

int kernel_image_read(const void *bytes, uint64_t len, struct kernel_image *out)
{
    const uint8_t *header = bytes;
    struct kernel_image image;

    if (len < KERNEL_HEADER_BYTES || memcmp(header + OFFSET_MAGIC2, "RSC\x05", 4) != 0 ||
        (header[OFFSET_FLAGS] & FLAG_BIG_ENDIAN) != 0) {
        return -CORDON_EINVAL;
    }
    image.text_offset = load_le64(header + OFFSET_TEXT);
    image.image_size = load_le64(header + OFFSET_SIZE);
    if (image.image_size < len || image.text_offset + image.image_size < image.text_offset) {
        return -CORDON_ERANGE;
    }
    *out = image;
    return 0;
}
