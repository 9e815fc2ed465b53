/* The order checker: harts and IOMMUs that are told, frames that are claimed and freed. */
#include "order_parts.h"

#include <stdlib.h>

/* ---- harts -------------------------------------------------------------------------------- */

static uint32_t domain_of(const struct waiting *w)
{
    return w->who != NULL ? OWNER_DOMAIN(*w->who) : w->frame->table->domain;
}

/* Those of HARTS that do not run it remember nothing of a domain. */
static void forget(struct order_run *run, uint64_t harts)
{
    run->harts &= ~harts | run->inside;
}

void order_hart_fence(struct record_order *o, uint64_t harts, uint16_t vmid, uint64_t gpa,
                      uint64_t len)
{
    order_step(o);
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        uint64_t at = w->who != NULL ? OWNER_GFN(*w->who) << CORDON_PAGE_SHIFT : 0;
        bool inside = len == 0 || (w->who != NULL && at >= gpa && at - gpa < len);

        if (w->since < o->fence && inside && o->run[domain_of(w)].vmid == vmid) {
            w->untold &= ~harts;
        }
    }
    for (uint32_t d = 0; d < CORDON_MAX_DOMAINS && len == 0; d++) {
        if (o->run[d].vmid == vmid) {
            forget(&o->run[d], harts);
        }
    }
}

void order_hart_fence_all(struct record_order *o, uint64_t harts)
{
    order_step(o);
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        w->untold &= w->since < o->fence ? ~harts : UINT64_MAX;
    }
    for (uint32_t d = 0; d < CORDON_MAX_DOMAINS; d++) {
        forget(&o->run[d], harts);
    }
}

static void enter(struct record_order *o, uint64_t who, uint64_t root)
{
    struct order_run *run = &o->run[who % CORDON_MAX_DOMAINS];
    uint64_t hart = UINT64_C(1) << (who >> 16 & 63);
    struct frame *f = frame_find(&o->frames, root >> CORDON_PAGE_SHIFT);

    for (uint32_t d = 0; d < CORDON_MAX_DOMAINS; d++) {
        if (&o->run[d] != run && o->run[d].vmid == (uint16_t)(who >> 32) &&
            (o->run[d].harts & hart) != 0) {
            order_fail(o, "a hart runs a domain under a VMID that it remembers of another");
        }
    }
    if ((run->harts & hart) == 0) { /* it forgets all before it goes in */
        o->anew[who >> 16 & 63] = o->now;
    }
    run->vmid = (uint16_t)(who >> 32);
    run->inside |= hart;
    run->harts |= hart;
    if (f != NULL && f->table != NULL) {
        order_root_runs(o, f->table, (uint32_t)(who % CORDON_MAX_DOMAINS));
    }
}

/* ---- commands ----------------------------------------------------------------------------- */

#define COMMAND_IOTINVAL_GVMA 0x81u
#define COMMAND_IOFENCE 2u
#define COMMAND_CODE 0x3ffu
#define COMMAND_AV (UINT64_C(1) << 10)
#define COMMAND_GV (UINT64_C(1) << 33)

/* Views by their GSCID: (view - 1) * 4096 + domain. */
static void command_invalidate(struct record_order *o, uint64_t first, uint64_t second)
{
    uint32_t gscid = (uint32_t)(first >> 44) & 0xffffu;
    uint32_t domain = gscid % CORDON_MAX_DOMAINS;
    uint32_t views = 1u << (gscid / CORDON_MAX_DOMAINS + 1);
    uint64_t page = second >> 10 & ((UINT64_C(1) << 52) - 1);

    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        bool table = w->who == NULL;
        bool ours = (first & COMMAND_GV) == 0 || table || OWNER_DOMAIN(*w->who) == domain;
        bool inside = (first & COMMAND_AV) == 0 || (!table && OWNER_GFN(*w->who) == page);

        if (ours && inside && w->since < o->fence) {
            w->invalidated |= (first & COMMAND_GV) == 0 ? ~0u : views;
        }
    }
}

