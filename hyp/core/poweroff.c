/* The end of the machine: the firmware's system reset [SBI 10], and the finisher of an emulator. */
#include "core/poweroff.h"

#include "core/csr.h"
#include "core/machine.h"
#include "core/memory.h"
#include "core/sbi_call.h"

#define FINISHER_FAIL 0x3333u
#define FINISHER_STATUS 16
#define FINISHER_SECONDS 2u

static volatile uint32_t *finisher;

void poweroff_init(void)
{
    volatile void *page;

    if (machine.finisher.v != 0 && mmio_map(machine.finisher, 4, &page) == 0) {
        finisher = page;
    }
}

_Noreturn void poweroff(bool failed)
{
    if (failed && finisher != NULL) {
        uint64_t start = hart_time();

        *finisher = FINISHER_FAIL | 1u << FINISHER_STATUS;
        /* The emulator ends a moment later; the firmware's reset would overrule the status. */
        while (hart_time() - start < FINISHER_SECONDS * machine.timebase) {
        }
    }
    (void)sbi_call(SBI_SRST, SBI_SRST_RESET, SBI_SRST_SHUTDOWN,
                   failed ? SBI_SRST_REASON_FAIL : SBI_SRST_REASON_NONE, 0, 0, 0);
    for (;;) {
        hart_wait_for_interrupt();
    }
}
