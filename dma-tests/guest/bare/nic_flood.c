/*
 * An Intel 82574 that is told to send from pages that its guest does not have: each descriptor is a
 * fault, and a ring full of them is more than the fault queue holds.
 *
 * Between two rings full the guest waits a moment: on an emulator that has one lock for all devices
 * nobody could look at the IOMMU otherwise, and one queue full would be all that is ever recorded.
 * It ends in the middle of a second in which there were faults.
 */
#include "bare.h"

#define CONFIG UINT64_C(0x10008000) /* slot 1 of the guest's PCI bus */
#define NIC UINT64_C(0x20100000)    /* where BAR 0 is put */
#define RING 256u
#define ABSENT UINT64_C(0x40000000) /* below the guest's RAM */
#define FLOOD UINT64_C(14000000)    /* 1.4 s at QEMU's 10 MHz */
#define PAUSE UINT64_C(20000)

#define CTRL 0x0u
#define CTRL_LINK_UP 0x40u
#define TCTL 0x400u
#define TCTL_ENABLE 0x2u
#define TDBAL 0x3800u
#define TDBAH 0x3804u
#define TDLEN 0x3808u
#define TDT 0x3818u
#define SEND_WHOLE (UINT32_C(0x0b) << 24) /* end of packet, checksum, report status */

struct descriptor {
    uint64_t address;
    uint32_t len_command;
    uint32_t status;
};

static volatile struct descriptor ring[RING] __attribute__((aligned(4096)));

static volatile uint32_t *reg(uint64_t base, uint64_t offset)
{
    return (volatile uint32_t *)(base + offset);
}

static uint64_t now(void)
{
    uint64_t time;

    __asm__ volatile("rdtime %0" : "=r"(time));
    return time;
}

static void wait(uint64_t ticks)
{
    uint64_t start = now();

    while (now() - start < ticks) {
    }
}

static void open_nic(void)
{
    *reg(CONFIG, 0x10) = (uint32_t)NIC;
    *reg(CONFIG, 4) = 6; /* memory, bus master */
    *reg(NIC, CTRL) |= CTRL_LINK_UP;
    *reg(NIC, TDBAL) = (uint32_t)(uintptr_t)ring;
    *reg(NIC, TDBAH) = (uint32_t)((uint64_t)(uintptr_t)ring >> 32);
    *reg(NIC, TDLEN) = sizeof(ring);
    *reg(NIC, TCTL) = TCTL_ENABLE;
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t start = now();
    uint64_t page = 0;

    (void)hart;
    (void)opaque;
    open_nic();
    while (now() - start < FLOOD) {
        for (uint32_t i = 0; i < RING - 1; i++, page++) {
            ring[page % RING].address = ABSENT + page % 0x4000 * 0x10000;
            ring[page % RING].len_command = 64 | SEND_WHOLE;
            ring[page % RING].status = 0;
        }
        *reg(NIC, TDT) = (uint32_t)(page % RING);
        wait(PAUSE);
    }
    finish();
}
