/*
 * One hart reads and writes all of its RAM, word after word, and checks each; another has edu carry
 * a page out and back, and compares. Whatever happens to the tables meanwhile, nothing may be lost
 * or wrong. Each line that is typed has the longest stop since the last one told, in ticks of the
 * time CSR for a page's words; "w" has it said when all was swept once more; "q" ends it.
 */
#include "bare.h"
#include "pci.h"

#define EID_HSM 0x48534Du
#define UART UINT64_C(0x10000) /* of a guest whose RAM begins at 2 GiB */
#define UART_LSR 5u
#define LSR_READY 1u
#define MIB (UINT64_C(1) << 20)
#define PAGE UINT64_C(4096)
#define SWEEP_AT (16 * MIB) /* behind the image and edu's pages */
#define STRIDE UINT64_C(512)
#define TO_MEMORY 3u

static volatile uint64_t sweeps, wrong_words, end, longest;
static volatile uint32_t stop, stopped;
static uint64_t until; /* so many sweeps: said then; 0: not asked */

static volatile uint64_t *at(uint64_t offset)
{
    return (volatile uint64_t *)((uintptr_t)image + offset);
}

/* The first 2 MiB behind RAM: a load there traps. */
static uint64_t ram_end(void)
{
    uint64_t traps = last_trap.count;
    uint64_t offset = SWEEP_AT;

    for (;;) {
        uint64_t value = 0;

        __asm__ volatile("ld %0, 0(%1)" : "+r"(value) : "r"(at(offset)) : "memory");
        if (last_trap.count != traps) {
            return offset;
        }
        offset += 2 * MIB;
    }
}

static uint64_t ticks(void)
{
    uint64_t now;

    __asm__ volatile("rdtime %0" : "=r"(now)::"memory");
    return now;
}

static void sweep_page(uint64_t page)
{
    uint64_t since = ticks(), took;

    for (uint64_t offset = page; offset < page + PAGE; offset += STRIDE) {
        wrong_words += sweeps > 0 && *at(offset) != sweeps; /* the device tree lay there */
        *at(offset) = sweeps + 1;
    }
    took = ticks() - since;
    longest = took > longest ? took : longest;
}

void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    while (!stop) {
        for (uint64_t page = SWEEP_AT; page < end; page += PAGE) {
            sweep_page(page);
        }
        sweeps++;
    }
    stopped = 1;
    for (;;) {
        __asm__ volatile("wfi");
    }
}

static void edu_store(uint64_t address, uint32_t len)
{
    *(volatile uint64_t *)(BARS + 0x80) = EDU_BUFFER;
    *(volatile uint64_t *)(BARS + 0x88) = address;
    *(volatile uint64_t *)(BARS + 0x90) = len;
    *(volatile uint64_t *)(BARS + 0x98) = TO_MEMORY;
    while ((*(volatile uint64_t *)(BARS + 0x98) & 1) != 0) {
    }
}

/* A page out and back to another one. Returns words that differ. */
static uint64_t carry(uint64_t round)
{
    volatile uint64_t *from = at(8 * MIB), *to = at(10 * MIB);
    uint64_t wrong = 0;

    for (uint64_t i = 0; i < PAGE / sizeof(*from); i++) {
        from[i] = round << 16 | i;
        to[i] = 0;
    }
    __asm__ volatile("fence" ::: "memory");
    edu_fetch(BARS, (uint64_t)(uintptr_t)from, PAGE);
    edu_store((uint64_t)(uintptr_t)to, PAGE);
    for (uint64_t i = 0; i < PAGE / sizeof(*from); i++) {
        wrong += to[i] != (round << 16 | i);
    }
    return wrong;
}

/* What was typed: 0 if nothing. */
static char typed(void)
{
    volatile uint8_t *uart = (volatile uint8_t *)UART;

    return (uart[UART_LSR] & LSR_READY) != 0 ? (char)uart[0] : 0;
}

/* Do what was typed, if anything. False: end. */
static int obey(void)
{
    char byte = typed();

    if (byte == 'w') {
        until = sweeps + 2; /* the one that goes on does not count */
    }
    if (until != 0 && sweeps >= until) {
        say("swept");
        until = 0;
    }
    if (byte == '\n') {
        say_number("longest", (long)longest);
        longest = 0;
    }
    return byte != 'q';
}

void main(uint64_t hart, uint64_t opaque)
{
    uint64_t carried = 0, wrong = 0;

    (void)hart;
    (void)opaque;
    pci_place(1, BARS);
    end = ram_end();
    say_number("MiB", (long)(end / MIB));
    ecall(EID_HSM, 0, 1, (uint64_t)(uintptr_t)image, 0, 0, 0);
    while (sweeps < 2) {
    }
    say("sweeping");
    while (obey()) {
        wrong += carry(++carried);
    }
    stop = 1;
    while (!stopped) {
    }
    say_number("sweeps", (long)sweeps);
    say_number("pages carried", (long)carried);
    check(wrong_words == 0, "no word that a hart wrote was lost or wrong");
    check(carried > 0 && wrong == 0, "no word that the device carried was lost or wrong");
    finish();
}
