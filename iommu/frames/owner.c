/* Runs of frames, cut into parts whose words are alike; and blocks that become whole again. */
#include "frames/owner.h"

void part_cut(struct part *at)
{
    uint64_t room = BLOCK_FRAMES - at->index;

    at->pages = room < at->left ? room : at->left;
    if (at->index != 0 || at->block->words != NULL) {
        return;
    }
    while (at->left - at->pages >= BLOCK_FRAMES &&
           at->block[at->pages >> BLOCK_ORDER].words == NULL) {
        at->pages += BLOCK_FRAMES;
    }
}

struct part part_first(const struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    const struct frame_bank *bank = pool_bank(p, hfn);
    struct part at = {.left = 0};

    if (bank != NULL && pages > 0) {
        at.block = bank_block(bank, hfn);
        at.index = hfn & (BLOCK_FRAMES - 1);
        at.left = pages < bank->end - hfn ? pages : bank->end - hfn;
        part_cut(&at);
    }
    return at;
}

struct part part_at(const struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    struct part at = part_first(p, hfn, pages);

    cordon_assert(at.left == pages);
    return at;
}

void owner_join_stamped(struct frame_pool *p, struct frame_block *b, uint32_t stamp)
{
    if (b->words == NULL || field_get(FW_SPLIT_STAMP, b->word) != stamp) {
        return;
    }
    uint64_t first = pool_word_in(b, 0);
    uint64_t state = field_get(FW_STATE, first);

    if (state != CORDON_FRAME_HELD && state != CORDON_FRAME_OWNED) {
        return;
    }
    for (uint64_t i = 1; i < BLOCK_FRAMES; i++) {
        if (pool_word_in(b, i) != pool_derive(first, i)) {
            return;
        }
    }
    pool_join(p, b, first);
}
