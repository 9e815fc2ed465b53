/* Whether pages can be zeroed by cache blocks: tried, not believed. */
#include "core/zero.h"

#include <cordon/lock.h>
#include <string.h>

#include "core/console.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/trap.h"

#define BLOCK_MIN 16u
#define BLOCK_MAX 512u /* memset clears eight in a row */
#define PAGE 4096u
#define MARK 0xa5u

uint64_t zero_block;

/* cbo.zero at ADDRESS; false: it is illegal here. */
static bool try_zero(void *address)
{
    uint64_t ok = 0;

    __asm__ volatile("1: .insn i 0x0f, 2, x0, %1, 4\n"
                     "   li %0, 1\n"
                     "2:\n" EXTABLE("1b", "2b")
                     : "+r"(ok)
                     : "r"(address)
                     : "memory");
    return ok != 0;
}

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

void zero_probe_here(struct hart *hart)
{
    static struct cordon_lock lock;
    static _Alignas(PAGE) uint8_t page[PAGE];
    uint32_t block = machine_isa_has("zicboz") ? machine.cpu.cboz_bytes : 0;

    hart->zero_bytes = 0;
    if (block < BLOCK_MIN || block > BLOCK_MAX || (block & (block - 1)) != 0) {
        return;
    }
    cordon_lock_take(&lock);
    memset(page, MARK, sizeof(page));
    if (try_zero(page + block + 1) && is_cleared(page, block, block)) {
        hart->zero_bytes = block;
    }
    cordon_lock_give(&lock);
}

void zero_choose(void)
{
    uint32_t block = harts[0].zero_bytes;

    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) != HART_OFFLINE && harts[i].zero_bytes != block) {
            block = 0;
        }
    }
    zero_block = block;
    log_line("pages are zeroed %s", block != 0 ? "by cache blocks (cbo.zero)" : "by stores");
}
