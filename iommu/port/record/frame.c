/* Frames by number, and the list of those that wait. */
#include "frame.h"

#include <stdlib.h>

#define SLOTS_FIRST 1024u

static size_t slot_of(const struct frames *s, uint64_t hfn)
{
    size_t i = (size_t)(hfn * UINT64_C(0x9e3779b97f4a7c15) >> 20) % s->slots;

    while (s->slot[i] != NULL && s->slot[i]->hfn != hfn) {
        i = (i + 1) % s->slots;
    }
    return i;
}

void frames_init(struct frames *s)
{
    *s = (struct frames){.slots = SLOTS_FIRST};
    s->slot = calloc(s->slots, sizeof(struct frame *));
}

void frames_end(struct frames *s)
{
    for (size_t i = 0; i < s->slots; i++) {
        if (s->slot[i] != NULL) {
            while (s->slot[i]->loans != NULL) {
                struct loan *loan = s->slot[i]->loans;

                s->slot[i]->loans = loan->next;
                free(loan);
            }
            free(s->slot[i]->table);
            free(s->slot[i]);
        }
    }
    free(s->slot);
}

static void grow(struct frames *s)
{
    struct frame **old = s->slot;
    size_t slots = s->slots;

    s->slots = slots * 2;
    s->slot = calloc(s->slots, sizeof(struct frame *));
    for (size_t i = 0; i < slots; i++) {
        if (old[i] != NULL) {
            s->slot[slot_of(s, old[i]->hfn)] = old[i];
        }
    }
    free(old);
}

struct frame *frame_find(const struct frames *s, uint64_t hfn)
{
    return s->slot[slot_of(s, hfn)];
}

struct frame *frame_get(struct frames *s, uint64_t hfn)
{
    struct frame *f = frame_find(s, hfn);

    if (f != NULL) {
        return f;
    }
    if (s->used * 2 > s->slots) {
        grow(s);
    }
    f = calloc(1, sizeof(*f));
    f->hfn = hfn;
    f->waiting.frame = f;
    f->waiting.who = &f->owner;
    s->slot[slot_of(s, hfn)] = f;
    s->used++;
    return f;
}

void frame_table(struct frame *f)
{
    free(f->table);
    f->table = calloc(1, sizeof(*f->table));
    f->table->waiting.frame = f;
}

void frame_no_table(struct frame *f)
{
    free(f->table);
    f->table = NULL;
}

void waiting_list(struct frames *s, struct waiting *w)
{
    struct frame *frame = w->frame;
    const uint64_t *who = w->who;
    bool listed = w->active;
    struct waiting *next = w->next, *prev = w->prev;

    *w = (struct waiting){.active = true, .frame = frame, .who = who, .next = next, .prev = prev};
    if (listed) {
        return;
    }
    w->prev = NULL;
    w->next = s->waiting;
    if (w->next != NULL) {
        w->next->prev = w;
    }
    s->waiting = w;
}

void waiting_done(struct frames *s, struct waiting *w)
{
    struct frame *frame = w->frame;
    const uint64_t *who = w->who;

    if (w->active) {
        if (w->prev != NULL) {
            w->prev->next = w->next;
        } else {
            s->waiting = w->next;
        }
        if (w->next != NULL) {
            w->next->prev = w->prev;
        }
    }
    *w = (struct waiting){.frame = frame, .who = who};
}
