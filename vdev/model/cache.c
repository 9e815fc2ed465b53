/*
 * A cache of translations: bounded, deterministic, and faithful to what it was given. An entry goes
 * when it is told to, or when its set is full and its turn has come, never because memory changed.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

int cache_create(struct cache *c, uint32_t entries)
{
    c->entries = calloc(entries, sizeof(*c->entries));
    c->space_epochs = calloc(SPACES, sizeof(*c->space_epochs));
    c->set_mask = entries / WAYS - 1;
    return c->entries != NULL && c->space_epochs != NULL ? 0 : CORDON_MODEL_ENOMEM;
}

void cache_destroy(struct cache *c)
{
    free(c->entries);
    free(c->space_epochs);
}

static struct entry *set_of(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
                            uint32_t shift)
{
    uint64_t key = (page >> shift) ^ (uint64_t)space << 40 ^ (uint64_t)pscid << 20 ^ shift;

    key *= 0x9e3779b97f4a7c15ull;
    return &c->entries[((key >> 40) & c->set_mask) * WAYS];
}

static bool is_live(const struct cache *c, const struct entry *e)
{
    return e->valid && e->epoch == c->epoch && e->space_epoch == c->space_epochs[e->space];
}

static bool covers(const struct entry *e, uint64_t page)
{
    return e->page == page >> e->shift << e->shift;
}

struct entry *cache_find_at(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
                            uint32_t shift)
{
    struct entry *set = set_of(c, space, pscid, page, shift);

    for (uint32_t i = 0; i < WAYS; i++) {
        if (is_live(c, &set[i]) && set[i].space == space && set[i].pscid == pscid &&
            set[i].shift == shift && covers(&set[i], page)) {
            return &set[i];
        }
    }
    return NULL;
}

struct entry *cache_find(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page)
{
    for (uint64_t left = c->shifts; left != 0; left &= left - 1) {
        uint32_t shift = (uint32_t)__builtin_ctzll(left);
        struct entry *e = cache_find_at(c, space, pscid, page, shift);

        if (e != NULL) {
            return e;
        }
    }
    return NULL;
}

void cache_put_at(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
                  const struct leaf *leaf)
{
    struct entry *set = set_of(c, space, pscid, page, leaf->shift);
    struct entry *e = cache_find_at(c, space, pscid, page, leaf->shift);

    for (uint32_t i = 0; i < WAYS && e == NULL; i++) {
        e = is_live(c, &set[i]) ? NULL : &set[i];
    }
    if (e == NULL) {
        e = &set[c->victim++ % WAYS];
    }
    *e = (struct entry){.page = page >> leaf->shift << leaf->shift,
                        .ppn = leaf->ppn,
                        .space = space,
                        .pscid = pscid,
                        .space_epoch = c->space_epochs[space],
                        .epoch = c->epoch,
                        .valid = 1,
                        .shift = leaf->shift,
                        .perms = leaf->perms,
                        .pbmt = leaf->pbmt,
                        .global = leaf->global,
                        .dirty = leaf->dirty};
    c->shifts |= BIT(leaf->shift);
}

void cache_put(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
               const struct leaf *leaf)
{
    struct entry *e = cache_find(c, space, pscid, page);

    if (e != NULL && e->shift != leaf->shift) {
        e->valid = 0; /* another size: it stands in another set */
    }
    cache_put_at(c, space, pscid, page, leaf);
}

void cache_flush(struct cache *c)
{
    c->epoch++;
    c->shifts = 0;
    if (c->epoch == 0) { /* wrapped: entries of long ago would live again */
        memset(c->entries, 0, (c->set_mask + 1) * WAYS * sizeof(*c->entries));
    }
}

void cache_flush_space(struct cache *c, uint32_t space)
{
    if (++c->space_epochs[space] == 0) {
        cache_flush(c);
    }
}

static bool is_matched(const struct entry *e, const struct cache_match *match)
{
    return (!match->by_space || e->space == match->space) &&
           (!match->hosts || e->space == HOST_SPACE) &&
           (!match->by_page || covers(e, match->page)) &&
           (!match->by_pscid || (e->pscid == match->pscid && !e->global));
}

/* One page of one address space: only its sets are looked at. */
void cache_drop_page(struct cache *c, uint32_t space, uint64_t page)
{
    struct entry *e = cache_find(c, space, 0, page);

    while (e != NULL) {
        e->valid = 0;
        e = cache_find(c, space, 0, page);
    }
}

void cache_drop(struct cache *c, const struct cache_match *match)
{
    for (uint32_t i = 0; i < (c->set_mask + 1) * WAYS; i++) {
        if (c->entries[i].valid && is_matched(&c->entries[i], match)) {
            c->entries[i].valid = 0;
        }
    }
}
