/*
 * Address kinds, permissions and limits shared by every room.
 *
 * Each kind of address is a struct of one field, in every build: a guest physical address cannot be
 * passed where a host physical one is meant. No cast between kinds exists; a lookup in a map is the
 * only way across.
 */
#ifndef CORDON_TYPES_H
#define CORDON_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORDON_PAGE_SHIFT 12u
#define CORDON_PAGE_SIZE (UINT64_C(1) << CORDON_PAGE_SHIFT)

#define CORDON_MAX_BANKS 32u     /* RAM banks and reserved ranges, each */
#define CORDON_MAX_DOMAINS 4096u /* domain numbers are 1..4095; 0 means nobody */
#define CORDON_MAX_VIEWS 8u      /* the G-stage and seven device views a domain */
#define CORDON_MAX_IOMMUS 8u

#define CORDON_API __attribute__((visibility("default")))
#define CORDON_MUST_CHECK __attribute__((warn_unused_result))

/* Guest virtual, guest physical, host physical address, and the address a device puts on the
 * bus. */
typedef struct {
    uint64_t v;
} cordon_gva;
typedef struct {
    uint64_t v;
} cordon_gpa;
typedef struct {
    uint64_t v;
} cordon_hpa;
typedef struct {
    uint64_t v;
} cordon_iova;

static inline cordon_gva cordon_gva_make(uint64_t v)
{
    return (cordon_gva){v};
}

static inline cordon_gpa cordon_gpa_make(uint64_t v)
{
    return (cordon_gpa){v};
}

static inline cordon_hpa cordon_hpa_make(uint64_t v)
{
    return (cordon_hpa){v};
}

static inline cordon_iova cordon_iova_make(uint64_t v)
{
    return (cordon_iova){v};
}

static inline cordon_gpa cordon_gpa_add(cordon_gpa a, uint64_t bytes)
{
    return (cordon_gpa){a.v + bytes};
}

static inline cordon_hpa cordon_hpa_add(cordon_hpa a, uint64_t bytes)
{
    return (cordon_hpa){a.v + bytes};
}

/* Rights of a region, and kinds of access. A right that a leaf cannot express alone is refused:
 * write needs read [Priv 5.3.1 table of R, W, X]. */
#define CORDON_READ 1u
#define CORDON_WRITE 2u
#define CORDON_EXEC 4u
#define CORDON_RW (CORDON_READ | CORDON_WRITE)
#define CORDON_RWX (CORDON_READ | CORDON_WRITE | CORDON_EXEC)

/* A run of host physical memory: whole pages, page-aligned. */
struct cordon_extent {
    cordon_hpa hpa;
    uint64_t len; /* bytes, a multiple of CORDON_PAGE_SIZE, not zero */
};

#endif
