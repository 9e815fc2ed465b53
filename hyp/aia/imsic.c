/* The incoming MSI controller: our own interrupt files and those of guests [AIA 3]. */
#include "aia/imsic.h"

#include <cordon/error.h>
#include <cordon/lock.h>
#include <cordon/port.h>

#include "core/console.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/trap.h"

/* Indirect registers [AIA 3.8]. */
#define IMSIC_EIDELIVERY 0x70u
#define IMSIC_EITHRESHOLD 0x72u
#define IMSIC_EIP0 0x80u
#define IMSIC_EIE0 0xC0u

#define KICK_IDENTITY 1u
#define CLAIM_MAX 64u

static struct {
    struct cordon_lock lock;
    uint64_t taken[HART_MAX]; /* bit n: guest file n of a hart */
} files;

int imsic_init_here(struct hart *hart)
{
    volatile void *page;
    uint64_t ignored;
    int err;

    if (hart->imsic == 0 || !csr_try_read(CSR_STOPEI, &ignored)) {
        return -CORDON_ENOTSUP;
    }
    /* Guests' files too: one window for all of them. */
    err =
        mmio_map(cordon_hpa_make(hart->imsic), CORDON_PAGE_SIZE << machine.imsic.guest_bits, &page);
    if (err != 0) {
        log_line("hart %lu: interrupt files at 0x%lx: %s (limit %u)", hart->id, hart->imsic,
                 mmio_why(cordon_hpa_make(hart->imsic), err), MMIO_WINDOWS);
        return -CORDON_ENOTSUP;
    }
    hart->imsic_page = page;
    csr_write(CSR_SISELECT, IMSIC_EITHRESHOLD);
    csr_write(CSR_SIREG, 0);
    for (uint32_t i = 0; i <= machine.imsic.ids / 64; i++) {
        csr_write(CSR_SISELECT, IMSIC_EIE0 + 2 * i);
        csr_write(CSR_SIREG, i == 0 ? UINT64_C(1) << KICK_IDENTITY : 0);
        csr_write(CSR_SISELECT, IMSIC_EIP0 + 2 * i);
        csr_write(CSR_SIREG, 0);
    }
    csr_write(CSR_SISELECT, IMSIC_EIDELIVERY);
    csr_write(CSR_SIREG, 1);
    return 0;
}

void imsic_kick(const struct hart *hart)
{
    __asm__ volatile("fence rw, ow" ::: "memory");
    *hart->imsic_page = KICK_IDENTITY;
}

void imsic_claim(void)
{
    for (uint32_t i = 0; i < CLAIM_MAX && csr_swap(CSR_STOPEI, 0) != 0; i++) {
    }
}

int imsic_file_alloc(struct hart *hart, uint32_t *number)
{
    uint64_t *taken = &files.taken[hart->index];
    uint32_t n = 1;

    cordon_lock_take(&files.lock);
    while (n <= hart->guest_files && (*taken >> n & 1)) {
        n++;
    }
    if (n > hart->guest_files) {
        cordon_lock_give(&files.lock);
        return -CORDON_ELIMIT;
    }
    *taken |= UINT64_C(1) << n;
    cordon_lock_give(&files.lock);
    *number = n;
    return 0;
}

void imsic_file_free(struct hart *hart, uint32_t number)
{
    cordon_lock_take(&files.lock);
    cordon_assert(files.taken[hart->index] >> number & 1);
    files.taken[hart->index] &= ~(UINT64_C(1) << number);
    cordon_lock_give(&files.lock);
}

cordon_hpa imsic_file_hpa(const struct hart *hart, uint32_t number)
{
    return cordon_hpa_make(hart->imsic + number * CORDON_PAGE_SIZE);
}

static void write_guest_register(uint64_t number, uint64_t value)
{
    csr_write(CSR_VSISELECT, number);
    csr_write(CSR_VSIREG, value);
}

void imsic_file_clear_here(uint32_t number)
{
    uint64_t hstatus = csr_read(CSR_HSTATUS);
    uint64_t select = csr_read(CSR_VSISELECT);

    csr_write(CSR_HSTATUS, (uint64_t)number << HSTATUS_VGEIN_SHIFT);
    write_guest_register(IMSIC_EIDELIVERY, 0);
    write_guest_register(IMSIC_EITHRESHOLD, 0);
    for (uint32_t i = 0; i <= machine.imsic.ids / 64; i++) {
        write_guest_register(IMSIC_EIE0 + 2 * i, 0);
        write_guest_register(IMSIC_EIP0 + 2 * i, 0);
    }
    csr_write(CSR_VSISELECT, select);
    csr_write(CSR_HSTATUS, hstatus);
}
