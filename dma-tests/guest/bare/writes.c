/*
 * Writes pages that its test knows of, each time that it is told to: "a" every seventh of a window
 * behind the program, "b" a run of them; "g" gives a page back, takes it again and writes to it;
 * "v" says whether all of it still holds what was written. The window's first page is written to by
 * the hypervisor alone: what is typed lands there.
 */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define PAGES 2048u
#define RUN_FIRST 1500u
#define RUN_LAST 1600u
#define GIVEN 1000u
#define ECAM UINT64_C(0x10000000)
#define OWN UINT64_C(0x20000000) /* where our own function's registers are put */
#define GIVE 1u
#define TAKE 2u

static volatile uint64_t *page_at(uint64_t page)
{
    return (volatile uint64_t *)((uintptr_t)image + 4 * MIB + page * PAGE);
}

static uint64_t expected[PAGES]; /* what each page holds in its word 5 */

static void write(uint64_t page)
{
    expected[page] += page + 1;
    page_at(page)[5] = expected[page];
}

static void verify(void)
{
    uint64_t wrong = 0;

    for (uint64_t i = 1; i < PAGES; i++) {
        wrong += page_at(i)[5] != expected[i];
    }
    check(wrong == 0, "each page holds what was written");
}

/* Have our own PCI function give a page back, or take it [docs/own-function.md]. */
static uint32_t ask(uint32_t command, uint64_t page)
{
    *(volatile uint64_t *)(OWN + 0x10) = (uint64_t)(uintptr_t)page_at(page);
    *(volatile uint64_t *)(OWN + 0x18) = PAGE;
    *(volatile uint32_t *)(OWN + 0x40) = command;
    return *(volatile uint32_t *)(OWN + 0x48);
}

static void give_and_take(void)
{
    volatile uint32_t *config = (volatile uint32_t *)ECAM;

    config[4] = (uint32_t)OWN;
    config[1] = 2; /* memory decoding */
    check(ask(GIVE, GIVEN) == 0 && ask(TAKE, GIVEN) == 0, "a page is given, and taken again");
    expected[GIVEN] = 0;
    write(GIVEN);
    say("wrote g");
}

static void obey(char order)
{
    if (order == 'a') {
        for (uint64_t i = 1; i < PAGES; i += 7) {
            write(i);
        }
        say("wrote a");
    } else if (order == 'b') {
        for (uint64_t i = RUN_FIRST; i <= RUN_LAST; i++) {
            write(i);
        }
        say("wrote b");
    } else if (order == 'g') {
        give_and_take();
    } else if (order == 'v') {
        verify();
    }
}

void main(uint64_t hart, uint64_t opaque)
{
    volatile char *typed = (volatile char *)page_at(0);
    char order = 0;

    (void)hart;
    (void)opaque;
    say_number("window at", (long)(uintptr_t)typed);
    while (order != 'q') {
        struct ret ret = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)typed, 0, 0, 0);

        if (ret.error == 0 && ret.value == 1) {
            order = *typed;
            obey(order);
        }
    }
    finish();
}
