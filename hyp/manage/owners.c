/*
 * The owner of every frame of RAM, for a judge outside.
 *
 * Records of 16 bytes, little-endian: first frame (64 bits), frames (32), domain (16), state (16,
 * enum cordon_frame_state); a run of equal owners is one record.
 */
#include "core/machine.h"
#include "manage/manage.h"
#include "vm/guests.h"

#define BATCH 512u

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

static void add(struct writer *w, const struct record *r)
{
    w->batch[w->count++] = *r;
    if (w->count == BATCH) {
        flush(w);
    }
}

static void write_bank(struct writer *w, struct cordon_extent bank)
{
    struct record run = {0};

    for (uint64_t at = 0; at < bank.len; at += CORDON_PAGE_SIZE) {
        cordon_hpa hpa = cordon_hpa_add(bank.hpa, at);
        struct cordon_frame_info info;
        int err = cordon_frame_query(guests_ctx(), hpa, &info);

        cordon_assert(err == 0);
        if (run.pages != 0 && run.state == info.state && run.domain == info.domain &&
            run.pages != UINT32_MAX) {
            run.pages++;
            continue;
        }
        if (run.pages != 0) {
            add(w, &run);
        }
        run = (struct record){.first = hpa.v >> CORDON_PAGE_SHIFT,
                              .pages = 1,
                              .domain = (uint16_t)info.domain,
                              .state = (uint16_t)info.state};
    }
    if (run.pages != 0) {
        add(w, &run);
    }
}

void manage_send_owners(struct channel *c)
{
    static struct writer w;
    struct manage_event e;

    w.channel = c;
    w.total = 0;
    for (uint32_t i = 0; i < machine.bank_count; i++) {
        write_bank(&w, machine.bank[i]);
    }
    flush(&w);
    json_u64(manage_event_begin(&e, "owners"), "records", w.total);
    manage_event_send(&e);
}
