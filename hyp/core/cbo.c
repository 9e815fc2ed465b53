/* Cache blocks, on every hart alike: see cbo.h. */
#include "core/cbo.h"

#include <cordon/lock.h>
#include <string.h>

#include "core/console.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/trap.h"

#define ZERO_MAX 512u /* memset clears eight in a row */
#define PAGE 4096u
#define MARK 0xa5u

#define FLUSH 2
#define ZERO 4

/* One cbo.OP at ADDRESS; false: it is illegal here. */
#define CBO_TRY(op, address)                                \
    ({                                                      \
        uint64_t ok_ = 0;                                   \
        __asm__ volatile("1: .insn i 0x0f, 2, x0, %1, %2\n" \
                         "   li %0, 1\n"                    \
                         "2:\n" EXTABLE("1b", "2b")         \
                         : "+r"(ok_)                        \
                         : "r"(address), "i"(op)            \
                         : "memory");                       \
        ok_ != 0;                                           \
    })

uint64_t zero_block;
uint32_t flush_block;

/* True if of PAGE bytes at BYTES those from FROM on, LEN of them, are 0 and all others MARK. */
static bool is_cleared(const uint8_t *bytes, uint32_t from, uint32_t len)
{
    for (uint32_t i = 0; i < PAGE; i++) {
        if (bytes[i] != (i - from < len ? 0 : MARK)) {
            return false;
        }
    }
    return true;
}

/* Whether cbo.zero clears BLOCK bytes here, no fewer and no more. */
static bool clears(uint32_t block)
{
    static struct cordon_lock lock;
    static _Alignas(PAGE) uint8_t page[PAGE];
    bool yes;

    cordon_lock_take(&lock);
    memset(page, MARK, sizeof(page));
    yes = CBO_TRY(ZERO, page + block + 1) && is_cleared(page, block, block);
    cordon_lock_give(&lock);
    return yes;
}

void cbo_probe_here(struct hart *hart)
{
    uint32_t zero = machine_isa_has("zicboz") ? machine.cpu.cboz_bytes : 0;
    bool flushes = machine_isa_has("svpbmt") && machine_isa_has("zicbom");

    hart->zero_bytes = zero != 0 && zero <= ZERO_MAX && clears(zero) ? zero : 0;
    hart->flush_bytes = flushes && CBO_TRY(FLUSH, hart) ? machine.cpu.cbom_bytes : 0;
}

void cbo_choose(void)
{
    uint32_t zero = hart_this()->zero_bytes, flush = hart_this()->flush_bytes;

    for (uint32_t i = 0; i < hart_count; i++) {
        const struct hart *h = &harts[i];

        if (atomic_load(&h->online) == HART_READY) {
            zero = h->zero_bytes == zero ? zero : 0;
            flush = h->flush_bytes == flush && (h->henvcfg & HENVCFG_PBMTE) ? flush : 0;
        }
    }
    zero_block = zero;
    flush_block = flush;
    log_line("pages are zeroed %s", zero != 0 ? "by cache blocks (cbo.zero)" : "by stores");
    if (flush != 0) {
        log_line("guests have memory types (Svpbmt): what comes to them is flushed (cbo.flush)");
    }
}

void flush_memory(const void *at, uint64_t len)
{
    const char *from = at;

    __asm__ volatile("fence" ::: "memory");
    for (const char *end = from + len; from < end; from += flush_block) {
        __asm__ volatile(".insn i 0x0f, 2, x0, %0, %1" ::"r"(from), "i"(FLUSH) : "memory");
    }
    __asm__ volatile("fence" ::: "memory");
}
