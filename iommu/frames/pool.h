/*
 * The frame pool: banks, ownership words by block, free lists, and frames for the layer itself.
 *
 * Page numbers here are raw HFNs (HPA >> 12). A block's word stands for all of its 512 frames until
 * the block is split; then `words` is a page of 512 words, and the block's own word only says
 * SPLIT. Split pages and all other memory of the layer's own come from meta blocks: whole blocks in
 * state HYP, never split themselves, handed out frame by frame. Functions of this header that take
 * a context want the pool's lock held, unless they say otherwise.
 */
#ifndef CORDON_FRAMES_POOL_H
#define CORDON_FRAMES_POOL_H

#include "core/lock.h"
#include "frames/frames.h"

#define HFN_NONE UINT64_MAX
#define FRAME_SPLIT 7u                  /* in FW_STATE of a block's word: see its page of words */
#define FW_SPLIT_STAMP GENMASK64(34, 3) /* whose change split it, 0: no change of a map */
#define FW_SPLIT_FIXED BIT64(35) /* what is allocated of the block shall be what never moves */
#define FRAME_STATES 8u

#define FW_FREE_INSIDE ((uint64_t)CORDON_FRAME_FREE | ((uint64_t)FW_ORDER_INSIDE << 3))
#define FW_FREE_STOCK ((uint64_t)CORDON_FRAME_FREE | ((uint64_t)FW_ORDER_STOCK << 3))
#define HFN_LIMIT (UINT64_C(1) << 44) /* PPNs have 44 bits [Priv 12.4.1] */

/* What an allocation is going to be, as far as is known. */
enum frame_kind {
    KIND_MOVABLE, /* of a guest, perhaps */
    KIND_FIXED    /* the layer's own: never moves */
};

struct frame_block {
    uint64_t word;
    uint64_t *words; /* null while the block is whole */
};

struct frame_bank {
    uint64_t first, end; /* HFNs, end excluded */
    uint64_t block0;     /* first >> BLOCK_ORDER */
    struct frame_block *blocks;
};

struct frame_pool {
    struct lock lock;
    uint64_t offset; /* host pointer = HPA + offset */
    uint32_t bank_count;
    uint32_t reserved_count;
    struct frame_bank bank[CORDON_MAX_BANKS];
    struct cordon_extent reserved[CORDON_MAX_BANKS]; /* ascending, for the audit */
    bool mixed;                                      /* blocks are not grouped by kind */
    uint64_t free[MAX_ORDER + 1];                    /* first free run of each order */
    uint64_t fixed[BLOCK_ORDER];                     /* the same in blocks of what never moves */
    uint32_t nonempty;                               /* bit o: free[o] is not HFN_NONE */
    uint32_t nonempty_fixed;                         /* the same of fixed[] */
    uint64_t key;                                    /* marks nodes of free lists */
    uint64_t pages[FRAME_STATES];                    /* frames in each state */
    uint64_t meta_first;                             /* meta block with room, by its header frame */
    uint64_t meta_room;                              /* frames free in meta blocks */
    uint64_t meta_empty;                             /* meta blocks that nothing uses */
    uint64_t block_bytes;                            /* of the arrays of block words */
    uint64_t word_pages;                             /* pages of words in use */
    uint64_t stock, stock_left;                      /* frames/stock.h: a run cut off for touches */
    uint64_t *stock_word;                            /* of its first frame */
    uint64_t calls;                                  /* that set frames apart so far */
    uint64_t promised;                               /* free frames that are: touch/promise.h */
};

/* Where a context and its pool will lie: a pure calculation over a configuration. */
struct pool_layout {
    uint32_t bank_count, hole_count;
    struct cordon_extent bank[CORDON_MAX_BANKS]; /* merged where they touch */
    struct cordon_extent
        hole[CORDON_MAX_BANKS + 2]; /* reserved and boot parts, ascending, merged */
    uint64_t boot_hfn,
        boot_pages; /* blocks for the context, the arrays and the first meta frames */
};

struct cordon_config;

/* Check CFG and find the boot blocks, with room for OWN bytes at their start.
 * Errors: EINVAL, EALIGN, ERANGE, ELIMIT, ENOMEM. */
CORDON_MUST_CHECK int pool_plan(const struct cordon_config *cfg, uint64_t own,
                                struct pool_layout *out);
