/*
 * Physical memory as the hypervisor reaches it, and the little that it allocates before the
 * isolation layer stands: tables, stacks, a copy of the device tree. All of that is one run, the
 * arena, which is reserved from everybody else for ever.
 */
#ifndef HYP_CORE_MEMORY_H
#define HYP_CORE_MEMORY_H

#include <cordon/types.h>

/* The direct map: RAM at HPA + memory_offset(). Nothing else stands there, and not our own
 * image. */
uint64_t memory_offset(void);
void memory_set_offset(uint64_t offset);

static inline void *memory_ptr(cordon_hpa hpa)
{
    return (void *)(uintptr_t)(hpa.v + memory_offset());
}

/* Where the image lies; called once, first. */
void memory_set_image(cordon_hpa load);
struct cordon_extent memory_image(void);

/* HPA of something in the image or in the direct map (no stack, no MMIO). */
cordon_hpa memory_hpa(const void *ptr);

/* Make [hpa, hpa+len) the arena. */
void arena_open(struct cordon_extent run);
/* PAGES zeroed pages in a row. Errors: ENOMEM. Any hart. */
CORDON_MUST_CHECK int arena_alloc(uint64_t pages, cordon_hpa *out);
uint64_t arena_used(void);
struct cordon_extent arena_extent(void);

/* Map LEN bytes of device registers, RW, never executable, and keep them mapped; the same page is
 * mapped once. Errors: ERANGE (RAM, or no room left), ENOMEM, ELIMIT. Any hart. */
CORDON_MUST_CHECK int mmio_map(cordon_hpa hpa, uint64_t len, volatile void **out);

/* How many windows of registers can still be mapped, of at most MMIO_WINDOWS. Any hart. */
#define MMIO_WINDOWS 256u
uint32_t mmio_room(void);

/* What is wrong with a window at HPA for which mmio_map has answered ERR, in words. */
const char *mmio_why(cordon_hpa hpa, int err);

#endif
