/* Leaves of 64 KiB: see napot.h. */
#include "pt/napot.h"

#include "pt/edit.h"

#define TABLE_WORDS (1u << PT_INDEX_BITS)

static unsigned run_first(unsigned index)
{
    return index & ~(PT_NAPOT_PAGES - 1);
}

void pt_napot_break(const struct pt_forest *f, uint64_t *table, unsigned index,
                    struct pt_retire *retire)
{
    uint64_t *word = &table[run_first(index)], *end = word + PT_NAPOT_PAGES;

    if (!pt_word_is_napot(*word)) {
        return;
    }
    for (; word != end; word++) {
        pt_store(f, word, pt_page_leaf(word));
    }
    retire->nonleaf = true;
}

void pt_napot_break_all(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last,
                        struct pt_retire *retire)
{
    for (unsigned index = run_first(first); index <= last; index += PT_NAPOT_PAGES) {
        pt_napot_break(f, table, index, retire);
    }
}

void pt_napot_break_ends(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last,
                         struct pt_retire *retire)
{
    if (first != run_first(first)) {
        pt_napot_break(f, table, first, retire);
    }
    if (last + 1 != run_first(last + 1)) {
        pt_napot_break(f, table, last, retire);
    }
}

/* Do 16 words say what one run would? */
static bool joins(const struct pt_fmt *fmt, const uint64_t *word)
{
    uint64_t leaf = word[0];

    if (!pt_word_is_leaf(leaf) || pt_leaf_bits(leaf) != fmt->leaf_bits ||
        (leaf & PT_NAPOT_LOW) != 0) {
        return false;
    }
    for (unsigned i = 1; i < PT_NAPOT_PAGES; i++) {
        if (word[i] != leaf + i * pt_leaf_step(0)) {
            return false;
        }
    }
    return true;
}

unsigned pt_napot_join(const struct pt_forest *f, uint64_t *table, unsigned first, unsigned last)
{
    unsigned made = 0;

    for (unsigned at = run_first(first + PT_NAPOT_PAGES - 1); at + PT_NAPOT_PAGES <= last + 1;
         at += PT_NAPOT_PAGES) {
        uint64_t word = pt_napot_make(table[at]);

        if (!joins(f->fmt, &table[at])) {
            continue;
        }
        for (unsigned i = 0; i < PT_NAPOT_PAGES; i++) {
            pt_store(f, &table[at + i], word);
        }
        made++;
    }
    return made;
}

unsigned pt_napot_count(const uint64_t *table)
{
    unsigned count = 0;

    for (unsigned i = 0; i < TABLE_WORDS; i += PT_NAPOT_PAGES) {
        count += pt_word_is_napot(table[i]);
    }
    return count;
}

static int end_table(void *arg, cordon_hpa table, uint32_t level)
{
    const struct pt_forest *f = arg;
    struct pt_retire unused = {.count = 0}; /* nothing changes but the size */

    if (level == 0) {
        pt_napot_break_all(f, pt_table_ptr(f, table), 0, TABLE_WORDS - 1, &unused);
    }
    return 0;
}

void pt_napot_end(struct pt_forest *f)
{
    for (uint32_t views = f->views; f->napot && views != 0; views &= views - 1) {
        int err = pt_each_table(f, (uint32_t)__builtin_ctz(views), end_table, f);

        cordon_assert(err == 0);
    }
    f->napot = false;
}
