/* Moves a device's BAR onto its own RAM for a second, as fast as it can, and says how often. */
#include "bare.h"
#include "pci.h"

#define RAM_INSIDE UINT64_C(0x80800000)
#define EDU_BYTES UINT64_C(0x100000)
#define SECOND UINT64_C(10000000) /* of QEMU's 10 MHz */

static uint64_t now(void)
{
    uint64_t time;

    __asm__ volatile("rdtime %0" : "=r"(time));
    return time;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t start = now();
    long moved = 0;

    (void)hart;
    (void)opaque;
    while (now() - start < SECOND) {
        pci_place(1, RAM_INSIDE + (uint64_t)(moved & 1) * EDU_BYTES);
        moved++;
    }
    say_number("moved", moved);
    finish();
}
