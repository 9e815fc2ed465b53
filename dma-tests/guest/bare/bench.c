/*
 * What an exit costs: 10,000 in a loop, timed by rdtime. Under -icount shift=0 an instruction takes
 * a nanosecond, so that ticks tell instructions. Prints hundredths of ticks an exit.
 */
#include "bare.h"

#define COUNT 10000u
#define APLIC 0x00100000u /* offset into the device window */

static void show(const char *name, long ticks)
{
    say_number(name, ticks * 100 / COUNT);
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t window = (uint64_t)(uintptr_t)image >= 0x80000000u ? 0 : 0xC0000000u;

    (void)hart;
    (void)opaque;
    (void)bench_load((volatile void *)(window + APLIC), 10); /* warm */
    show("bench empty", bench_empty(COUNT));
    show("bench sbi-base-version", bench_ecall(0x10, 0, 0, COUNT));
    show("bench sbi-base-probe", bench_ecall(0x10, 3, 0x48534D, COUNT));
    show("bench sbi-set-timer", bench_ecall(0x54494D45, 0, UINT64_MAX, COUNT));
    show("bench sbi-hsm-status", bench_ecall(0x48534D, 2, 0, COUNT));
    show("bench mmio-read", bench_load((volatile void *)(window + APLIC), COUNT));
    finish();
}
