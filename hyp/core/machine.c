/* Memory of the machine: banks, what is reserved, and gaps between. */
#include "core/machine.h"

#include <cordon/error.h>
#include <string.h>

#include "config/isa.h"

#define PAGE_MASK (CORDON_PAGE_SIZE - 1)

struct machine machine;

int machine_reserve(cordon_hpa hpa, uint64_t len, bool no_map, const char *what)
{
    uint64_t first = hpa.v & ~PAGE_MASK;
    uint64_t end = (hpa.v + len + PAGE_MASK) & ~PAGE_MASK;

    if (len == 0) {
        return 0;
    }
    if (machine.reserved_count == CORDON_MAX_BANKS) {
        return -CORDON_ELIMIT;
    }
    machine.reserved[machine.reserved_count++] =
        (struct machine_reserved){{cordon_hpa_make(first), end - first}, no_map, what};
    return 0;
}

static bool overlaps(const struct cordon_extent *run, uint64_t start, uint64_t len)
{
    return start < run->hpa.v + run->len && run->hpa.v < start + len;
}

/* The end of a reserved part that touches [start, start+len), or 0. */
static uint64_t reserved_end(uint64_t start, uint64_t len)
{
    for (uint32_t i = 0; i < machine.reserved_count; i++) {
        const struct cordon_extent *run = &machine.reserved[i].run;

        if (overlaps(run, start, len)) {
            return run->hpa.v + run->len;
        }
    }
    return 0;
}

int machine_find_gap(uint64_t from, uint64_t len, uint64_t align, cordon_hpa *out)
{
    for (uint32_t i = 0; i < machine.bank_count; i++) {
        uint64_t at = machine.bank[i].hpa.v;
        uint64_t end = at + machine.bank[i].len;
        uint64_t busy;

        at = ((at > from ? at : from) + align - 1) & ~(align - 1);
        while (at < end && len <= end - at) {
            busy = reserved_end(at, len);
            if (busy == 0) {
                *out = cordon_hpa_make(at);
                return 0;
            }
            at = (busy + align - 1) & ~(align - 1);
        }
    }
    return -CORDON_ENOMEM;
}

bool machine_ram_touches(cordon_hpa hpa, uint64_t len)
{
    for (uint32_t i = 0; i < machine.bank_count; i++) {
        if (overlaps(&machine.bank[i], hpa.v, len)) {
            return true;
        }
    }
    return false;
}

bool machine_ram_holds(cordon_hpa hpa, uint64_t len)
{
    for (uint32_t i = 0; i < machine.bank_count; i++) {
        const struct cordon_extent *bank = &machine.bank[i];

        if (hpa.v >= bank->hpa.v && hpa.v - bank->hpa.v < bank->len &&
            len <= bank->len - (hpa.v - bank->hpa.v)) {
            return true;
        }
    }
    return false;
}

bool machine_isa_has(const char *name)
{
    return (machine.cpu.isa & isa_bit(name, strlen(name))) != 0;
}

int machine_imsic_file(uint32_t i, cordon_hpa *out)
{
    uint64_t stride = CORDON_PAGE_SIZE << machine.imsic.guest_bits;
    uint64_t at = i * stride;

    for (uint32_t r = 0; r < machine.imsic.reg_count; r++) {
        uint64_t len = machine.imsic.reg[r].len;

        if (at < len) {
            *out = cordon_hpa_add(machine.imsic.reg[r].hpa, at);
            return 0;
        }
        at -= (len + stride - 1) & ~(stride - 1);
    }
    return -CORDON_ENOENT;
}
