/*
 * cordon_run_make: a run where there is none, by moving what stands in its place.
 *
 * Places are tried in the order of what they cost. Where none is left that begins with a block, or
 * nobody could remember costs, memory is walked frame by frame: a place is found wherever there is
 * one.
 */
#include "core/ctx.h"
#include "frames/owner.h"
#include "move/move.h"
#include "move/place.h"
#include "move/survey.h"

#include <string.h>

#define PLACES_BY_COST 64u /* then in the order of addresses */

/* ---- places ------------------------------------------------------------------------------- */

static int by_cost(struct make *m, struct survey *s)
{
    int err = -CORDON_EPERM;

    for (unsigned i = 0; i < PLACES_BY_COST && err == -CORDON_EPERM; i++) {
        uint64_t cost, place = survey_best(s, &cost);

        if (place == HFN_NONE) {
            return -CORDON_EPERM;
        }
        if (cost > m->budget) {
            return -CORDON_ELIMIT;
        }
        err = place_take(m, place);
        if (err == -CORDON_EPERM) {
            survey_refuse(s, m->bad);
        }
    }
    return err;
}

/* Frames of a block, in the order of addresses; *RUN is where those that could be had begin. Where
 * a place is refused, it goes on behind what was in the way. */
static int walk_block(struct make *m, const struct survey *s, const struct frame_bank *bank,
                      uint64_t index, uint64_t *run)
{
    uint8_t class[BLOCK_FRAMES];
    uint64_t base = (bank->block0 + index) << BLOCK_ORDER;
    int err = -CORDON_EPERM;

    survey_block(s, bank, index, class, NULL);
    for (uint64_t i = 0; i < BLOCK_FRAMES && err == -CORDON_EPERM; i++) {
        if (class[i] == CLASS_FIXED) {
            *run = base + i + 1;
            continue;
        }
        if (base + i + 1 - *run < m->want.pages) {
            continue;
        }
        uint64_t place = want_place(&m->want, *run, base + i + 1);

        if (place != HFN_NONE) {
            err = place_take(m, place);
            *run = m->bad + 1;
        }
    }
    return err;
}

static int by_address(struct make *m, const struct survey *s)
{
    const struct frame_pool *p = &m->ctx->frames;
    int err = -CORDON_EPERM;

    for (uint32_t i = 0; i < p->bank_count; i++) {
        const struct frame_bank *bank = &p->bank[i];
        uint64_t run = bank->first;

        for (uint64_t n = 0; n < bank_blocks(bank) && err == -CORDON_EPERM; n++) {
            err = walk_block(m, s, bank, n, &run);
        }
    }
    return err;
}

static int make_room(struct make *m)
{
    struct survey s;
    int err;

    survey_begin(&s, m->ctx, &m->want);
    memcpy(m->out->kinds, s.kinds, sizeof(s.kinds));
    err = by_cost(m, &s);
    if (err == -CORDON_EPERM) {
        err = by_address(m, &s);
    }
    survey_end(&s);
    return err == -CORDON_EPERM ? -CORDON_ENOMEM : err;
}

static int make(struct make *m)
{
    struct frame_pool *p = &m->ctx->frames;
    uint64_t hfn;

    if (!port_may_alloc(m->ctx->cookie)) {
        return -CORDON_ENOMEM;
    }
    lock_take(&p->lock);
    int err = run_take(m->ctx, &m->want, &hfn);
    bool enough = p->pages[CORDON_FRAME_FREE] >= m->want.pages;

    pool_unlock(m->ctx);
    if (err == 0) {
        owner_note_run(m->ctx->cookie, PORT_NOTE_CLAIM, hfn, m->want.pages, CORDON_FRAME_HELD);
        m->out->hpa = cordon_hpa_make(hfn << CORDON_PAGE_SHIFT);
        return 0;
    }
    if (!enough) {
        return err; /* moving makes no frame free */
    }
    m->isolated = move_call(m->ctx);
    return make_room(m);
}

int cordon_run_make(cordon_ctx *ctx, const struct cordon_run_want *want, uint64_t budget,
                    struct cordon_run_made *out)
{
    struct make m = {.ctx = ctx, .patience = MOVE_PATIENCE_US, .out = out};
    int err =
        ctx != NULL && want != NULL && out != NULL ? want_check(want, &m.want) : -CORDON_EINVAL;

    if (err != 0) {
        return err;
    }
    if (!handle_is(ctx, HANDLE_CTX)) {
        return -CORDON_EHANDLE;
    }
    memset(out, 0, sizeof(*out));
    m.budget = budget != 0 ? budget >> CORDON_PAGE_SHIFT : UINT64_MAX / 2;
    err = make(&m);
    if (err == 0) {
        owner_scrub_run(ctx, out->hpa.v >> CORDON_PAGE_SHIFT, m.want.pages,
                        (want->flags & CORDON_RUN_NOZERO) != 0);
    }
    return err;
}