/* Lay the pool out as planned. The context stands, zeroed, at the start of the boot blocks. */
void pool_init(struct cordon_ctx *ctx, const struct cordon_config *cfg,
               const struct pool_layout *plan, uint64_t own);

/* ---- words -------------------------------------------------------------------------------- */

static inline void *pool_ptr(const struct frame_pool *p, uint64_t hfn)
{
    return (void *)(uintptr_t)((hfn << CORDON_PAGE_SHIFT) + p->offset);
}

/* The bank that holds a frame, or null. */
static inline const struct frame_bank *pool_bank(const struct frame_pool *p, uint64_t hfn)
{
    for (uint32_t i = 0; i < p->bank_count; i++) {
        if (hfn >= p->bank[i].first && hfn < p->bank[i].end) {
            return &p->bank[i];
        }
    }
    return NULL;
}

/* The block of a frame of this bank. */
static inline struct frame_block *bank_block(const struct frame_bank *bank, uint64_t hfn)
{
    return &bank->blocks[(hfn >> BLOCK_ORDER) - bank->block0];
}

/* The block that holds a frame, or null when it is no RAM. */
static inline struct frame_block *pool_block(const struct frame_pool *p, uint64_t hfn)
{
    const struct frame_bank *bank = pool_bank(p, hfn);

    return bank != NULL ? bank_block(bank, hfn) : NULL;
}

static inline uint64_t bank_blocks(const struct frame_bank *bank)
{
    return ((bank->end - 1) >> BLOCK_ORDER) - bank->block0 + 1;
}

/* The word of frame INDEX of a whole block whose word is WORD. */
static inline uint64_t pool_derive(uint64_t word, uint64_t index)
{
    switch (word & FW_STATE) {
    case CORDON_FRAME_OWNED:
    case CORDON_FRAME_REVOKING:
        return word + index * FW_GFN_ONE;
    case CORDON_FRAME_FREE:
        return index == 0 ? word : FW_FREE_INSIDE;
    default:
        return word;
    }
}

/* A word of a split block. A table's counts change under its domain's lock, not the pool's; its
 * state does not. */
static inline uint64_t pool_word_in(const struct frame_block *b, uint64_t index)
{
    return __atomic_load_n(&b->words[index], __ATOMIC_RELAXED);
}

static inline uint64_t pool_word(const struct frame_block *b, uint64_t hfn)
{
    uint64_t index = hfn & (BLOCK_FRAMES - 1);

    return b->words != NULL ? pool_word_in(b, index) : pool_derive(b->word, index);
}

static inline void pool_count(struct frame_pool *p, unsigned from, unsigned to, uint64_t pages)
{
    cordon_assert(p->pages[from] >= pages);
    p->pages[from] -= pages;
    p->pages[to] += pages;
}

#define META_BLOCK_ROOM (BLOCK_FRAMES - 1) /* frames that a meta block has to give */

/*
 * Could all promises still be kept if PAGES more frames and META frames of the meta pool were
 * taken?
 *
 * A promised frame can be any free one. But taking it may need a whole block to be split, which
 * wants a frame of the meta pool: one for each whole block at most, and for each promised frame at
 * most; and the meta pool grows by a block. So this many blocks must be free beyond what is
 * promised.
 */
static inline bool pool_keeps(const struct frame_pool *p, uint64_t pages, uint64_t meta)
{
    uint64_t free = p->pages[CORDON_FRAME_FREE], room = p->meta_room;

    if (p->promised == 0) {
        return true;
    }
    for (; room < meta && free >= BLOCK_FRAMES; room += META_BLOCK_ROOM) {
        free -= BLOCK_FRAMES;
    }
    if (free < pages || room < meta) {
        return false;
    }
    free -= pages;
    room -= meta;
    uint64_t splits = free >> BLOCK_ORDER < p->promised ? free >> BLOCK_ORDER : p->promised;
    uint64_t grow = splits > room ? (splits - room - 1) / META_BLOCK_ROOM + 1 : 0;

    return free >= p->promised + (grow << BLOCK_ORDER);
}

/* Give a whole block its page of words, each as the block's word says. ENOMEM. */
CORDON_MUST_CHECK int pool_split(struct cordon_ctx *ctx, struct frame_block *b, uint32_t stamp);
/* The same with a frame that the caller took from the meta pool. */
void pool_split_with(struct frame_pool *p, struct frame_block *b, uint64_t meta_hfn);
/* The same for a free block that is about to be cut up for a KIND. */
void pool_split_for(struct frame_pool *p, struct frame_block *b, uint64_t meta_hfn,
                    enum frame_kind kind);
