/* Walking a run of frames block by block, for those who change owners. */
#ifndef CORDON_MAP_OWNER_H
#define CORDON_MAP_OWNER_H

#include "map/pool.h"
#include "port_word.h"

/* Kept out of line, so that the common case before it has the registers to itself. */
#define OWNER_SLOW __attribute__((noinline)) static

/* The part of a run that lies in one block. */
struct part {
    struct frame_block *block;
    uint64_t index, pages;
    uint64_t left; /* of the run, from here on; 0: behind its end */
};

/* The first part of the run at HFN, as far as it is RAM: banks that touch are one. */
static inline struct part part_first(const struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    const struct frame_bank *bank = pool_bank(p, hfn);
    uint64_t index = hfn & (BLOCK_FRAMES - 1);
    uint64_t room = BLOCK_FRAMES - index;

    if (bank == NULL) {
        return (struct part){.left = 0};
    }
    pages = pages < bank->end - hfn ? pages : bank->end - hfn;
    return (struct part){bank_block(bank, hfn), index, room < pages ? room : pages, pages};
}

/* The same where a caller of ours has made sure that it is RAM. */
static inline struct part part_at(const struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    struct part at = part_first(p, hfn, pages);

    cordon_assert(at.left == pages);
    return at;
}

static inline void part_next(struct part *at)
{
    at->block++;
    at->index = 0;
    at->left -= at->pages;
    at->pages = at->left < BLOCK_FRAMES ? at->left : BLOCK_FRAMES;
}

/* A guess at the bank of the extents behind E: its own. */
static inline const struct frame_bank *owner_bank(const struct frame_pool *p,
                                                  const struct cordon_extent *e)
{
    const struct frame_bank *bank = pool_bank(p, e->hpa.v >> CORDON_PAGE_SHIFT);

    return bank != NULL ? bank : p->bank;
}

/* The word of an extent of BANK that is one frame of a split block, or one whole block: most are.
 * Null: neither, or it lies elsewhere. */
static inline uint64_t *owner_single(const struct frame_bank *bank, const struct cordon_extent *e)
{
    uint64_t hfn = e->hpa.v >> CORDON_PAGE_SHIFT;

    if (hfn < bank->first || hfn >= bank->end) {
        return NULL;
    }
    struct frame_block *b = bank_block(bank, hfn);
    bool split = b->words != NULL;

    if (e->len != (split ? CORDON_PAGE_SIZE : BLOCK_SIZE)) {
        return NULL;
    }
    if (split) {
        return &b->words[hfn & (BLOCK_FRAMES - 1)];
    }
    return is_aligned(e->hpa.v, BLOCK_SIZE) ? &b->word : NULL;
}

/* Tell the recorder, if there is one, of at most a block of frames: address and pages - 1 in one.
 */
static inline void part_note(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages,
                             uint64_t word)
{
    port_note(cookie, note, hfn << CORDON_PAGE_SHIFT | (pages - 1), word);
}

/* The same for a run of any length, all in one state. */
void owner_note_run(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages, uint64_t word);

/* A block split with STAMP, all HELD or all of one owner in order, becomes whole again.
 */
void owner_join_stamped(struct frame_pool *p, struct frame_block *b, uint32_t stamp);

#endif
