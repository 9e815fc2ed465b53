/*
 * A guest that wants more of the host than is its own, by our PCI function: contiguous runs without
 * end, pages taken that it never gave, reports that just fit and reports without end
 * [docs/own-function.md]. Each has a limit, and nothing stops anybody else.
 */
#include "bare.h"

#define ECAM UINT64_C(0x10000000)
#define BAR UINT64_C(0x20000000)
#define REPORT_BYTES 1024u
#define TAKE 2u
#define RUN 3u
#define REPORT 4u
#define EBUSY 9
#define ELIMIT 8
#define MIB (UINT64_C(1) << 20)
#define RUNS_MAX (16 * MIB)

static void put32(uint64_t at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}

static void put64(uint64_t at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
}

/* The error of a command. */
static uint32_t ask(uint32_t command, uint64_t gpa, uint64_t len)
{
    put64(BAR + 0x10, gpa);
    put64(BAR + 0x18, len);
    put32(BAR + 0x40, command);
    return *(volatile uint32_t *)(BAR + 0x48);
}

static void runs_have_a_limit(void)
{
    uint64_t got = 0;
    uint32_t error = 0;

    while (error == 0 && got < 4 * RUNS_MAX) {
        error = ask(RUN, 0, MIB);
        got += error == 0 ? MIB : 0;
    }
    check(got == RUNS_MAX && error == ELIMIT, "runs end at the limit");
}

/* Escaped, a byte of 1 is six characters: some of these texts end just where an event does. */
static void no_report_breaks_an_event(void)
{
    volatile uint8_t *buffer = (volatile uint8_t *)(BAR + 0x800);
    uint32_t other = 0;

    for (uint32_t plain = 0; plain < REPORT_BYTES; plain += 31) {
        for (uint32_t i = 0; i < REPORT_BYTES; i++) {
            buffer[i] = i < plain ? 'a' : 1;
        }
        for (uint32_t len = REPORT_BYTES - 8; len <= REPORT_BYTES; len++) {
            uint32_t error = ask(REPORT, 0, len);

            other += error != 0 && error != EBUSY;
        }
    }
    check(other == 0, "each report is sent, or waits");
}

static void reports_have_a_limit(void)
{
    uint32_t refused = 0;

    for (uint32_t i = 0; i < 1000; i++) {
        refused += ask(REPORT, 0, REPORT_BYTES) == EBUSY;
    }
    check(refused > 0, "reports without end have to wait");
}

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    put32(ECAM + 0x10, (uint32_t)BAR);
    put32(ECAM + 4, 2);
    runs_have_a_limit();
    check(ask(TAKE, (uint64_t)(uintptr_t)image, MIB) != 0, "what it has it cannot take");
    no_report_breaks_an_event();
    reports_have_a_limit();
    finish();
}