/* Let a split block be whole again, with WORD; its page of words goes back. */
void pool_join(struct frame_pool *p, struct frame_block *b, uint64_t word);
/* Write a state without an owner (HELD, TABLE, HYP) over a run just taken from the buddy. */
void pool_mark(struct frame_pool *p, uint64_t hfn, uint64_t pages, uint64_t word);
/* Release the pool's lock, after giving back meta blocks that nothing uses. */
void pool_unlock(struct cordon_ctx *ctx);

/* ---- buddy -------------------------------------------------------------------------------- */

/*
 * Take 2^ORDER frames, naturally aligned, off the free lists; their words still read FREE.
 * HFN_NONE: there are none. Where a block has to be split, the meta pool has a frame: see
 * buddy_ready.
 *
 * Less than a block comes out of a block of its KIND; else a whole block becomes one of that kind;
 * else out of one of the other kind: for what never moves the largest run there is, and with half a
 * block or more of it the block changes its kind, so that the next ones follow. So what never moves
 * stands together, and what moves leaves whole blocks behind.
 */
uint64_t buddy_take(struct frame_pool *p, unsigned order, enum frame_kind kind);
/* Make sure that buddy_take(ORDER, KIND) succeeds. ENOMEM: no run is free, or what is was promised
 * to others. buddy_prepare: may PROMISED frames be taken? */
CORDON_MUST_CHECK int buddy_ready(struct frame_pool *p, unsigned order, enum frame_kind kind);
CORDON_MUST_CHECK int buddy_prepare(struct frame_pool *p, unsigned order, enum frame_kind kind,
                                    bool promised);
/* Lists of free runs of less than a block, in blocks of a kind; from BLOCK_ORDER on free[]. */
uint64_t buddy_first(const struct frame_pool *p, unsigned order, enum frame_kind kind);
/* The order of the smallest hole that an allocation would come from, but at most MOST; or, if
 * nothing is free, MAX_ORDER + 1. */
unsigned buddy_hole(const struct frame_pool *p, unsigned most, enum frame_kind kind);
/* Put 2^ORDER frames back, merged as far as it goes, words written. Counts are the caller's. */
void buddy_put(struct frame_pool *p, uint64_t hfn, unsigned order);
/* Put a run of any length back, cut into natural pieces. */
void buddy_put_run(struct frame_pool *p, uint64_t hfn, uint64_t pages);
/* Take the free run that starts at HFN off its list (words still read FREE); returns its order. */
unsigned buddy_remove(struct frame_pool *p, uint64_t hfn);
/* Insert without merging, words written: for laying out, and for what remains of a run cut out. */
void buddy_insert(struct frame_pool *p, uint64_t hfn, unsigned order);
/* The order of the largest natural piece at the start of [HFN, HFN + PAGES). */
unsigned buddy_piece(uint64_t hfn, uint64_t pages);
/* Check the node at HFN and its neighbours; *NEXT is the next run of the list. For the audit too.
 */
bool buddy_node_ok(const struct frame_pool *p, uint64_t hfn, unsigned order, uint64_t *next);

/* ---- meta --------------------------------------------------------------------------------- */

/* A new meta block, HYP, whose first USED frames are taken. */
void meta_init(struct frame_pool *p, uint64_t hfn, uint64_t used);
/* Make sure that N frames can be taken. ENOMEM. What is not taken goes back in pool_unlock.
 * meta_prepare: as buddy_prepare. */
CORDON_MUST_CHECK int meta_ready(struct frame_pool *p, uint64_t n);
CORDON_MUST_CHECK int meta_prepare(struct frame_pool *p, uint64_t n, bool promised);
/* A frame for the layer itself (state HYP), contents unknown. meta_ready came before. */
uint64_t meta_take(struct frame_pool *p);
void meta_give(struct frame_pool *p, uint64_t hfn);

/* A page for the layer itself, zeroed or with contents unknown, and its return. These take the lock
 * themselves. Null: none. */
void *pool_page_alloc(struct cordon_ctx *ctx);
void *pool_page_take(struct cordon_ctx *ctx);
void pool_page_free(struct cordon_ctx *ctx, void *page);

#endif
