/* Our own faults: the table of those that are foreseen; all others end the machine. */
#include "core/trap.h"

#include "core/hart.h"
#include "core/panic.h"
#include "core/poweroff.h"

struct extable_entry {
    uint64_t at;
    uint64_t fixup;
};

extern const struct extable_entry _extable_start[], _extable_end[];

static uint64_t find_fixup(uint64_t pc)
{
    for (const struct extable_entry *e = _extable_start; e < _extable_end; e++) {
        if (e->at == pc) {
            return e->fixup;
        }
    }
    return 0;
}

void own_trap(struct own_frame *frame)
{
    struct hart *hart = hart_this();
    uint64_t cause = csr_read(CSR_SCAUSE);
    uint64_t pc = csr_read(CSR_SEPC);
    uint64_t fixup = (cause & CAUSE_INTERRUPT) ? 0 : find_fixup(pc);

    if (fixup != 0) {
        csr_write(CSR_SEPC, fixup);
        return;
    }
    if (hart->trap_depth++ != 0) {
        /* A fault while one was being told: the frame is lost, the machine must still stop. */
        poweroff(true);
    }
    panic_trap(frame, cause, pc, csr_read(CSR_STVAL));
}

bool probe_load(const void *address)
{
    uint64_t ok = 0;
    uint64_t word;

    __asm__ volatile("1: ld %1, 0(%2)\n"
                     "   li %0, 1\n"
                     "2:\n" EXTABLE("1b", "2b")
                     : "+r"(ok), "=&r"(word)
                     : "r"(address)
                     : "memory");
    return ok != 0;
}

bool probe_store(void *address)
{
    uint64_t ok = 0;
    uint64_t word;

    __asm__ volatile("1: ld %1, 0(%2)\n"
                     "3: sd %1, 0(%2)\n"
                     "   li %0, 1\n"
                     "2:\n" EXTABLE("1b", "2b") EXTABLE("3b", "2b")
                     : "+r"(ok), "=&r"(word)
                     : "r"(address)
                     : "memory");
    return ok != 0;
}
