/* Touches pages and drops them again [docs/own-function.md], without pause, until something is
 * typed. */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define PAGE UINT64_C(4096)
#define PAGES 1024u
#define ECAM UINT64_C(0x10000000)
#define OWN UINT64_C(0x20000000) /* where our own function's registers are put */
#define DISCARD 6u

static uint32_t drop(uint64_t at, uint64_t len)
{
    *(volatile uint64_t *)(OWN + 0x10) = at;
    *(volatile uint64_t *)(OWN + 0x18) = len;
    *(volatile uint32_t *)(OWN + 0x40) = DISCARD;
    return *(volatile uint32_t *)(OWN + 0x48);
}

void main(uint64_t hart, uint64_t opaque)
{
    volatile uint32_t *config = (volatile uint32_t *)ECAM;
    uint64_t first = (uint64_t)(uintptr_t)image + 0x800000, wrong = 0;
    static char byte;
    struct ret typed = {0, 0};

    (void)hart;
    (void)opaque;
    config[4] = (uint32_t)OWN;
    config[1] = 2; /* memory decoding */
    say("churning");
    while (typed.value != 1) {
        for (uint64_t at = first; at < first + PAGES * PAGE; at += PAGE) {
            wrong += *(volatile uint64_t *)at != 0;
            *(volatile uint64_t *)at = at;
        }
        wrong += drop(first, PAGES * PAGE) != 0;
        typed = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0);
    }
    check(wrong == 0, "each page comes as zeroes and is dropped");
    finish();
}