static void command(struct record_order *o, uint64_t first, uint64_t second)
{
    if ((first & COMMAND_CODE) == COMMAND_IOTINVAL_GVMA) {
        command_invalidate(o, first, second);
    }
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        if ((first & COMMAND_CODE) == COMMAND_IOFENCE) {
            w->fenced = w->invalidated;
        }
    }
}

/* The driver says that what it was asked for a domain is over. */
static void drained(struct record_order *o, uint32_t domain)
{
    for (struct waiting *w = o->frames.waiting; w != NULL; w = w->next) {
        w->drained |= w->who == NULL || OWNER_DOMAIN(*w->who) == domain ? w->fenced : 0;
    }
}

/* ---- claimed and freed -------------------------------------------------------------------- */

/* A frame that is OWNED gets another place. IOMMUs that have not answered keep it waiting. */
static void moved(struct record_order *o, struct frame *f)
{
    uint32_t views = o->expect[OWNER_DOMAIN(f->owner)];

    if (f->waiting.untold != 0) {
        order_fail(o, "a frame moved before harts were fenced for where it was");
    }
    if ((f->waiting.drained & views) == views) {
        waiting_done(&o->frames, &f->waiting);
    }
}

static void claim(struct record_order *o, uint64_t hfn, uint64_t pages, uint64_t word)
{
    bool owned = (word & OWNER_STATE) == CORDON_FRAME_OWNED;

    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);

        if (f->waiting.active && owned) {
            moved(o, f);
        }
        f->claimed = true;
        f->written = owned ? f->written : o->now;
        f->owner = owned ? word + (i << 16) : word;
        if ((word & OWNER_STATE) == CORDON_FRAME_TABLE) {
            frame_table(f);
            f->table->root = pages == 4;
            f->table->live = f->table->root;
            f->table->level = o->root_level;
        }
    }
}

/* Whoever could still write to what is copied would lose what he writes. */
static void copied(struct record_order *o, uint64_t hfn, uint64_t pages, uint64_t to)
{
    for (uint64_t i = 0; i < pages; i++) {
        const struct frame *f = frame_get(&o->frames, hfn + i);

        if (f->mapped != 0) {
            order_fail(o, "a frame was copied that a leaf still leads to");
        } else if (f->waiting.active && f->waiting.untold != 0) {
            order_fail(o, "a frame was copied before harts were fenced");
        } else if (o->flushes && f->flushed <= f->waiting.since) {
            order_fail(o, "a frame was copied that caches were not flushed of");
        }
        struct frame *copy = frame_get(&o->frames, to + i);

        copy->copied = o->now;
        copy->written = o->now;
        copy->stale = false;
    }
}

static void scrubbed(struct record_order *o, uint64_t hfn, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);

        if (f->mapped != 0) {
            order_fail(o, "a frame was scrubbed that a leaf still leads to");
        }
        f->stale = false;
        f->written = o->now;
    }
}

static void check_waited(struct record_order *o, const struct waiting *w, uint32_t views)
{
    if (!w->active) {
        return;
    }
    if (w->untold != 0) {
        order_fail(o, "freed before harts were fenced");
    } else if ((w->fenced & views) != views) {
        order_fail(o, "freed before the IOMMU was told, for every view");
    } else if ((w->drained & views) != views) {
        order_fail(o, "freed before the IOMMU was done");
    }
}

static void free_table(struct record_order *o, struct frame *f)
{
    struct table *t = f->table;

    if (t->root && t->live) {
        order_root_gone(o, t);
    } else if (t->live) { /* a root that died before it is freed after it, with nothing between */
        o->owed += !t->owed;
        t->owed = true;
        return;
    }
    check_waited(o, &t->waiting, 0);
    waiting_done(&o->frames, &t->waiting);
    frame_no_table(f);
}

/* ---- lent --------------------------------------------------------------------------------- */

static struct loan **loan_at(struct frame *f, uint64_t who)
{
    struct loan **at = &f->loans;

