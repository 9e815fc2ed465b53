/* Instructions of a guest, read with its own eyes. */
#include "vcpu/fetch.h"

#include "core/hart.h"
#include "core/trap.h"
#include "vcpu/touch.h"

/* Pages that one fetch may find absent: two half words, each with the guest's tables above it. */
#define TOUCHES_MAX 12u

/* hlvx.hu: a half word at ADDRESS as the guest would fetch it. */
static bool load_half(uint64_t address, uint32_t *out)
{
    uint64_t value = 0;
    uint64_t ok = 0;

    __asm__ volatile("1: .insn r 0x73, 4, 0x32, %0, %2, x3\n"
                     "   li %1, 1\n"
                     "2:\n" EXTABLE("1b", "2b")
                     : "+r"(value), "+r"(ok)
                     : "r"(address)
                     : "memory");
    *out = (uint32_t)value & 0xffff;
    return ok != 0;
}

/* True if the load that has just failed will find the page that it missed. */
static bool is_there_now(void)
{
    return csr_read(CSR_SCAUSE) == CAUSE_LOAD_GUEST_PAGE &&
           touch_page(hart_this()->vcpu, csr_read(CSR_HTVAL) << 2, 0) == 0;
}

static bool fetch_half(uint64_t address, uint32_t *out)
{
    bool ok = load_half(address, out);

    for (uint32_t i = 0; i < TOUCHES_MAX && !ok && is_there_now(); i++) {
        ok = load_half(address, out);
    }
    return ok;
}

bool fetch_guest_instruction(uint64_t pc, uint32_t *out)
{
    /* A fault of our own overwrites what the guest's exit left there. */
    uint64_t sepc = csr_read(CSR_SEPC);
    uint64_t sstatus = csr_read(CSR_SSTATUS);
    uint64_t hstatus = csr_read(CSR_HSTATUS);
    uint32_t low = 0;
    uint32_t high = 0;
    bool ok = fetch_half(pc, &low);

    if (ok && (low & 3) == 3) {
        ok = fetch_half(pc + 2, &high);
    }
    csr_write(CSR_HSTATUS, hstatus);
    csr_write(CSR_SSTATUS, sstatus);
    csr_write(CSR_SEPC, sepc);
    if (ok) {
        *out = low | high << 16;
    }
    return ok;
}
