/* Its second hart stops itself as soon as it runs, and is started again, until something is typed.
 */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define EID_HSM 0x48534Du
#define HSM_START 0
#define HSM_STOP 1

static volatile uint64_t starts;

void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    starts++;
    ecall(EID_HSM, HSM_STOP, 0, 0, 0, 0, 0);
}

void main(uint64_t hart, uint64_t opaque)
{
    static char byte;
    struct ret typed = {0, 0};

    (void)hart;
    (void)opaque;
    say("ready");
    while (typed.value != 1) {
        ecall(EID_HSM, HSM_START, 1, (uint64_t)(uintptr_t)image, 0, 0, 0);
        typed = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0);
    }
    check(starts > 100, "the second hart was started again and again");
    finish();
}
