/* The other harts: started by the firmware, set up by themselves. */
#include "boot/harts.h"

#include "boot/boot.h"
#include "boot/layout.h"
#include "boot/tables.h"
#include "core/cbo.h"
#include "core/console.h"
#include "core/hart_init.h"
#include "core/memory.h"
#include "core/panic.h"
#include "core/sbi_call.h"
#include "core/tick.h"
#include "core/work.h"

#define START_TIMEOUT_US 2000000u

_Static_assert(offsetof(struct hart_start, satp) == HART_START_SATP, "layout.h");
_Static_assert(offsetof(struct hart_start, entry) == HART_START_ENTRY, "layout.h");
_Static_assert(offsetof(struct hart_start, sp) == HART_START_SP, "layout.h");
_Static_assert(offsetof(struct hart_start, tp) == HART_START_TP, "layout.h");

static struct hart_start starts[HART_MAX];

static _Noreturn void park(void)
{
    for (;;) {
        hart_wait_for_interrupt();
    }
}

static _Noreturn void secondary(void)
{
    struct hart *hart = hart_this();
    bool fit = hart_init_here(hart);

    atomic_store(&hart->online, fit ? HART_READY : HART_UNFIT);
    if (!fit) {
        csr_write(CSR_SIE, 0);
        park();
    }
    hart_loop();
}

static bool start(struct hart *hart)
{
    struct hart_start *s = &starts[hart->index];
    long error;

    s->satp = tables_satp();
    s->entry = (uint64_t)(uintptr_t)secondary;
    s->sp = hart->stack_top;
    s->tp = (uint64_t)(uintptr_t)hart;
    __asm__ volatile("fence rw, rw" ::: "memory");
    error = sbi_hart_start(hart->id, memory_hpa((const void *)(uintptr_t)boot_secondary).v,
                           memory_hpa(s).v);
    if (error != 0) {
        log_line("hart %lu: the firmware does not start it (SBI error %ld): left out", hart->id,
                 error);
    }
    return error == 0;
}

void harts_start_others(void)
{
    uint64_t deadline = hart_time() + time_from_us(START_TIMEOUT_US);
    uint32_t ready = 0;

    for (uint32_t i = 0; i < hart_count; i++) {
        if (&harts[i] != hart_this()) {
            (void)start(&harts[i]);
        }
    }
    for (uint32_t i = 0; i < hart_count; i++) {
        while (atomic_load(&harts[i].online) == HART_OFFLINE && hart_time() < deadline) {
        }
        if (atomic_load(&harts[i].online) == HART_OFFLINE) {
            log_line("hart %lu: has not come within %u ms: left out", harts[i].id,
                     START_TIMEOUT_US / 1000);
        }
        ready += atomic_load(&harts[i].online) == HART_READY;
    }
    log_line("harts: %u of %u can run guests", ready, hart_count);
    cbo_choose();
}
