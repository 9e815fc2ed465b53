/* Walking a run of frames block by block, for those who change owners. */
#ifndef CORDON_FRAMES_OWNER_H
#define CORDON_FRAMES_OWNER_H

#include "frames/pool.h"
#include "port_word.h"

#include <string.h>

/* Kept out of line, so that the common case before it has the registers to itself. */
#define OWNER_SLOW __attribute__((noinline)) static

static inline uint64_t owner_word(uint32_t domain, uint64_t gfn, bool keep)
{
    return (uint64_t)CORDON_FRAME_OWNED | field_put(FW_DOMAIN, domain) | (keep ? FW_KEEP : 0) |
           field_put(FW_GFN, gfn);
}

/* The part of a run that lies in one block, or whole blocks of it that are not split. */
struct part {
    struct frame_block *block;
    uint64_t index, pages;
    uint64_t left; /* of the run, from here on; 0: behind its end */
};

/* Find out how far the part goes that starts here. */
void part_cut(struct part *at);

/* Go on behind the first PAGES of the part. */
static inline void part_skip(struct part *at, uint64_t pages)
{
    uint64_t to = at->index + pages;

    at->block += to >> BLOCK_ORDER;
    at->index = to & (BLOCK_FRAMES - 1);
    at->pages -= pages;
    at->left -= pages;
    if (at->pages == 0 && at->left > 0) {
        part_cut(at);
    }
}

static inline void part_next(struct part *at)
{
    part_skip(at, at->pages);
}

/* The first part of the run at HFN, as far as it is RAM: banks that touch are one. */
struct part part_first(const struct frame_pool *p, uint64_t hfn, uint64_t pages);
/* The same where a caller of ours has made sure that it is RAM. */
struct part part_at(const struct frame_pool *p, uint64_t hfn, uint64_t pages);

/* Does the part take frames out of a block that is not split? */
static inline bool part_splits(const struct part *at)
{
    return at->block->words == NULL && at->pages < BLOCK_FRAMES;
}

/* The words of a part that splits nothing: from FIRST to before END, each for PAGES pages. */
struct part_words {
    uint64_t *first, *end;
    uint64_t step, pages;
};

static inline struct part_words part_words(const struct part *at)
{
    struct frame_block *b = at->block;

    if (b->words != NULL) {
        uint64_t *first = &b->words[at->index];

        return (struct part_words){first, first + at->pages, 1, 1};
    }
    cordon_assert(at->index == 0 && is_aligned(at->pages, BLOCK_FRAMES));
    return (struct part_words){&b->word, &b[at->pages >> BLOCK_ORDER].word,
                               sizeof(*b) / sizeof(b->word), BLOCK_FRAMES};
}

/* How many pages the words before ONE stand for. */
static inline uint64_t part_pages(const struct part_words *w, const uint64_t *one)
{
    return (uint64_t)(one - w->first) / w->step * w->pages;
}

/* Write WORD over a part, and what follows it over the pages behind its first. */
static inline void part_write(const struct part *at, uint64_t word)
{
    struct part_words w = part_words(at);

    for (uint64_t *one = w.first; one != w.end; one += w.step) {
        *one = word;
        word = pool_derive(word, w.pages);
    }
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
static inline void block_note(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages,
                              uint64_t word)
{
    port_note(cookie, note, hfn << CORDON_PAGE_SHIFT | (pages - 1), word);
}

/* The same for a part, whose first frame says WORD. (One step a turn: where there is no recorder,
 * the compiler sees that nothing is left.) */
static inline void part_note(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages,
                             uint64_t word)
{
    uint64_t blocks = ((pages - 1) >> BLOCK_ORDER) + 1;

    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t done = i << BLOCK_ORDER, left = pages - done;

        block_note(cookie, note, hfn + done, left < BLOCK_FRAMES ? left : BLOCK_FRAMES,
                   pool_derive(word, done));
    }
}

/* The same for a run of any length, all in one state. */
void owner_note_run(void *cookie, enum port_note note, uint64_t hfn, uint64_t pages, uint64_t word);

/* Zeroes over one frame; what it held is gone. */
static inline void frame_scrub(void *cookie, const struct frame_pool *p, uint64_t hfn)
{
    memset(pool_ptr(p, hfn), 0, CORDON_PAGE_SIZE); /* by the page: see core/cbo.h */
    block_note(cookie, PORT_NOTE_SCRUB, hfn, 1, 0);
}

/* The same for a run; or, with NOZERO, what it held stays, and the caller answers for it. */
void owner_scrub_run(struct cordon_ctx *ctx, uint64_t hfn, uint64_t pages, bool nozero);

/* A block split with STAMP, all HELD or all of one owner in order, becomes whole again.
 */
void owner_join_stamped(struct frame_pool *p, struct frame_block *b, uint32_t stamp);

#endif
