/* Physical memory as the hypervisor reaches it: direct map, arena, device registers on demand. */
#include "core/memory.h"

#include <cordon/error.h>
#include <cordon/lock.h>
#include <cordon/port.h>
#include <string.h>

#include "boot/layout.h"
#include "boot/tables.h"
#include "core/machine.h"

#define LARGE_PAGE UINT64_C(0x200000)

struct mmio_window {
    cordon_hpa hpa;
    uint64_t len;
    uint64_t va;
};

static struct {
    uint64_t offset;
    uint64_t image_offset; /* linked minus real */
    struct cordon_extent arena;
    uint64_t used;
    struct cordon_lock arena_lock;
    struct cordon_lock mmio_lock;
    uint32_t window_count;
    struct mmio_window window[MMIO_WINDOWS];
    uint64_t mmio_next;
} memory;

extern char _image_start[], _image_end[];

uint64_t memory_offset(void)
{
    return memory.offset;
}

void memory_set_offset(uint64_t offset)
{
    memory.offset = offset;
}

void memory_set_image(cordon_hpa load)
{
    memory.image_offset = (uint64_t)(uintptr_t)_image_start - load.v;
    memory.mmio_next = VA_MMIO;
}

struct cordon_extent memory_image(void)
{
    return (struct cordon_extent){
        cordon_hpa_make((uint64_t)(uintptr_t)_image_start - memory.image_offset),
        (uint64_t)(_image_end - _image_start),
    };
}

cordon_hpa memory_hpa(const void *ptr)
{
    uint64_t va = (uint64_t)(uintptr_t)ptr;

    if (va >= (uint64_t)(uintptr_t)_image_start && va < (uint64_t)(uintptr_t)_image_end) {
        return cordon_hpa_make(va - memory.image_offset);
    }
    cordon_assert(va < VA_IMAGE);
    return cordon_hpa_make(va - memory.offset);
}

void arena_open(struct cordon_extent run)
{
    memory.arena = run;
    memory.used = 0;
}

int arena_alloc(uint64_t pages, cordon_hpa *out)
{
    uint64_t len = pages << CORDON_PAGE_SHIFT;
    cordon_hpa hpa;

    cordon_lock_take(&memory.arena_lock);
    if (len > memory.arena.len - memory.used) {
        cordon_lock_give(&memory.arena_lock);
        return -CORDON_ENOMEM;
    }
    hpa = cordon_hpa_add(memory.arena.hpa, memory.used);
    memory.used += len;
    cordon_lock_give(&memory.arena_lock);
    memset(memory_ptr(hpa), 0, len);
    *out = hpa;
    return 0;
}

uint64_t arena_used(void)
{
    return memory.used;
}

struct cordon_extent arena_extent(void)
{
    return memory.arena;
}

static bool window_holds(const struct mmio_window *w, cordon_hpa hpa, uint64_t len)
{
    return hpa.v >= w->hpa.v && hpa.v - w->hpa.v < w->len && len <= w->len - (hpa.v - w->hpa.v);
}

/* A new window of whole pages round [hpa, hpa+len). The caller holds the lock. */
static int window_open(cordon_hpa hpa, uint64_t len, struct mmio_window **out)
{
    uint64_t first = hpa.v & ~(CORDON_PAGE_SIZE - 1);
    uint64_t end = (hpa.v + len + CORDON_PAGE_SIZE - 1) & ~(CORDON_PAGE_SIZE - 1);
    struct mmio_window *w = &memory.window[memory.window_count];
    uint64_t va = memory.mmio_next;
    int err;

    if (memory.window_count == MMIO_WINDOWS) {
        return -CORDON_ELIMIT;
    }
    if (end - first >= LARGE_PAGE) { /* large leaves want equal offsets */
        va = ((va + LARGE_PAGE - 1) & ~(LARGE_PAGE - 1)) + (first & (LARGE_PAGE - 1));
    }
    if (end <= first || va > VA_MMIO_END || end - first > VA_MMIO_END - va) {
        return -CORDON_ERANGE;
    }
    err = tables_map(va, cordon_hpa_make(first), end - first, CORDON_RW);
    memory.mmio_next = va + (end - first); /* on an error too: some of it may be mapped */
    if (err != 0) {
        return err;
    }
    *w = (struct mmio_window){cordon_hpa_make(first), end - first, va};
    memory.window_count++;
    tables_fence();
    *out = w;
    return 0;
}

int mmio_map(cordon_hpa hpa, uint64_t len, volatile void **out)
{
    struct mmio_window *w = NULL;
    int err = 0;

    if (len == 0 || hpa.v + len < hpa.v || machine_ram_touches(hpa, len)) {
        return -CORDON_ERANGE;
    }
    cordon_lock_take(&memory.mmio_lock);
    for (uint32_t i = 0; i < memory.window_count && w == NULL; i++) {
        if (window_holds(&memory.window[i], hpa, len)) {
            w = &memory.window[i];
        }
    }
    if (w == NULL) {
        err = window_open(hpa, len, &w);
    }
    cordon_lock_give(&memory.mmio_lock);
    if (err == 0) {
        *out = (volatile void *)(uintptr_t)(w->va + (hpa.v - w->hpa.v));
    }
    return err;
}

uint32_t mmio_room(void)
{
    uint32_t room;

    cordon_lock_take(&memory.mmio_lock);
    room = MMIO_WINDOWS - memory.window_count;
    cordon_lock_give(&memory.mmio_lock);
    return room;
}

const char *mmio_why(cordon_hpa hpa, int err)
{
    if (machine_ram_touches(hpa, 1)) {
        return "the address is one of RAM";
    }
    return err == -CORDON_ELIMIT ? "as many windows of registers as the limit are mapped"
                                 : cordon_strerror(err);
}
