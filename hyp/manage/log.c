/*
 * Dirty logging of a guest's RAM by command: on, off, harvested piece by piece, and large leaves
 * afterwards. [cordon/log.h]
 *
 * One command harvests at most 128 MiB, with one round of fences: a bitmap on STREAM_DIRTY, bit i
 * of byte i / 8 for page FROM + i * 4096, and an event "vm-harvest" that says where to go on. Pages
 * without memory read as 0. Logging begins and ends in pieces: a guest's vCPUs wait for one of them
 * at most.
 */
#include "core/console.h"
#include "core/tick.h"
#include "manage/manage.h"
#include "vm/guests.h"
#include "vm/vm.h"

#include <string.h>

#define PIECE (UINT64_C(128) << 20)
#define PIECE_WORDS (PIECE / CORDON_PAGE_SIZE / 64)
#define MARK_PIECE (UINT64_C(16) << 20) /* under one hold of the map's lock */
#define MARK_RUNS 32u
#define UNDO_BYTES (UINT64_C(4) << CORDON_PAGE_SHIFT)

/* Run FN while VM runs, and nobody else changes its map. */
static int with_map(struct vm *vm, int (*fn)(struct vm *vm, void *arg), void *arg)
{
    int err;

    if (!vm_hold(vm)) {
        return -CORDON_ENOENT;
    }
    cordon_lock_take(&vm->map_lock);
    err = fn(vm, arg);
    cordon_lock_give(&vm->map_lock);
    vm_let_go(vm);
    return err;
}

/* ---- on and off --------------------------------------------------------------------------- */

/* The next region of the guest's own RAM from GPA on, as far as END. False: there is none. */
static bool next_region(const struct vm *vm, uint64_t gpa, uint64_t end,
                        struct cordon_region_info *out)
{
    const uint32_t others = CORDON_REGION_MMIO | CORDON_REGION_SHARED;

    while (gpa < end && cordon_region_find(vm->domain, cordon_gpa_make(gpa), true, out) == 0 &&
           out->gpa.v < end) {
        if ((out->flags & others) == 0) {
            return true;
        }
        gpa = out->gpa.v + out->len;
    }
    return false;
}

/* What is to be marked: the parts of RAM that are not as they are to be. */
struct marking {
    uint32_t log; /* CORDON_REGION_LOG, or 0 */
    uint32_t runs;
    struct {
        uint64_t gpa, end;
    } run[MARK_RUNS];
    uint64_t at, end; /* the part of a run that is left */
    bool was;         /* whether what the guest takes again was logged */
};

/* Where there are more parts than runs, the last run has what lies between, too. */
static int list_runs(struct vm *vm, void *arg)
{
    struct marking *m = arg;
    uint64_t at = vm->config->ram_base.v, end = at + vm->config->ram_len;
    struct cordon_region_info r;
    bool apart = true;

    m->was = vm->logged;
    vm->logged = m->log != 0; /* what the guest takes while we are at it is so, too */
    for (; next_region(vm, at, end, &r); at = r.gpa.v + r.len) {
        bool differs = (r.flags & CORDON_REGION_LOG) != m->log;

        if (differs && apart && m->runs < MARK_RUNS) {
            m->run[m->runs++].gpa = r.gpa.v > at ? r.gpa.v : at;
        }
        if (differs) {
            m->run[m->runs - 1].end = r.gpa.v + r.len < end ? r.gpa.v + r.len : end;
        }
        apart = !differs;
    }
    return 0;
}

/* The next piece of M->at..end; others may change the map between two. */
static int mark_piece(struct vm *vm, void *arg)
{
    struct marking *m = arg;
    struct cordon_region_info r;

    if (!next_region(vm, m->at, m->end, &r)) {
        m->at = m->end;
        return 0;
    }
    uint64_t from = r.gpa.v > m->at ? r.gpa.v : m->at;
    uint64_t to = r.gpa.v + r.len < m->end ? r.gpa.v + r.len : m->end;

    to = to - from < MARK_PIECE ? to : from + MARK_PIECE;
    const struct cordon_op op = {.kind = CORDON_OP_MARK,
                                 .flags = (r.flags & CORDON_REGION_PIN) | m->log,
                                 .gpa = cordon_gpa_make(from),
                                 .len = to - from};
    int err = cordon_change(vm->domain, &op, 1);

    m->at = err == 0 || err == -CORDON_EPENDING ? to : m->at;
    return err;
}

static int mark_run(struct vm *vm, struct marking *m, uint64_t gpa, uint64_t end)
{
    int err = 0;

    m->at = gpa;
    m->end = end;
    while (err == 0 && m->at < m->end) {
        err = with_map(vm, mark_piece, m);
    }
    return err;
}

/* Runs up to number LAST, and of that one as much as was done, are as they were. */
static void unmark(struct vm *vm, struct marking *m, uint32_t last)
{
    uint64_t done = m->at;

    m->log ^= CORDON_REGION_LOG;
    for (uint32_t i = 0; i <= last; i++) {
        int err = mark_run(vm, m, m->run[i].gpa, i == last ? done : m->run[i].end);

        if (err != 0 && err != -CORDON_ENOENT) {
            log_line("%s: 0x%lx..0x%lx cannot be as it was, logged or not: %s", vm_name(vm), m->at,
                     m->end, cordon_strerror(err));
        }
    }
}

