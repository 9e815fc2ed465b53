/* Frames that stay where they are for a while: see cordon_hold. */
#include "core/ctx.h"
#include "move/move.h"
#include "port_word.h"

struct cordon_domain *move_lock(struct cordon_ctx *ctx, uint32_t number, uint64_t *patience,
                                bool *held)
{
    uint64_t start = 0, left = *patience;
    bool waits = false;

    *held = false;
    for (;;) {
        struct cordon_domain *d = domain_lock(ctx, number);

        if (d == NULL) {
            return NULL;
        }
        if (waits) {
            uint64_t waited = cordon_port_time_us(ctx->cookie) - start;

            *patience = waited < left ? left - waited : 0;
            d->movers -= d->movers != 0;
        } else {
            start = d->holds != 0 ? cordon_port_time_us(ctx->cookie) : 0;
        }
        if (d->holds == 0) {
            return d;
        }
        *held = *patience == 0;
        waits = !*held;
        d->movers += waits;
        lock_give(&d->lock);
        if (*held) {
            return NULL;
        }
        cordon_port_relax(ctx->cookie);
        port_wait();
    }
}

void cordon_hold(cordon_domain *d)
{
    bool got = d == NULL || !handle_is(d, HANDLE_DOMAIN);

    while (!got) {
        lock_take(&d->lock);
        got = d->movers == 0 || d->holds != 0; /* who waits to move has his turn first */
        d->holds += got;
        lock_give(&d->lock);
        if (!got) {
            cordon_port_relax(d->ctx->cookie);
            port_wait();
        }
    }
}

void cordon_let_go(cordon_domain *d)
{
    if (d != NULL && handle_is(d, HANDLE_DOMAIN)) {
        lock_take(&d->lock);
        d->holds -= d->holds != 0;
        lock_give(&d->lock);
    }
}
