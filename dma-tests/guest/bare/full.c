/* Reads each page that it has, so that all of them come, and rests. */
#include "bare.h"

#define PAGE UINT64_C(4096)

void main(uint64_t hart, uint64_t tree)
{
    (void)hart;
    for (uint64_t at = (uint64_t)(uintptr_t)image; at < tree; at += PAGE) {
        (void)*(volatile uint64_t *)at;
    }
    say("full");
    for (;;) {
        __asm__ volatile("wfi");
    }
}
