/* What the fuzz targets share: a reader of the input, and a check that stops the run. */
#ifndef DMA_TESTS_FUZZ_FUZZ_H
#define DMA_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define must(cond)                                                             \
    do {                                                                       \
        if (!(cond)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #cond); \
            abort();                                                           \
        }                                                                      \
    } while (0)

struct input {
    const uint8_t *bytes;
    size_t left;
};

/* The next byte; 0 when there is none left. */
static inline uint8_t input_byte(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->bytes++;
}

static inline uint32_t input_u32(struct input *in)
{
    uint32_t value = 0;

    for (int i = 0; i < 4; i++) {
        value = value << 8 | input_byte(in);
    }
    return value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
