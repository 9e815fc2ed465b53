/* The hypervisor's own tables: a builder, a walker, a count of rights [Priv 12.4]. */
#include "boot/tables.h"

#include <cordon/error.h>
#include <cordon/port.h>

#include "core/csr.h"
#include "core/hart.h"
#include "core/memory.h"
#include "core/sbi_call.h"

#define PTE_V UINT64_C(0x01)
#define PTE_R UINT64_C(0x02)
#define PTE_W UINT64_C(0x04)
#define PTE_X UINT64_C(0x08)
#define PTE_GAD UINT64_C(0xe0)
#define PTE_RIGHTS (PTE_R | PTE_W | PTE_X)
#define PTE_PPN_SHIFT 10
#define ENTRIES 512u
#define LARGEST_LEAF_LEVEL 2u

static struct {
    cordon_hpa root;
    unsigned levels;
} tables;

int tables_begin(unsigned levels)
{
    tables.levels = levels;
    return arena_alloc(1, &tables.root);
}

static uint64_t level_size(unsigned level)
{
    return CORDON_PAGE_SIZE << (9 * level);
}

static uint64_t *entry_of(cordon_hpa table, uint64_t va, unsigned level)
{
    uint64_t *words = memory_ptr(table);

    return &words[(va / level_size(level)) % ENTRIES];
}

static cordon_hpa pte_target(uint64_t pte)
{
    return cordon_hpa_make((pte >> PTE_PPN_SHIFT << CORDON_PAGE_SHIFT) & ((UINT64_C(1) << 56) - 1));
}

static uint64_t pte_make(cordon_hpa hpa, uint64_t bits)
{
    return hpa.v >> CORDON_PAGE_SHIFT << PTE_PPN_SHIFT | bits;
}

/* The word that maps VA at LEVEL; tables above it are made. */
static int word_at(uint64_t va, unsigned level, uint64_t **out)
{
    cordon_hpa table = tables.root;

    for (unsigned l = tables.levels - 1; l > level; l--) {
        volatile uint64_t *word = entry_of(table, va, l);

        if (*word & PTE_RIGHTS) {
            return -CORDON_EEXIST;
        }
        if (!(*word & PTE_V)) {
            cordon_hpa fresh;
            int err = arena_alloc(1, &fresh);

            if (err != 0) {
                return err;
            }
            __asm__ volatile("fence w, w" ::: "memory");
            *word = pte_make(fresh, PTE_V);
        }
        table = pte_target(*word);
    }
    *out = entry_of(table, va, level);
    return 0;
}

static unsigned best_level(uint64_t va, cordon_hpa hpa, uint64_t len)
{
    unsigned level = LARGEST_LEAF_LEVEL;

    while (level > 0 &&
           (((va | hpa.v) & (level_size(level) - 1)) != 0 || len < level_size(level))) {
        level--;
    }
    return level;
}

int tables_map(uint64_t va, cordon_hpa hpa, uint64_t len, uint32_t rights)
{
    uint64_t bits = PTE_V | PTE_GAD | ((rights & CORDON_READ) ? PTE_R : 0) |
                    ((rights & CORDON_WRITE) ? PTE_W : 0) | ((rights & CORDON_EXEC) ? PTE_X : 0);

    if ((rights & CORDON_WRITE) && (rights & CORDON_EXEC)) {
        return -CORDON_EPERM;
    }
    if (((va | hpa.v | len) & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    while (len != 0) {
        unsigned level = best_level(va, hpa, len);
        uint64_t *word;
        int err = word_at(va, level, &word);

        if (err == 0 && (*word & PTE_V)) {
            err = -CORDON_EEXIST;
        }
        if (err != 0) {
            return err;
        }
        *(volatile uint64_t *)word = pte_make(hpa, bits);
        va += level_size(level);
        hpa = cordon_hpa_add(hpa, level_size(level));
        len -= level_size(level);
    }
    return 0;
}

void tables_fence(void)
{
    hart_fence_own_tables();
    for (uint32_t i = 0; i < hart_count; i++) {
        if (atomic_load(&harts[i].online) != HART_OFFLINE) {
            (void)sbi_call(SBI_RFENCE, SBI_RFENCE_SFENCE, 1, harts[i].id, 0, UINT64_MAX, 0);
        }
    }
}

uint64_t tables_satp(void)
{
    return (tables.levels == 3 ? SATP_MODE_SV39 : SATP_MODE_SV48) |
           tables.root.v >> CORDON_PAGE_SHIFT;
}

/* Depth is bounded by the number of levels. */
static void count_table(cordon_hpa table, unsigned level, struct tables_sum *sum)
{
    const uint64_t *words = memory_ptr(table);

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (!(words[i] & PTE_V)) {
            continue;
        }
        if (!(words[i] & PTE_RIGHTS)) {
            cordon_assert(level > 0);
            count_table(pte_target(words[i]), level - 1, sum);
            continue;
        }
        sum->leaves++;
        sum->executable += (words[i] & PTE_X) != 0;
        sum->writable += (words[i] & PTE_W) != 0;
        sum->both += (words[i] & PTE_X) && (words[i] & PTE_W);
    }
}

void tables_count(struct tables_sum *out)
{
    *out = (struct tables_sum){0};
    count_table(tables.root, tables.levels - 1, out);
}

bool tables_find(uint64_t va, uint32_t *rights)
{
    cordon_hpa table = tables.root;

    for (unsigned l = tables.levels; l-- > 0;) {
        uint64_t word = *entry_of(table, va, l);

        if (!(word & PTE_V)) {
            return false;
        }
        if (word & PTE_RIGHTS) {
            *rights = ((word & PTE_R) ? CORDON_READ : 0) | ((word & PTE_W) ? CORDON_WRITE : 0) |
                      ((word & PTE_X) ? CORDON_EXEC : 0);
            return true;
        }
        table = pte_target(word);
    }
    return false;
}
