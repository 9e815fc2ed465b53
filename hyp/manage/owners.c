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

static struct record record_of(cordon_hpa hpa)
{
    struct cordon_frame_info info;
    int err = cordon_frame_query(guests_ctx(), hpa, &info);

    cordon_assert(err == 0);
    return (struct record){.first = hpa.v >> CORDON_PAGE_SHIFT,
                           .pages = 1,
                           .domain = (uint16_t)info.domain,
                           .state = (uint16_t)info.state};
}

/* The run of equal owners that starts at HPA, and ends before END at the latest. */
static struct record run_from(cordon_hpa hpa, uint64_t end)
{
    struct record run = record_of(hpa);

    for (;;) {
        cordon_hpa next = cordon_hpa_add(hpa, (uint64_t)run.pages << CORDON_PAGE_SHIFT);
        struct record more;

        if (next.v >= end || run.pages == UINT32_MAX) {
            return run;
        }
        more = record_of(next);
        if (more.state != run.state || more.domain != run.domain) {
            return run;
        }
        run.pages++;
    }
}

/* Records of BANK from AT on, while there is room. Returns where it stopped. */
static uint64_t write_bank(struct writer *w, struct cordon_extent bank, uint64_t at)
{
    uint64_t end = bank.hpa.v + bank.len;

    at = at > bank.hpa.v ? at : bank.hpa.v;
    while (at < end && w->total + w->count < RECORDS_MAX) {
        struct record run = run_from(cordon_hpa_make(at), end);

        w->batch[w->count++] = run;
        at += (uint64_t)run.pages << CORDON_PAGE_SHIFT;
        if (w->count == BATCH) {
            flush(w);
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
            uint64_t at = write_bank(&w, machine.bank[i], from);

            next = at < end ? at : 0;
        }
    }
    flush(&w);
    j = manage_event_begin(&e, "owners");
    json_u64(j, "records", w.total);
    json_hex(j, "next", next);
    manage_event_send(&e);
}
