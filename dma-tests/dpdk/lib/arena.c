/* An arena: the slots of packets in its first half, the border in its middle. */
#include "lib/arena.h"
#include "lib/json.h"
#include "lib/tool.h"
#include <rte_errno.h>
#include <rte_memzone.h>

#define PAGE 4096u
#define BORDER (2u << 20)
#define SLOT_BYTES (32u << 10)
#define LEAD 64u /* of a slot: what stands before its first piece is the slot's own, too */

_Static_assert(ARENA_SLOTS *SLOT_BYTES + SLOT_BYTES <= BORDER, "slots end before the border's");
_Static_assert(SHAPE_SIZE_MAX + SHAPE_SEGMENTS_MAX * 64 + PAGE + 64 + LEAD <= SLOT_BYTES,
               "a packet fits into a slot");

void arena_make(struct arena *a, const char *name)
{
    const struct rte_memzone *zone = rte_memzone_reserve_aligned(name, 2 * BORDER, SOCKET_ID_ANY,
                                                                 RTE_MEMZONE_IOVA_CONTIG, BORDER);

    if (zone == NULL) {
        tool_cannot("no 4 MiB of contiguous memory for packets: %s; give the guest more huge pages",
                    rte_strerror(rte_errno));
    }
    *a = (struct arena){.at = zone->addr, .iova = zone->iova, .seen.size_least = UINT32_MAX};
}

static void note(struct arena_seen *seen, uint64_t offset, uint32_t len)
{
    seen->segments++;
    seen->across_4k += offset / PAGE != (offset + len - 1) / PAGE;
    seen->across_2m += offset / BORDER != (offset + len - 1) / BORDER;
    seen->alignments |= UINT64_C(1) << offset % 64;
    seen->size_least = len < seen->size_least ? len : seen->size_least;
    seen->size_most = len > seen->size_most ? len : seen->size_most;
}

/* Where the segment of interest begins, at or behind AT, so that CUT bytes stand before the border.
 */
static uint32_t before_border(const struct shape *s, uint32_t at)
{
    return (at + s->cut + PAGE - 1) / PAGE * PAGE - s->cut;
}

void arena_place(struct arena *a, uint32_t number, const struct shape *s, struct piece *pieces)
{
    uint32_t at = number % ARENA_SLOTS * SLOT_BYTES + LEAD;

    for (unsigned k = 0; k < s->count; k++) {
        uint32_t place = (at + 63) / 64 * 64 + s->align[k];

        if (k == s->of_interest && s->border == SHAPE_4K) {
            place = before_border(s, at);
        }
        at = place + s->len[k];
        if (k == s->of_interest && s->border == SHAPE_2M) {
            place = BORDER - s->cut;
            at -= s->len[k];
        }
        pieces[k] = (struct piece){a->at + place, a->iova + place, s->len[k]};
        note(&a->seen, place, s->len[k]);
    }
    if (s->count > a->seen.count_most) {
        a->seen.count_most = s->count;
    }
}

void arena_say(const struct arena_seen *seen)
{
    json_number("size_least", seen->segments == 0 ? 0 : seen->size_least);
    json_number("size_most", seen->size_most);
    json_number("alignments", (uint64_t)__builtin_popcountll(seen->alignments));
    json_number("across_4k", seen->across_4k);
    json_number("across_2m", seen->across_2m);
}
