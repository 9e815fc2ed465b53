/* Orders carried out by edu functions side by side: see waves.h. */
#include "lib/waves.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SLOT_BYTES 64u /* place of one order in a buffer */
#define SLOTS (EDU_BUFFER / SLOT_BYTES)
#define SHOWN_BYTES 16u

void pattern_fill(uint8_t *at, const char *pattern)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        at[i] = (uint8_t)pattern[i % PATTERN_BYTES];
    }
}

void worker_load(struct worker *w, const char *pattern)
{
    edu_wait(&w->edu);
    pattern_fill(w->from.at, pattern);
    edu_fetch(&w->edu, w->from.gpa, PAGE_BYTES);
}

static void act(struct worker *w, const struct order *o, uint32_t offset)
{
    switch (o->kind) {
    case KIND_READ:
        edu_fetch_at(&w->edu, o->iova, o->len, offset);
        break;
    case KIND_WRITE:
        edu_store(&w->edu, o->iova, o->len);
        break;
    case KIND_MESSAGE:
        edu_wait(&w->edu);
        edu_message(&w->edu, o->iova, (uint16_t)o->len);
        break;
    case KIND_OWN: /* the buffer holds the marker; looking at it is the way back */
    case KIND_COUNT:
        break;
    }
}

static void look(struct worker *w)
{
    edu_wait(&w->edu);
    memset(w->to.at, 0xff, PAGE_BYTES);
    edu_store(&w->edu, w->to.gpa, PAGE_BYTES);
}

static unsigned count_nonzero(const uint8_t *at, uint32_t len)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < len; i++) {
        n += at[i] != 0;
    }
    return n;
}

static void answer_read(const struct order *o, size_t by, const uint8_t *got)
{
    uint32_t part = o->len < PATTERN_BYTES ? o->len : PATTERN_BYTES;

    printf("CORDON-ROGUE read %s %#" PRIx64 " by=%zu leaked=%u%s first=", o->name, o->iova, by,
           count_nonzero(got, o->len), memcmp(got, IDLE, part) == 0 ? " idle" : "");
    for (unsigned i = 0; i < SHOWN_BYTES && i < o->len; i++) {
        printf("%02x", got[i]);
    }
    printf("\n");
}

static void answer(const struct worker *w, size_t by, const struct order *o, uint32_t offset)
{
    switch (o->kind) {
    case KIND_READ:
        answer_read(o, by, w->to.at + offset);
        break;
    case KIND_OWN:
        printf("CORDON-ROGUE own %s by=%zu %s\n", o->name, by,
               memcmp(w->from.at, w->to.at, PAGE_BYTES) == 0 ? "good" : "bad");
        break;
    default:
        printf("CORDON-ROGUE %s %s %#" PRIx64 " by=%zu sent\n",
               o->kind == KIND_WRITE ? "write" : "message", o->name, o->iova, by);
    }
}

/* Orders of one kind that fit into the buffers together: load, act, look, answer. */
static void run_batch(struct worker *w, size_t workers, const struct order *o, size_t count)
{
    size_t used = count < workers ? count : workers;
    bool looks = o->kind == KIND_READ || o->kind == KIND_OWN;

    for (size_t i = 0; i < used && o->kind != KIND_MESSAGE; i++) {
        worker_load(&w[i], o->kind == KIND_READ ? IDLE : MARKER);
    }
    for (size_t i = 0; i < count; i++) {
        act(&w[i % workers], &o[i], (uint32_t)(i / workers) * SLOT_BYTES);
    }
    for (size_t i = 0; i < used && looks; i++) {
        look(&w[i]);
    }
    for (size_t i = 0; i < used; i++) {
        edu_wait(&w[i].edu);
    }
    for (size_t i = 0; i < count; i++) {
        answer(&w[i % workers], i % workers, &o[i], (uint32_t)(i / workers) * SLOT_BYTES);
    }
}

/* True if an order of this kind needs a buffer for itself. */
static bool needs_whole(const struct order *o)
{
    return o->kind == KIND_OWN || (o->kind == KIND_READ && o->len > SLOT_BYTES);
}

void waves_run(struct worker *w, size_t workers, const struct order *o, size_t count)
{
    for (size_t at = 0, n; at < count; at += n) {
        size_t most = needs_whole(&o[at]) ? workers : workers * SLOTS;

        for (n = 1; at + n < count && n < most; n++) {
            if (o[at + n].kind != o[at].kind || needs_whole(&o[at + n]) != needs_whole(&o[at])) {
                break;
            }
        }
        run_batch(w, workers, &o[at], n);
    }
}
