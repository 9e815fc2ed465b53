/* Harts of one guest: started, asked, interrupted, fenced, suspended, stopped. */
#include "bare.h"

#define EID_IPI 0x735049u
#define EID_RFENCE 0x52464E43u
#define EID_HSM 0x48534Du
#define STARTED 0
#define STOPPED 1
#define INTERRUPT_SOFTWARE (UINT64_C(1) << 63 | 1)
#define LIMIT 100000000u
#define HARTS_MAX 8u

enum order { IDLE, WAIT_FOR_IPI, SUSPEND, STOP };

static volatile uint64_t seen_opaque[HARTS_MAX];
static volatile uint32_t arrived[HARTS_MAX], orders[HARTS_MAX], done[HARTS_MAX];
static volatile uint32_t mask_works[HARTS_MAX];

static int soon(volatile uint32_t *word, uint32_t value)
{
    for (uint32_t i = 0; i < LIMIT; i++) {
        if (*word == value) {
            return 1;
        }
    }
    return 0;
}

static long status(uint64_t hart)
{
    return ecall(EID_HSM, 2, hart, 0, 0, 0, 0).value;
}

static int soon_status(uint64_t hart, long want)
{
    for (uint32_t i = 0; i < LIMIT / 100; i++) {
        if (status(hart) == want) {
            return 1;
        }
    }
    return 0;
}

/* Sleep until the software interrupt is pending, then clear it. */
static void take_ipi(void)
{
    uint64_t pending = 0;

    __asm__ volatile("csrsi sie, 2" ::: "memory");
    while (!(pending & 2)) {
        __asm__ volatile("wfi\ncsrr %0, sip" : "=r"(pending)::"memory");
    }
    __asm__ volatile("csrci sip, 2" ::: "memory");
}

void other_hart(uint64_t hart, uint64_t opaque)
{
    seen_opaque[hart] = opaque;
    arrived[hart]++;
    for (;;) {
        switch (orders[hart]) {
        case WAIT_FOR_IPI:
            take_ipi();
            orders[hart] = IDLE;
            done[hart]++;
            break;
        case SUSPEND:
            __asm__ volatile("csrsi sie, 2" ::: "memory");
            mask_works[hart] = ecall(EID_HSM, 3, 0, 0, 0, 0, 0).error == 0;
            __asm__ volatile("csrci sip, 2" ::: "memory");
            orders[hart] = IDLE;
            done[hart]++;
            break;
        case STOP:
            orders[hart] = IDLE;
            ecall(EID_HSM, 1, 0, 0, 0, 0, 0);
            break;
        default:
            break;
        }
    }
}

static void one_hart(uint64_t hart)
{
    uint64_t entry = (uint64_t)(uintptr_t)image;

    check(status(hart) == STOPPED, "it is stopped at first");
    check(ecall(EID_HSM, 0, hart, entry, 0x1234 + hart, 0, 0).error == 0, "it can be started");
    check(soon(&arrived[hart], 1), "it comes");
    check(seen_opaque[hart] == 0x1234 + hart, "it has what it was given");
    check(status(hart) == STARTED, "it is started");
    orders[hart] = WAIT_FOR_IPI;
    check(ecall(EID_IPI, 0, 1, hart, 0, 0, 0).error == 0, "an IPI is taken");
    check(soon(&done[hart], 1), "an IPI arrives");
    orders[hart] = SUSPEND;
    check(soon_status(hart, 4) || done[hart] == 2, "it is suspended");
    check(ecall(EID_IPI, 0, UINT64_C(1) << hart, 0, 0, 0, 0).error == 0, "an IPI by mask is taken");
    check(soon(&done[hart], 2) && mask_works[hart], "it wakes up");
    check(ecall(EID_RFENCE, 0, UINT64_C(1) << hart, 0, 0, 0, 0).error == 0, "fence.i there");
    check(ecall(EID_RFENCE, 1, 1, hart, 0, 0x1000, 0).error == 0, "sfence.vma there");
    check(ecall(EID_RFENCE, 2, 1, hart, 0, 0x1000, 7).error == 0, "sfence.vma of an ASID there");
    orders[hart] = STOP;
    check(soon_status(hart, STOPPED), "it stops");
    check(ecall(EID_HSM, 0, hart, entry, 0x4321, 0, 0).error == 0, "it can be started again");
    check(soon(&arrived[hart], 2) && seen_opaque[hart] == 0x4321, "it comes again");
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t harts = 0;

    (void)hart;
    (void)opaque;
    while (harts < HARTS_MAX && ecall(EID_HSM, 2, harts, 0, 0, 0, 0).error == 0) {
        harts++;
    }
    say_number("harts", (long)harts);
    for (uint64_t h = 1; h < harts; h++) {
        one_hart(h);
    }
    check(ecall(EID_RFENCE, 0, 0, UINT64_MAX, 0, 0, 0).error == 0, "fence.i everywhere");
    finish();
}
