/* What a guest may not do, one after the other: each must be refused, and the guest live on. */
#include "bare.h"

#define EID_BASE 0x10u
#define EID_TIME 0x54494D45u
#define EID_IPI 0x735049u
#define EID_RFENCE 0x52464E43u
#define EID_HSM 0x48534Du
#define EID_SRST 0x53525354u
#define EID_DBCN 0x4442434Eu

#define NOT_SUPPORTED (-2)
#define INVALID_PARAM (-3)
#define INVALID_ADDRESS (-5)
#define ALREADY_AVAILABLE (-6)

#define FETCH_ACCESS 1u
#define ILLEGAL 2u
#define LOAD_ACCESS 5u
#define STORE_ACCESS 7u

#define HOLE UINT64_C(0x60000000)   /* nothing, in both layouts */
#define FAR UINT64_C(0x1ffff000000) /* nothing, near the top of Sv39x4 */

static uint64_t traps;

/* True if exactly one trap of CAUSE was taken since the last question. */
static int trapped(uint64_t cause)
{
    int ok = last_trap.count == traps + 1 && last_trap.cause == cause;

    traps = last_trap.count;
    return ok;
}

static int not_trapped(void)
{
    int ok = last_trap.count == traps;

    traps = last_trap.count;
    return ok;
}

/* First byte of the guest's devices. */
static uint64_t window(void)
{
    return (uint64_t)(uintptr_t)image >= 0x80000000u ? 0 : 0xC0000000u;
}

static void sbi_garbage(void)
{
    uint64_t ram = (uint64_t)(uintptr_t)image;

    check(ecall(0xdeadbeef, 7, 1, 2, 3, 4, 5).error == NOT_SUPPORTED, "unknown extension");
    check(ecall(EID_BASE, 99, 0, 0, 0, 0, 0).error == NOT_SUPPORTED, "unknown function of BASE");
    check(ecall(EID_TIME, 1, 0, 0, 0, 0, 0).error == NOT_SUPPORTED, "unknown function of TIME");
    check(ecall(EID_IPI, 0, UINT64_MAX, 0, 0, 0, 0).error == INVALID_PARAM, "IPI to harts beyond");
    check(ecall(EID_IPI, 0, 1, 1000, 0, 0, 0).error == INVALID_PARAM, "IPI to hart 1000");
    check(ecall(EID_RFENCE, 1, 2, UINT64_MAX - 1, 0, 0, 0).error == INVALID_PARAM,
          "fence of hart 2^64-1");
    check(ecall(EID_RFENCE, 4, 1, 0, 0, 0, 0).error == NOT_SUPPORTED, "G-stage fence");
    check(ecall(EID_RFENCE, 1, 0, UINT64_MAX, 0, UINT64_MAX, 0).error == 0, "fence of everything");
    check(ecall(EID_HSM, 0, 77, ram, 0, 0, 0).error == INVALID_PARAM, "start of hart 77");
    check(ecall(EID_HSM, 0, 0, HOLE, 0, 0, 0).error == INVALID_ADDRESS, "start where nothing is");
    check(ecall(EID_HSM, 0, 0, ram, 0, 0, 0).error == ALREADY_AVAILABLE, "start of a started hart");
    check(ecall(EID_HSM, 2, UINT64_MAX, 0, 0, 0, 0).error == INVALID_PARAM,
          "status of hart 2^64-1");
    check(ecall(EID_HSM, 3, 0x12345678, 0, 0, 0, 0).error == NOT_SUPPORTED, "unknown suspend type");
    check(ecall(EID_HSM, 3, UINT64_C(1) << 40, 0, 0, 0, 0).error == INVALID_PARAM,
          "suspend type beyond 32 bits");
    check(ecall(EID_HSM, 3, 0x80000000, HOLE, 0, 0, 0).error == INVALID_ADDRESS,
          "suspend that resumes where nothing is");
    check(ecall(EID_SRST, 0, 9, 0, 0, 0, 0).error == INVALID_PARAM, "reset of unknown type");
    check(ecall(EID_SRST, 0, 0, 77, 0, 0, 0).error == INVALID_PARAM, "reset for a reserved reason");
}

