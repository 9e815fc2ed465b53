/*
 * Dirty logging of a guest's RAM by command: on, off, harvested piece by piece, and large leaves
 * afterwards. [cordon/log.h]
 *
 * One command harvests at most 128 MiB, with one round of fences: a bitmap on STREAM_DIRTY, bit i
 * of byte i / 8 for page FROM + i * 4096, and an event "vm-harvest" that says where to go on. Pages
 * without memory read as 0.
 */
#include "manage/manage.h"
#include "vm/vm.h"

#include <string.h>

#define PIECE (UINT64_C(128) << 20)
#define PIECE_WORDS (PIECE / CORDON_PAGE_SIZE / 64)

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

static int set_log(struct vm *vm, void *arg)
{
    const bool *on = arg;
    uint64_t at = vm->config->ram_base.v, end = at + vm->config->ram_len;
    struct cordon_region_info region;
    int err = 0;

    while (err == 0 && next_region(vm, at, end, &region)) {
        uint32_t marks = region.flags & CORDON_REGION_MARKS & ~CORDON_REGION_LOG;
        const struct cordon_op op = {.kind = CORDON_OP_MARK,
                                     .flags = marks | (*on ? CORDON_REGION_LOG : 0),
                                     .gpa = region.gpa,
                                     .len = region.len};

        err = cordon_change(vm->domain, &op, 1);
        at = region.gpa.v + region.len;
    }
    return err;
}

int manage_log(struct vm *vm, bool on)
{
    struct manage_event e;
    struct json *j;
    int err = with_map(vm, set_log, &on);

    if (err == 0) {
        j = manage_event_begin(&e, "vm-log");
        json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
        json_bool(j, "on", on);
        manage_event_send(&e);
    }
    return err;
}

/* ---- harvest ------------------------------------------------------------------------------ */

struct piece {
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

int manage_harvest(struct channel *c, struct vm *vm, uint64_t from)
{
    static struct piece piece; /* one command at a time */
    struct manage_event e;
    struct json *j;
    int err;

    piece.from = from != 0 ? from : vm->config->ram_base.v;
    err = with_map(vm, take_piece, &piece);
    if (err != 0) {
        return err;
    }
    channel_send(c, 'B', STREAM_DIRTY, piece.map, sizeof(piece.map));
    j = manage_event_begin(&e, "vm-harvest");
    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
    json_u64(j, "logged", piece.out.logged);
    json_u64(j, "dirty", piece.out.dirty);
    json_u64(j, "unknown", piece.out.unknown);
    json_u64(j, "words", piece.out.words);
    json_hex(j, "next", piece.next);
    manage_event_send(&e);
    return 0;
}

/* ---- coalescing --------------------------------------------------------------------------- */

static void send_coalesced(const char *name, const struct vm *vm,
                           const struct cordon_coalesced *sum)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, name);

    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
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
    struct json *j = manage_event_begin(&e, "vm-coalescing");

    vm->coalescing.off = !on;
    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
    json_bool(j, "on", on);
    manage_event_send(&e);
}

void manage_merged(const struct vm *vm, const struct cordon_coalesced *sum)
{
    send_coalesced("vm-merged", vm, sum);
}
