/* What guests without an operating system share. */
#include "bare.h"

#define EID_DBCN 0x4442434Eu
#define EID_SRST 0x53525354u

volatile struct trap_seen last_trap;
static int failures;

struct ret ecall(uint64_t eid, uint64_t fid, uint64_t arg0, uint64_t arg1, uint64_t arg2,
                 uint64_t arg3, uint64_t arg4)
{
    register uint64_t a0 __asm__("a0") = arg0;
    register uint64_t a1 __asm__("a1") = arg1;
    register uint64_t a2 __asm__("a2") = arg2;
    register uint64_t a3 __asm__("a3") = arg3;
    register uint64_t a4 __asm__("a4") = arg4;
    register uint64_t a6 __asm__("a6") = fid;
    register uint64_t a7 __asm__("a7") = eid;

    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return (struct ret){(long)a0, (long)a1};
}

static void put(const char *text, uint64_t len)
{
    while (len != 0) {
        struct ret ret = ecall(EID_DBCN, 0, len, (uint64_t)(uintptr_t)text, 0, 0, 0);

        if (ret.error != 0 || ret.value == 0) {
            return;
        }
        text += ret.value;
        len -= (uint64_t)ret.value;
    }
}

static uint64_t length(const char *text)
{
    uint64_t len = 0;

    while (text[len] != '\0') {
        len++;
    }
    return len;
}

void say(const char *text)
{
    put(text, length(text));
    put("\n", 1);
}

void say_number(const char *text, long value)
{
    char digits[24];
    int at = 24;
    uint64_t rest = value < 0 ? (uint64_t)-value : (uint64_t)value;

    digits[--at] = '\n';
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0) {
        digits[--at] = '-';
    }
    put(text, length(text));
    put(" ", 1);
    put(digits + at, (uint64_t)(24 - at));
}

void check(int ok, const char *claim)
{
    failures += !ok;
    put(ok ? "ok " : "not ok ", ok ? 3 : 7);
    say(claim);
}

_Noreturn void finish(void)
{
    say(failures == 0 ? "PASSED" : "FAILED");
    for (;;) {
        ecall(EID_SRST, 0, 0, failures == 0 ? 0 : 1, 0, 0, 0);
    }
}

__attribute__((weak)) void other_hart(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
}
