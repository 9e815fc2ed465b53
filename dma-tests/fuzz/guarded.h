/* Input placed so that its last bytes end where a page that cannot be read begins: a read behind
 * the end is seen even in a library that is not instrumented. */
#ifndef DMA_TESTS_FUZZ_GUARDED_H
#define DMA_TESTS_FUZZ_GUARDED_H

#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

#define GUARDED_BYTES (UINT64_C(1) << 20)
#define GUARD_PAGE 4096

/* A copy of DATA at a multiple of 8, at most 7 bytes before the guard. */
static inline uint8_t *guarded_copy(const uint8_t *data, size_t size)
{
    static uint8_t *area;
    uint8_t *copy;

    if (area == NULL) {
        area = mmap(NULL, GUARDED_BYTES + GUARD_PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        must(area != MAP_FAILED);
        must(mprotect(area + GUARDED_BYTES, GUARD_PAGE, PROT_NONE) == 0);
    }
    if (size > GUARDED_BYTES) {
        return NULL;
    }
    copy = area + (GUARDED_BYTES - size) / 8 * 8;
    memcpy(copy, data, size);
    return copy;
}

#endif
