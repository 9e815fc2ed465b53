/* Floods the fault queue by one device, then lets another one err once. */
#include "bare.h"
#include "pci.h"

#define NOWHERE UINT64_C(0x5500000000)
#define ELSEWHERE UINT64_C(0x6600000000)
#define TRANSFERS 12u

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    pci_place(1, BARS);
    pci_place(2, BARS + 0x100000);
    for (uint64_t i = 0; i < TRANSFERS; i++) {
        edu_fetch(BARS, NOWHERE + i * 0x1000, 4096);
    }
    edu_fetch(BARS + 0x100000, ELSEWHERE, 4);
    check(last_trap.count == 0, "the guest is none the worse for it");
    finish();
}
