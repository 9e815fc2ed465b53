/*
 * The owner of every frame of RAM, for a judge outside.
 *
 * One command answers at most RECORDS_MAX records and says where to go on, since the device at the
 * other end drops what its reader has not taken.
 *
 * Records of 16 bytes, little-endian: first frame (64 bits), frames (32), domain (16), state (16,
 * enum cordon_frame_state); a run of equal owners is one record.
 */
#include "core/machine.h"
#include "manage/manage.h"
#include "vm/guests.h"

#define BATCH 512u
#define RECORDS_MAX 4096u /* 64 KiB: what the other end can take before it looks */

struct record {
    uint64_t first;
    uint32_t pages;
    uint16_t domain;
    uint16_t state;
};

struct writer {
    struct channel *channel;
    uint32_t count;
    uint64_t total;
    struct record batch[BATCH];
};

_Static_assert(sizeof(struct record) == 16, "the format of owners.c");

static void flush(struct writer *w)
{
    if (w->count > 0) {
        channel_send(w->channel, 'B', STREAM_OWNERS, w->batch,
                     (uint32_t)(w->count * sizeof(w->batch[0])));
        w->total += w->count;
        w->count = 0;
    }
}

static struct record record_of(uint64_t hfn, const struct cordon_frame_info *info)
{
    return (struct record){
        .first = hfn, .pages = 1, .domain = (uint16_t)info->domain, .state = (uint16_t)info->state};
}

/* Does ONE go on where the run before it ends? */
static bool goes_on(const struct record *run, const struct record *one)
{
    return run->first + run->pages == one->first && run->state == one->state &&
           run->domain == one->domain && run->pages < UINT32_MAX;
}

/* False: there is no room. */
static bool write_frame(struct writer *w, const struct record *one)
{
    if (w->count > 0 && goes_on(&w->batch[w->count - 1], one)) {
        w->batch[w->count - 1].pages++;
        return true;
    }
    if (w->count == BATCH) {
        flush(w);
    }
    if (w->total + w->count == RECORDS_MAX) {
        return false;
    }
    w->batch[w->count++] = *one;
    return true;
}

/* Records of [AT, END), which is RAM, while there is room. Returns where it stopped. Many frames
 * are asked about at once: each question waits for its turn among those who allocate. */
static uint64_t write_bank(struct writer *w, uint64_t at, uint64_t end)
{
    static struct cordon_frame_info info[CORDON_FRAMES_QUERY]; /* one command at a time */

    while (at < end) {
        uint64_t left = (end - at) >> CORDON_PAGE_SHIFT;
        uint32_t count = left < CORDON_FRAMES_QUERY ? (uint32_t)left : CORDON_FRAMES_QUERY;
        int err = cordon_frames_query(guests_ctx(), cordon_hpa_make(at), info, count);

        cordon_assert(err == 0);
        for (uint32_t i = 0; i < count; i++, at += CORDON_PAGE_SIZE) {
            struct record one = record_of(at >> CORDON_PAGE_SHIFT, &info[i]);

            if (!write_frame(w, &one)) {
                return at;
            }
        }
    }
    return at;
}

void manage_send_owners(struct channel *c, uint64_t from)
{
    static struct writer w;
    struct manage_event e;
    struct json *j;
    uint64_t next = 0;

    w.channel = c;
    w.total = 0;
    for (uint32_t i = 0; i < machine.bank_count && next == 0; i++) {
        uint64_t end = machine.bank[i].hpa.v + machine.bank[i].len;

        if (from < end) {
            uint64_t start = machine.bank[i].hpa.v;
            uint64_t at = from > start ? from & ~(CORDON_PAGE_SIZE - 1) : start;

            at = write_bank(&w, at, end);

            next = at < end ? at : 0;
        }
    }
    flush(&w);
    j = manage_event_begin(&e, "owners");
    json_u64(j, "records", w.total);
    json_hex(j, "next", next);
    manage_event_send(&e);
}
