/* Touches all the memory that it has, a page after the other, and says how far it has come. */
#include "bare.h"

#define FIRST 0x200000u /* behind the image */
#define PAGE 0x1000u
#define STEP (UINT64_C(16) << 20)

static uint64_t ram_end(uint64_t tree)
{
    return tree; /* it lies at the top */
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t base = (uint64_t)(uintptr_t)image;
    uint64_t end = ram_end(opaque);

    (void)hart;
    say_number("MiB", (long)((end - base) >> 20));
    for (uint64_t at = base + FIRST; at < end; at += PAGE) {
        *(volatile uint64_t *)at = at;
        *(volatile uint64_t *)(at + (at >> 9 & 0xff8)) = at; /* at each offset now and then */
        if ((at - base) % STEP == 0) {
            say_number("touched MiB", (long)((at - base) >> 20));
        }
    }
    say("touched all of it");
    finish();
}
