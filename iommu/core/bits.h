/* Bit fields of hardware words, and address arithmetic on raw integers. */
#ifndef CORDON_CORE_BITS_H
#define CORDON_CORE_BITS_H

#include <cordon/port.h>

#define BIT64(n) (UINT64_C(1) << (n))
/* Mask of bits HIGH..LOW, both included. */
#define GENMASK64(high, low) ((~UINT64_C(0) >> (63 - (high))) & (~UINT64_C(0) << (low)))

static inline uint64_t field_get(uint64_t mask, uint64_t word)
{
    return (word & mask) >> __builtin_ctzll(mask);
}

/* VALUE moved to MASK's place; a value that does not fit is our own mistake. */
static inline uint64_t field_put(uint64_t mask, uint64_t value)
{
    uint64_t word = value << __builtin_ctzll(mask);

    cordon_assert(field_get(mask, word) == value && (word & ~mask) == 0);
    return word;
}

static inline bool is_aligned(uint64_t v, uint64_t align)
{
    return (v & (align - 1)) == 0;
}

static inline bool is_power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

/* START + LEN wraps past 2^64 (ending exactly at 2^64 does too). */
static inline bool range_wraps(uint64_t start, uint64_t len)
{
    return start + len < start;
}

#endif
