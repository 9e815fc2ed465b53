/* What is looked at, and done in the background, now and then, on one hart only. */
#include "core/tick.h"

#include <stdatomic.h>

#include "core/csr.h"
#include "core/hart.h"
#include "core/machine.h"
#include "manage/manage.h"
#include "vm/devices.h"
#include "vm/vm.h"

#define BUSY_TICKS 20u
#define BUSY_TICK_US 1000u

static _Atomic(const struct hart *) ticker;
/* The ticker's alone. */
static uint64_t next;
static uint32_t busy; /* ticks that still come fast */

uint64_t time_from_us(uint64_t us)
{
    return us / 1000000 * machine.timebase + us % 1000000 * machine.timebase / 1000000;
}

uint64_t time_us(void)
{
    uint64_t now = hart_time();

    return now / machine.timebase * 1000000 + now % machine.timebase * 1000000 / machine.timebase;
}

void tick_assign(const struct hart *hart)
{
    atomic_store(&ticker, hart);
}

void tick(void)
{
    uint64_t now;

    if (atomic_load(&ticker) != hart_this()) {
        csr_write(CSR_STIMECMP, UINT64_MAX);
        return;
    }
    now = hart_time();
    if (now < next) {
        return;
    }
    next = now + time_from_us(TICK_US);
    csr_write(CSR_STIMECMP, next);
    vm_console_poll();
    for (uint32_t i = 0; i < vm_count; i++) {
        if (atomic_load(&vms[i].state) == VM_RUNNING) {
            vm_console_flush(&vms[i], now - time_from_us(TICK_US));
        }
    }
    devices_poll();
    vm_coalesce_tick();
    /* Who asks one thing asks another one soon. */
    busy = manage_poll() ? BUSY_TICKS : busy - (busy > 0);
    if (busy > 0) {
        next = now + time_from_us(BUSY_TICK_US);
        csr_write(CSR_STIMECMP, next);
    }
}
