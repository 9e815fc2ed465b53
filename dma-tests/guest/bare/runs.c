/*
 * A guest that asks for contiguous runs where host memory is in pieces, once it is told to: what it
 * gets is contiguous, of zeroes, and where it said; more than others can bear in a second it does
 * not get [docs/own-function.md].
 */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define ECAM UINT64_C(0x10000000)
#define BAR UINT64_C(0x20000000)
#define GIVE 1u
#define RUN 3u
#define QUERY 5u
#define EBUSY 9u
#define ELIMIT 8u
#define MIB (UINT64_C(1) << 20)
#define LEN (8 * MIB)

static void put64(uint64_t at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}

static uint64_t get64(uint64_t at)
{
    return *(volatile uint64_t *)at;
}

/* The error of a command. */
static uint32_t ask(uint32_t command, uint64_t gpa, uint64_t len)
{
    put64(BAR + 0x10, gpa);
    put64(BAR + 0x18, len);
    *(volatile uint32_t *)(BAR + 0x40) = command;
    return *(volatile uint32_t *)(BAR + 0x48);
}

static int is_zero(uint64_t gpa)
{
    uint64_t any = 0;

    for (uint64_t at = gpa; at < gpa + LEN; at += 512) {
        any |= get64(at);
    }
    return any == 0;
}

void main(uint64_t hart, uint64_t opaque)
{
    static char byte;
    struct ret typed = {0, 0};
    uint64_t run;
    uint32_t error;

    (void)hart;
    (void)opaque;
    *(volatile uint32_t *)(ECAM + 0x10) = (uint32_t)BAR;
    *(volatile uint32_t *)(ECAM + 4) = 2; /* memory space */
    say("ready");
    while (typed.value != 1) {
        typed = ecall(EID_DBCN, 1, 1, (uint64_t)(uintptr_t)&byte, 0, 0, 0);
    }
    put64(BAR + 0x20, 2 * MIB);
    check(ask(RUN, 0, LEN) == 0, "a run of 8 MiB came");
    run = get64(BAR + 0x50);
    check(run % (2 * MIB) == 0, "it stands where it was asked for");
    check(ask(QUERY, run, LEN) == 0 && get64(BAR + 0x50) == 1, "it is contiguous on the host");
    check(is_zero(run), "it reads as zero");
    put64(run + LEN - 8, 1);
    error = ask(RUN, 0, LEN);
    check(error == 0 || error == EBUSY, "another one came, or is for later");
    check(ask(RUN, 0, LEN + MIB) == ELIMIT, "16 MiB are the limit");
    check(ask(GIVE, run, LEN) == 0, "it can be given back");
    finish();
}
