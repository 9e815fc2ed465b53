/* Moves a device's BAR onto its own RAM, and away again. */
#include "bare.h"
#include "pci.h"

#define RAM UINT64_C(0x80000000)
#define WHERE UINT64_C(0x800000) /* into RAM, behind this program; RAM has 16 MiB */

void main(uint64_t hart, uint64_t opaque)
{
    volatile uint64_t *word = (volatile uint64_t *)(RAM + WHERE);

    (void)hart;
    (void)opaque;
    pci_place(1, BARS);
    check(*edu_reg(BARS, 0) == EDU_ID, "the device answers at first");
    *word = UINT64_C(0x1122334455667788);
    pci_place(1, RAM + WHERE);
    check(*word == UINT64_C(0x1122334455667788), "RAM is RAM, a BAR on it or not");
    pci_place(1, BARS + 0x100000);
    check(*edu_reg(BARS + 0x100000, 0) == EDU_ID, "the device answers where it was moved to");
    check(*word == UINT64_C(0x1122334455667788), "nothing went astray");
    finish();
}
