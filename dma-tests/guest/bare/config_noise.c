/* Writes every configuration register of every slot at random, then looks whether it lives. */
#include "bare.h"
#include "pci.h"

#define WRITES 20000u
#define SLOTS 32u

static uint64_t state = 88172645463325252u;

static uint64_t dice(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void write_one(void)
{
    uint64_t at = ECAM + dice() % SLOTS * SLOT_BYTES + dice() % 8 * 0x1000 + (dice() & 0xfff);
    uint64_t value = dice();

    /* Half of it where registers are, not in the empty rest of 4 KiB; slots that are there. */
    if ((value & 1) != 0) {
        at = ECAM + dice() % 4 * SLOT_BYTES + (dice() & 0xff);
    }
    switch (dice() % 3) {
    case 0:
        *(volatile uint8_t *)at = (uint8_t)value;
        break;
    case 1:
        *(volatile uint16_t *)(at & ~UINT64_C(1)) = (uint16_t)value;
        break;
    default:
        *(volatile uint32_t *)(at & ~UINT64_C(3)) = (uint32_t)value;
    }
}

void main(uint64_t hart, uint64_t opaque)
{
    uint32_t own = *pci_reg(0, 0), edu = *pci_reg(1, 0);

    (void)hart;
    (void)opaque;
    for (uint32_t i = 0; i < WRITES; i++) {
        write_one();
    }
    check(last_trap.count == 0, "no write trapped");
    check(*pci_reg(0, 0) == own && *pci_reg(1, 0) == edu, "ids are what they were");
    pci_place(1, BARS);
    check(*edu_reg(BARS, 0) == EDU_ID, "the device answers where its BAR is put");
    finish();
}