    while (*at != NULL && (*at)->who != who) {
        at = &(*at)->next;
    }
    return at;
}

static void lend(struct frame *f, uint64_t who)
{
    struct loan *loan = calloc(1, sizeof(*loan));

    loan->who = who;
    loan->next = f->loans;
    loan->waiting.frame = f;
    loan->waiting.who = &loan->who;
    f->loans = loan;
}

static void give_back(struct record_order *o, struct frame *f, uint64_t who)
{
    struct loan **at = loan_at(f, who), *loan = *at;

    if (loan == NULL) {
        order_fail(o, "a frame was given back that was not lent");
        return;
    }
    if (!loan->waiting.active) {
        order_fail(o, "a frame was given back before the borrower's leaf went");
    }
    check_waited(o, &loan->waiting, o->expect[OWNER_DOMAIN(who)]);
    waiting_done(&o->frames, &loan->waiting);
    *at = loan->next;
    free(loan);
}

static void loans_told(struct record_order *o, enum port_note note, uint64_t hfn, uint64_t pages,
                       uint64_t word)
{
    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);
        uint64_t who = word + (i << 16);

        if (note == PORT_NOTE_LEND) {
            lend(f, who);
            f->written = o->now;
        } else if (note == PORT_NOTE_RETURN) {
            give_back(o, f, who);
        } else if (*loan_at(f, who) != NULL) {
            (*loan_at(f, who))->recalled = true;
        }
    }
}

/* WORD is what the frames' ownership says until now. */
static void release(struct record_order *o, uint64_t hfn, uint64_t pages, uint64_t word)
{
    bool kept = (word & OWNER_STATE) == CORDON_FRAME_REVOKING && (word & OWNER_KEEP) != 0;

    for (uint64_t i = 0; i < pages; i++) {
        struct frame *f = frame_get(&o->frames, hfn + i);

        if (f->table != NULL) {
            free_table(o, f);
        }
        if (f->mapped != 0) {
            order_fail(o, "a frame was freed that a leaf still leads to");
        }
        if (f->loans != NULL) {
            order_fail(o, "a frame was freed that another domain borrows");
        }
        check_waited(o, &f->waiting, o->expect[OWNER_DOMAIN(f->owner)]);
        waiting_done(&o->frames, &f->waiting);
        f->claimed = true;
        f->copied = 0;
        f->stale |= !kept; /* HELD again: with what it holds */
        f->written = o->now;
        f->owner = CORDON_FRAME_FREE;
    }
}

void order_note(struct record_order *o, enum port_note note, uint64_t a, uint64_t b)
{
    uint64_t hfn = a >> CORDON_PAGE_SHIFT;
    uint64_t pages = (a & (CORDON_PAGE_SIZE - 1)) + 1;

    if (note == PORT_NOTE_FREE) {
        o->now++;
    } else {
        order_step(o);
    }
    switch (note) {
    case PORT_NOTE_CLAIM:
        claim(o, hfn, pages, b);
        break;
    case PORT_NOTE_FREE:
        release(o, hfn, pages, b);
        break;
    case PORT_NOTE_COMMAND:
        command(o, a, b);
        break;
    case PORT_NOTE_DRAIN:
        if (b == 0) {
            drained(o, (uint32_t)a);
        }
        break;
    case PORT_NOTE_COPY:
        copied(o, hfn, pages, b >> CORDON_PAGE_SHIFT);
        break;
    case PORT_NOTE_SCRUB:
        scrubbed(o, hfn, pages);
        break;
    case PORT_NOTE_LEND:
    case PORT_NOTE_RECALL:
    case PORT_NOTE_RETURN:
        loans_told(o, note, hfn, pages, b);
        break;
    case PORT_NOTE_ENTER:
        enter(o, a, b);
        break;
    case PORT_NOTE_LEAVE:
        o->run[a % CORDON_MAX_DOMAINS].inside &= ~(UINT64_C(1) << (a >> 16 & 63));
        break;
    }
}
