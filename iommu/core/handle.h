/*
 * Marks of what the handles of the public API point at, its first word: what was closed, or is of
 * another kind, does not have it. The memory is the context's own, so that a look is safe as long
 * as RAM is there; a place that was taken again for the same kind cannot be told.
 */
#ifndef CORDON_CORE_HANDLE_H
#define CORDON_CORE_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#define HANDLE_CTX UINT64_C(0x636f72646f6e2121)
#define HANDLE_DOMAIN UINT64_C(0x636f72646f6e2d64)
#define HANDLE_IOMMU UINT64_C(0x636f72646f6e2d69)
#define HANDLE_DEVICE UINT64_C(0x636f72646f6e2d76)
#define HANDLE_SPACE UINT64_C(0x636f72646f6e2d73)

static inline bool handle_is(const void *handle, uint64_t mark)
{
    return *(const uint64_t *)handle == mark;
}

#endif