/* All of it, or nothing. What memory undoing may take is set aside while tables are taken. */
static int mark(struct vm *vm, struct marking *m)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = UNDO_BYTES};
    cordon_hpa aside;
    uint32_t i = 0;
    bool takes = m->log != 0;
    int err = takes ? cordon_run_alloc(guests_ctx(), &want, &aside) : 0;

    if (err != 0) {
        return err;
    }
    while (err == 0 && i < m->runs) {
        err = mark_run(vm, m, m->run[i].gpa, m->run[i].end);
        i += err == 0;
    }
    if (takes) {
        int freed = cordon_run_free(guests_ctx(), aside, want.len);

        cordon_assert(freed == 0);
    }
    if (err != 0) {
        unmark(vm, m, i);
    }
    return err;
}

static int take_as_before(struct vm *vm, void *arg)
{
    vm->logged = ((const struct marking *)arg)->was;
    return 0;
}

int manage_log(struct vm *vm, bool on)
{
    struct marking m = {.log = on ? CORDON_REGION_LOG : 0};
    struct manage_event e;
    struct json *j;
    int err = with_map(vm, list_runs, &m);

    if (err == 0) {
        err = mark(vm, &m);
    }
    if (err != 0) {
        (void)with_map(vm, take_as_before, &m);
    }
    if (err == 0 && on) {
        vm->logged_since = time_us();
    }
    if (err == 0) {
        j = manage_event_of(&e, "vm-log", vm);
        json_bool(j, "on", on);
        manage_event_send(&e);
    }
    return err;
}

/* ---- harvest ------------------------------------------------------------------------------ */

struct piece {
    bool keep; /* only look */
    uint64_t from, next;
    struct cordon_harvested out;
    uint64_t map[PIECE_WORDS];
};

static int take_piece(struct vm *vm, void *arg)
{
    struct piece *p = arg;
    uint64_t base = vm->config->ram_base.v, end = base + vm->config->ram_len;

    if (p->from < base || p->from >= end || (p->from & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_ERANGE;
    }
    const struct cordon_harvest what = {.size = sizeof(what),
                                        .flags = p->keep ? CORDON_LOG_KEEP : 0,
                                        .gpa = cordon_gpa_make(p->from),
                                        .len = end - p->from < PIECE ? end - p->from : PIECE,
                                        .dirty = p->map};
    int err = cordon_log_harvest(vm->domain, &what, &p->out);

    p->next = p->from + what.len < end ? p->from + what.len : 0;
    if (err == -CORDON_ENOENT) { /* the guest has given all of it back */
        p->out = (struct cordon_harvested){.logged = 0};
        memset(p->map, 0, sizeof(p->map));
        return 0;
    }
    return err;
}

int manage_harvest(struct channel *c, struct vm *vm, uint64_t from, bool keep)
{
    static struct piece piece; /* one command at a time */
    uint64_t now = time_us(), since = vm->logged_since;
    struct manage_event e;
    struct json *j;
    int err;

    piece.keep = keep;
    piece.from = from != 0 ? from : vm->config->ram_base.v;
    err = with_map(vm, take_piece, &piece);
    if (err != 0) {
        return err;
    }
    if (!keep && piece.from == vm->config->ram_base.v) {
        vm->logged_since = now;
    }
    channel_send(c, 'B', STREAM_DIRTY, piece.map, sizeof(piece.map));
    j = manage_event_of(&e, "vm-harvest", vm);
    json_u64(j, "logged", piece.out.logged);
    json_u64(j, "dirty", piece.out.dirty);
    json_u64(j, "unknown", piece.out.unknown);
    json_u64(j, "words", piece.out.words);
    json_u64(j, "us", now - since);
    json_hex(j, "next", piece.next);
    manage_event_send(&e);
    return 0;
}

/* ---- coalescing --------------------------------------------------------------------------- */

static void send_coalesced(const char *name, const struct vm *vm,
                           const struct cordon_coalesced *sum)
{
    struct manage_event e;
    struct json *j = manage_event_of(&e, name, vm);

    json_u64(j, "looked", sum->looked);
    json_u64(j, "napot", sum->napot);
    json_u64(j, "mega", sum->mega);
    json_u64(j, "giga", sum->giga);
    manage_event_send(&e);
}

int manage_coalesce(struct vm *vm)
{
    uint64_t end = vm->config->ram_base.v + vm->config->ram_len;
    struct cordon_coalesced sum = {.next = vm->config->ram_base};
    int err = 0;

    while (err == 0 && sum.next.v < end) {
        err = vm_coalesce_slice(vm, &sum);
    }
    if (err != 0) {
        return err;
    }
    send_coalesced("vm-coalesced", vm, &sum);
    return 0;
}

void manage_coalescing(struct vm *vm, bool on)
{
    struct manage_event e;
    struct json *j = manage_event_of(&e, "vm-coalescing", vm);

    vm->coalescing.off = !on;
    json_bool(j, "on", on);
    manage_event_send(&e);
}

void manage_merged(const struct vm *vm, const struct cordon_coalesced *sum)
{
    send_coalesced("vm-merged", vm, sum);
}
