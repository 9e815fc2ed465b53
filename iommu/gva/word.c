/* What a word of a guest's table means to its hart. [Priv 12.3.2, 12.4.1, 12.7 to 12.10] */
#include "gva/word.h"

#define PTE_ALWAYS_RESERVED GENMASK64(60, 54)
#define NAPOT_64K UINT64_C(8) /* PPN bits 3:0 of a 64 KiB run */

const struct pt_fmt *gva_format(uint32_t mode)
{
    static const struct pt_fmt *const formats[] = {&pt_sv39, &pt_sv48, &pt_sv57};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (formats[i]->mode == mode) {
            return formats[i];
        }
    }
    return NULL;
}

/* Bits that this hart reserves in any word. The last memory type is reserved on every hart. */
static bool has_reserved(const struct cordon_gva_ask *ask, uint64_t word)
{
    uint64_t reserved = PTE_ALWAYS_RESERVED;

    reserved |= (ask->flags & CORDON_GVA_PBMT) != 0 ? 0 : PTE_PBMT;
    reserved |= (ask->flags & CORDON_GVA_NAPOT) != 0 ? 0 : PTE_N;
    return (word & reserved) != 0 || (word & PTE_PBMT) == PTE_PBMT ||
           (word & (PTE_R | PTE_W)) == PTE_W;
}

static uint32_t table_refused(unsigned level, uint64_t word)
{
    if ((word & (PTE_D | PTE_A | PTE_U | PTE_PBMT | PTE_N)) != 0) {
        return CORDON_GVA_RESERVED;
    }
    return level == 0 ? CORDON_GVA_DEEP : 0;
}

/* Is a leaf of LEVEL well made? */
static uint32_t leaf_refused(unsigned level, uint64_t word)
{
    uint64_t ppn = field_get(PTE_PPN, word);

    if ((word & PTE_N) != 0 && (level != 0 || (ppn & 15u) != NAPOT_64K)) {
        return CORDON_GVA_BAD_NAPOT;
    }
    return (ppn & (BIT64(PT_INDEX_BITS * level) - 1)) != 0 ? CORDON_GVA_MISALIGNED : 0;
}

/* May whoever asks use a leaf so? */
static uint32_t use_refused(const struct cordon_gva_ask *ask, uint64_t word)
{
    bool user = (ask->flags & CORDON_GVA_AS_USER) != 0;
    bool sum = (ask->flags & CORDON_GVA_SUM) != 0 && ask->access != CORDON_EXEC;
    uint32_t perms = pt_word_perms(word);

    if ((ask->flags & CORDON_GVA_MXR) != 0 && (perms & CORDON_EXEC) != 0) {
        perms |= CORDON_READ;
    }
    if (user && (word & PTE_U) == 0) {
        return CORDON_GVA_USER;
    }
    if (!user && !sum && (word & PTE_U) != 0) {
        return CORDON_GVA_SUPERVISOR;
    }
    return (ask->access & ~perms) != 0 ? CORDON_GVA_RIGHTS : 0;
}

uint32_t gva_word_marks(const struct cordon_gva_ask *ask, uint64_t word)
{
    uint32_t marks = (word & PTE_A) == 0 ? CORDON_GVA_MARK_A : 0;

    if (ask->access == 0) {
        return 0;
    }
    if (ask->access == CORDON_WRITE && (word & PTE_D) == 0) {
        marks |= CORDON_GVA_MARK_D;
    }
    return marks;
}

static uint32_t marks_refused(const struct cordon_gva_ask *ask, uint64_t word)
{
    uint32_t marks = gva_word_marks(ask, word);

    if (marks == 0 || (ask->flags & CORDON_GVA_ADUE) != 0) {
        return 0;
    }
    return (marks & CORDON_GVA_MARK_A) != 0 ? CORDON_GVA_UNACCESSED : CORDON_GVA_CLEAN;
}

uint32_t gva_word_refused(const struct cordon_gva_ask *ask, unsigned level, uint64_t word)
{
    uint32_t end;

    if ((word & PTE_V) == 0) {
        return CORDON_GVA_EMPTY;
    }
    if (has_reserved(ask, word)) {
        return CORDON_GVA_RESERVED;
    }
    if (!pt_word_is_leaf(word)) {
        return table_refused(level, word);
    }
    end = leaf_refused(level, word);
    if (end == 0 && ask->access != 0) {
        end = use_refused(ask, word);
    }
    return end != 0 ? end : marks_refused(ask, word);
}