static void console_garbage(void)
{
    uint64_t ram = (uint64_t)(uintptr_t)image;

    check(ecall(EID_DBCN, 0, 16, HOLE, 0, 0, 0).error == INVALID_PARAM, "console: from a hole");
    check(ecall(EID_DBCN, 0, 16, FAR, 0, 0, 0).error == INVALID_PARAM, "console: from far away");
    check(ecall(EID_DBCN, 0, 16, ram, 1, 0, 0).error == INVALID_PARAM, "console: from above 2^64");
    check(ecall(EID_DBCN, 0, UINT64_MAX, ram + 0x1000, 0, 0, 0).error == INVALID_PARAM,
          "console: wraps");
    check(ecall(EID_DBCN, 0, 16, window() + 0x1000000, 0, 0, 0).error == INVALID_PARAM,
          "console: from an interrupt file");
    check(ecall(EID_DBCN, 1, 16, HOLE, 0, 0, 0).error == INVALID_PARAM,
          "console: read into a hole");
    check(ecall(EID_DBCN, 0, 0, HOLE, 0, 0, 0).error == 0, "console: nothing, from a hole");
    check(ecall(EID_DBCN, 9, 0, 0, 0, 0, 0).error == NOT_SUPPORTED, "console: unknown function");

    static char lines[4096];
    struct ret ret;

    for (unsigned i = 0; i < sizeof(lines); i++) {
        lines[i] = '\n';
    }
    ret = ecall(EID_DBCN, 0, sizeof(lines), (uint64_t)(uintptr_t)lines, 0, 0, 0);
    check(ret.error == 0 && ret.value > 0 && ret.value <= 64,
          "console: more lines than one call may hold others up with");
}

static void absent_memory(void)
{
    volatile uint64_t *hole = (volatile uint64_t *)HOLE;
    volatile uint64_t *far = (volatile uint64_t *)FAR;
    uint64_t word = 5;

    (void)*hole;
    check(trapped(LOAD_ACCESS) && last_trap.value == HOLE, "load from a hole");
    *hole = 1;
    check(trapped(STORE_ACCESS) && last_trap.value == HOLE, "store to a hole");
    (void)*far;
    check(trapped(LOAD_ACCESS), "load from far away");
    __asm__ volatile("amoadd.d %0, %0, (%1)" : "+r"(word) : "r"(HOLE) : "memory");
    check(trapped(STORE_ACCESS), "atomic on a hole");
    ((void (*)(void))HOLE)();
    check(trapped(FETCH_ACCESS) && last_trap.pc == HOLE, "jump into a hole");
}

/* The UART, the APLIC: what a driver would never do to them. */
static void devices_misused(void)
{
    volatile uint8_t *aplic = (volatile uint8_t *)(window() + 0x100000);
    uint64_t word = 5;

    __asm__ volatile("lw %0, 2(%1)" : "=r"(word) : "r"(aplic) : "memory");
    check(trapped(LOAD_ACCESS), "misaligned load from a device");
    __asm__ volatile("amoadd.w %0, %0, (%1)" : "+r"(word) : "r"(aplic) : "memory");
    check(trapped(STORE_ACCESS), "atomic on a device");
    __asm__ volatile("csrs sstatus, %0" ::"r"(UINT64_C(3) << 13));
    __asm__ volatile("fld ft0, 0(%0)" ::"r"(aplic) : "memory");
    check(trapped(LOAD_ACCESS), "floating-point load from a device");
    ((void (*)(void))(uintptr_t)aplic)();
    check(trapped(FETCH_ACCESS), "jump into a device");
    __asm__ volatile("ld %0, 0(%1)" : "=r"(word) : "r"(aplic) : "memory");
    check(not_trapped(), "load of eight bytes from a device");
    __asm__ volatile("lb zero, 0(%0)" ::"r"(aplic) : "memory");
    check(not_trapped(), "load into x0");
    __asm__ volatile("mv s5, %1\nlw s6, 0(s5)\nmv %0, s6" : "=r"(word) : "r"(aplic) : "s5", "s6");
    check(not_trapped() && (word >> 24) == UINT64_C(0xffffffff80), "load into s6, sign extended");
}

#define try_csr(name, claim)                               \
    do {                                                   \
        __asm__ volatile("csrr zero, " name ::: "memory"); \
        check(trapped(ILLEGAL), claim);                    \
    } while (0)

static void forbidden_registers(void)
{
    try_csr("0xc03", "counter 3");
    try_csr("0xc1f", "counter 31");
    try_csr("0x600", "hstatus");
    try_csr("0x680", "hgatp");
    try_csr("0x200", "vsstatus");
    try_csr("0x24d", "vstimecmp");
    try_csr("0x300", "mstatus");
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" ::: "memory"); /* hfence.gvma */
    check(trapped(ILLEGAL), "hfence.gvma");
    __asm__ volatile(".insn r 0x73, 4, 0x30, x0, x10, x0" ::: "memory"); /* hlv.b */
    check(trapped(ILLEGAL), "hlv.b");
    __asm__ volatile("rdtime zero" ::: "memory");
    check(not_trapped(), "time is allowed");
}

void main(uint64_t hart, uint64_t opaque)
{
    (void)hart;
    (void)opaque;
    sbi_garbage();
    console_garbage();
    absent_memory();
    devices_misused();
    forbidden_registers();
    finish();
}
