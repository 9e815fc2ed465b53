/*
 * Contiguous memory on request, frames of a guest moved on purpose, and what could move.
 *
 * Records of STREAM_BLOCKS, 32 bytes, little-endian: first byte of the block (64 bits), bytes of
 * RAM in it (32), 1 if it is kept for what never moves (16), then frames of each enum
 * cordon_frame_kind (16 each).
 */
#include "manage/moves.h"

#include "core/tick.h"
#include "manage/manage.h"
#include "vm/guests.h"

#define BLOCKS_MAX 1024u /* 32 KiB: what the other end can take before it looks */
/* Of one command: the hart that carries it out does nothing else meanwhile, and whoever ends or
 * pauses the VM waits. */
#define MOVES_MAX 4096u
#define MOVED_MAX (UINT64_C(64) << 20)

struct record {
    uint64_t hpa;
    uint32_t len;
    uint16_t fixed;
    uint16_t pages[CORDON_KINDS];
};

_Static_assert(sizeof(struct record) == 32, "the format of moves.c");

static void add_moves(struct json *j, const struct cordon_moves *m, uint64_t us)
{
    json_u64(j, "moved", m->pages);
    json_u64(j, "large", m->large);
    json_u64(j, "stops", m->stops);
    json_u64(j, "longest_us", m->longest_us);
    json_u64(j, "us", us);
}

static void add_kinds(struct json *j, const struct cordon_run_made *made)
{
    static const char *const names[CORDON_KINDS] = {
        [CORDON_KIND_FREE] = "free",     [CORDON_KIND_MOVABLE] = "movable",
        [CORDON_KIND_PINNED] = "pinned", [CORDON_KIND_DEVICE] = "device",
        [CORDON_KIND_LENT] = "lent",     [CORDON_KIND_REVOKING] = "revoking",
        [CORDON_KIND_HELD] = "held",     [CORDON_KIND_TABLE] = "table",
        [CORDON_KIND_HYP] = "hyp"};

    json_object(j, "kinds");
    for (unsigned k = 0; k < CORDON_KINDS; k++) {
        json_u64(j, names[k], made->kinds[k]);
    }
    json_object_end(j);
}

int manage_compact(const uint64_t want[4])
{
    struct cordon_run_want w = {.size = sizeof(w),
                                .flags = CORDON_RUN_NOZERO, /* it is free again at once */
                                .len = want[0],
                                .align = want[1],
                                .boundary = want[2],
                                .highest = want[3]};
    struct cordon_run_made made = {.places = 0};
    struct manage_event e;
    uint64_t start = time_us();
    int err = cordon_run_make(guests_ctx(), &w, MOVED_MAX, &made);
    uint64_t took = time_us() - start;
    struct json *j;

    if (err == -CORDON_EINVAL || err == -CORDON_EALIGN || err == -CORDON_ERANGE) {
        return err;
    }
    if (err == 0) {
        int freed = cordon_run_free(guests_ctx(), made.hpa, w.len);

        cordon_assert(freed == 0);
    }
    j = manage_event_begin(&e, "compact");
    json_hex(j, "hpa", made.hpa.v);
    json_hex(j, "len", w.len);
    json_text(j, "why", err != 0 ? cordon_strerror(err) : "", SIZE_MAX);
    json_u64(j, "places", made.places);
    add_moves(j, &made.moves, took);
    add_kinds(j, &made);
    manage_event_send(&e);
    return 0;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* COUNT times LEN bytes of RAM, at random. VM is held. */
static uint64_t move_some(struct vm *vm, uint64_t count, uint64_t seed, uint64_t len,
                          struct cordon_moves *sum, int *why)
{
    uint64_t refused = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = random_next(&seed) % (vm->config->ram_len / len) * len;
        struct cordon_moves m = {.pages = 0};

        int err = cordon_relocate(vm->domain, cordon_gpa_add(vm->config->ram_base, at), len, &m);

        refused += err != 0;
        *why = err != 0 ? err : *why;
        sum->pages += m.pages;
        sum->large += m.large;
        sum->stops += m.stops;
        sum->longest_us = m.longest_us > sum->longest_us ? m.longest_us : sum->longest_us;
    }
    return refused;
}

int manage_move(struct vm *vm, const uint64_t what[3])
{
    uint64_t len = what[2] != 0 ? what[2] : CORDON_PAGE_SIZE;
    struct cordon_moves sum = {.pages = 0};
    uint64_t start = time_us(), refused;
    struct manage_event e;
    struct json *j;
    int why = 0;

    if (len % CORDON_PAGE_SIZE != 0 || len > vm->config->ram_len) {
        return -CORDON_EALIGN;
    }
    if (what[0] > MOVES_MAX || len > MOVED_MAX || what[0] * len > MOVED_MAX) {
        return -CORDON_ELIMIT;
    }
    if (!vm_hold(vm)) {
        return -CORDON_ENOENT;
    }
    refused = move_some(vm, what[0], what[1], len, &sum, &why);
    vm_let_go(vm);
    j = manage_event_of(&e, "moved", vm);
    json_u64(j, "refused", refused);
    json_text(j, "why", why != 0 ? cordon_strerror(why) : "", SIZE_MAX);
    add_moves(j, &sum, time_us() - start);
    manage_event_send(&e);
    return 0;
}

void manage_send_blocks(struct channel *c, uint64_t from)
{
    static struct record records[BLOCKS_MAX]; /* one command at a time */
    struct cordon_block_info info;
    struct manage_event e;
    struct json *j;
    uint32_t count = 0;
    bool more = true;

    while (count < BLOCKS_MAX) {
        more = cordon_block_query(guests_ctx(), cordon_hpa_make(from), &info) == 0;
        if (!more) {
            break;
        }
        records[count] = (struct record){
            .hpa = info.hpa.v, .len = (uint32_t)info.len, .fixed = (uint16_t)info.fixed};
        for (unsigned k = 0; k < CORDON_KINDS; k++) {
            records[count].pages[k] = (uint16_t)info.pages[k];
        }
        count++;
        from = info.hpa.v + (UINT64_C(2) << 20);
    }
    if (count > 0) {
        channel_send(c, 'B', STREAM_BLOCKS, records, count * (uint32_t)sizeof(records[0]));
    }
    j = manage_event_begin(&e, "blocks");
    json_u64(j, "records", count);
    json_hex(j, "next", more ? from : 0);
    manage_event_send(&e);
}
