/* Walking a run of frames block by block, for those who change owners. */
#ifndef CORDON_MAP_OWNER_H
#define CORDON_MAP_OWNER_H

#include "map/pool.h"
#include "port_word.h"

/* The part of a run that lies in one block. */
struct part {
    struct frame_block *block;
    uint64_t index, pages;
};

/* The first part of the run at HFN; false when it is no RAM. */
static inline bool part_first(const struct frame_pool *p, uint64_t hfn, uint64_t pages,
                              struct part *out)
{
    uint64_t index = hfn & (BLOCK_FRAMES - 1);
    uint64_t room = BLOCK_FRAMES - index;

    out->block = pool_block(p, hfn);
    out->index = index;
    out->pages = room < pages ? room : pages;
    return out->block != NULL;
}

/* The same where a caller of ours has made sure that it is RAM. */
static inline struct part part_at(const struct frame_pool *p, uint64_t hfn, uint64_t pages)
{
    struct part at;
    bool ram = part_first(p, hfn, pages, &at);

    cordon_assert(ram);
    return at;
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
