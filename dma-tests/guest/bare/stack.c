/* Runs out of stack, downwards out of its RAM, in a trap handler that needs the stack too. */
#include "bare.h"

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    say("about to exhaust the stack");
    __asm__ volatile("1: addi sp, sp, -2032\n"
                     "   sd zero, 0(sp)\n"
                     "   j 1b\n");
}
