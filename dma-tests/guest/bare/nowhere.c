/* Jumps to where nothing is, with a trap vector that is not there either: no way on. */
#include "bare.h"

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    say("about to jump");
    __asm__ volatile("csrw stvec, %0\njr %0" ::"r"(UINT64_C(0x60000000)));
}
