/* What the isolation layer runs on: this hypervisor [cordon/port.h]. */
#include <cordon/cordon.h>

#include "core/cbo.h"
#include "core/console.h"
#include "core/csr.h"
#include "core/hart.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/sbi_call.h"
#include "core/tick.h"

#define UNREACHED_LINES 8u

/* Registers of devices: mapped when they are first touched. Null where no window is left: nobody
 * answers there then, as on a bus, and whoever asked refuses the device. */
static volatile void *reg_at(cordon_hpa reg, uint64_t width)
{
    static atomic_uint said;
    volatile void *at;
    int err = mmio_map(reg, width, &at);

    if (err == 0) {
        return at;
    }
    if (atomic_fetch_add(&said, 1) < UNREACHED_LINES) {
        log_line("device registers at 0x%lx: %s (limit %u)", reg.v, mmio_why(reg, err),
                 MMIO_WINDOWS);
    }
    return NULL;
}

uint32_t cordon_port_read32(void *cookie, cordon_hpa reg)
{
    const volatile uint32_t *at = reg_at(reg, 4);
    uint32_t value = at != NULL ? *at : UINT32_MAX;

    (void)cookie;
    __asm__ volatile("fence i, r" ::: "memory");
    return value;
}

uint64_t cordon_port_read64(void *cookie, cordon_hpa reg)
{
    const volatile uint64_t *at = reg_at(reg, 8);
    uint64_t value = at != NULL ? *at : UINT64_MAX;

    (void)cookie;
    __asm__ volatile("fence i, r" ::: "memory");
    return value;
}

void cordon_port_write32(void *cookie, cordon_hpa reg, uint32_t value)
{
    volatile uint32_t *at = reg_at(reg, 4);

    (void)cookie;
    __asm__ volatile("fence rw, o" ::: "memory");
    if (at != NULL) {
        *at = value;
    }
}

void cordon_port_write64(void *cookie, cordon_hpa reg, uint64_t value)
{
    volatile uint64_t *at = reg_at(reg, 8);

    (void)cookie;
    __asm__ volatile("fence rw, o" ::: "memory");
    if (at != NULL) {
        *at = value;
    }
}

/* Have the firmware fence those of HARTS (bit i: number i): one call for each 64 hart ids, for it
 * waits for all that it is told of. */
static void fence(uint64_t which, uint64_t fid, uint64_t start, uint64_t len, uint64_t vmid)
{
    while (which != 0) {
        uint64_t base = UINT64_MAX;
        uint64_t mask = 0;

        for (uint32_t i = 0; i < hart_count; i++) {
            if ((which >> i & 1) != 0 && harts[i].id < base) {
                base = harts[i].id;
            }
        }
        for (uint32_t i = 0; i < hart_count; i++) {
            if ((which >> i & 1) != 0 && harts[i].id - base < 64) {
                mask |= UINT64_C(1) << (harts[i].id - base);
                which &= ~(UINT64_C(1) << i);
            }
        }
        cordon_assert(mask != 0);
        struct sbi_ret ret = sbi_call(SBI_RFENCE, fid, mask, base, start, len, vmid);

        if (ret.error != 0) {
            panic("the firmware does not fence harts 0x%lx from %lu on: SBI error %ld", mask, base,
                  ret.error);
        }
    }
}

void cordon_port_hart_fence(void *cookie, uint64_t which, uint16_t vmid, cordon_gpa gpa,
                            uint64_t len)
{
    (void)cookie;
    fence(which, SBI_RFENCE_HFENCE_GVMA_VMID, len == 0 ? 0 : gpa.v, len, vmid);
}

void cordon_port_hart_fence_all(void *cookie, uint64_t which)
{
    (void)cookie;
    fence(which, SBI_RFENCE_HFENCE_GVMA, 0, 0, 0);
}

void cordon_port_code_fence(void *cookie, uint64_t which)
{
    (void)cookie;
    fence(which, SBI_RFENCE_I, 0, 0, 0);
}

void cordon_port_flush(void *cookie, cordon_hpa hpa, uint64_t len)
{
    (void)cookie;
    flush_memory(memory_ptr(hpa), len);
}

uint64_t cordon_port_time_us(void *cookie)
{
    (void)cookie;
    return time_us();
}

bool cordon_port_accepts(void *cookie)
{
    (void)cookie;
    return true;
}

void cordon_port_relax(void *cookie)
{
    (void)cookie;
    __asm__ volatile(".insn i 0x0f, 0, x0, x0, 0x010" ::: "memory"); /* pause [Zihintpause] */
}
