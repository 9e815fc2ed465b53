/* Works for a while, so that others have time to fall around it; then says that all is well. */
#include "bare.h"

#define SECONDS 3u
#define TICKS_A_SECOND 10000000u

static uint64_t now(void)
{
    uint64_t time;

    __asm__ volatile("rdtime %0" : "=r"(time));
    return time;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t start = now();
    uint64_t calls = 0;
    int ok = 1;

    (void)hart;
    (void)opaque;
    while (now() - start < SECONDS * TICKS_A_SECOND) {
        ok &= ecall(0x10, 0, 0, 0, 0, 0, 0).error == 0;
        calls++;
    }
    check(ok && calls > 1000, "every call was answered");
    finish();
}
