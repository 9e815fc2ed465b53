/* What guests without an operating system share: calls of the SBI, lines of text, traps. */
#ifndef DMA_TESTS_GUEST_BARE_BARE_H
#define DMA_TESTS_GUEST_BARE_BARE_H

#include <stdint.h>

struct ret {
    long error;
    long value;
};

struct trap_seen {
    uint64_t cause, value, pc, count;
};

extern volatile struct trap_seen last_trap;
extern char image[];

struct ret ecall(uint64_t eid, uint64_t fid, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                 uint64_t a4);
void say(const char *text);
void say_number(const char *text, long value);
/* A line "ok CLAIM" or "not ok CLAIM". */
void check(int ok, const char *claim);
/* "PASSED" if every check held, "FAILED" otherwise; then power off with a reason that says the
 * same. */
_Noreturn void finish(void);

long bench_ecall(uint64_t eid, uint64_t fid, uint64_t arg, uint64_t count);
long bench_load(volatile void *address, uint64_t count);
long bench_empty(uint64_t count);

/* The program: hart 0, and the others once they were started. */
void main(uint64_t hart, uint64_t opaque);
void other_hart(uint64_t hart, uint64_t opaque);

#endif
