/* The stock of frames for touches: filled, and given back. */
#include "frames/stock.h"
#include <cordon/error.h>

int stock_fill(struct frame_pool *p, bool promised)
{
    unsigned order = buddy_hole(p, STOCK_ORDER, KIND_MOVABLE);

    cordon_assert(p->stock_left == 0);
    if (order > STOCK_ORDER || buddy_prepare(p, order, KIND_MOVABLE, promised) != 0) {
        return -CORDON_ENOMEM;
    }
    uint64_t hfn = buddy_take(p, order, KIND_MOVABLE);
    struct frame_block *b = pool_block(p, hfn);

    cordon_assert(b != NULL && b->words != NULL);
    p->stock = hfn;
    p->stock_left = BIT64(order);
    p->stock_word = &b->words[hfn & (BLOCK_FRAMES - 1)];
    for (uint64_t i = 0; i < p->stock_left; i++) {
        p->stock_word[i] = FW_FREE_STOCK;
    }
    return 0;
}

void stock_drain(struct frame_pool *p)
{
    uint64_t left = p->stock_left;

    p->stock_left = 0;
    buddy_put_run(p, p->stock, left);
}
