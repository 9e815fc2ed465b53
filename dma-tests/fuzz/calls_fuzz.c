/*
 * The public calls, in any order, with any arguments that the compiler lets through: none may break
 * an invariant or the process, and when all is taken back all memory is free again.
 */
#include <string.h>

#include "calls_space.h"
#include "calls_world.h"

#define CALLS 64u /* of one input */
#define CALLS_A_CHECK 4u
#define MOVED (UINT64_C(4) << 20)

/* ---- frames ------------------------------------------------------------------------------- */

static struct cordon_run_want want_of(struct input *in)
{
    struct cordon_run_want want = {.size = input_size(in, sizeof(want)), .len = input_len(in)};
    uint8_t b = input_byte(in);

    want.flags = b < 0xf0 ? b & 3 : b;
    want.align = b % 3 == 0 ? input_len(in) : 0;
    want.boundary = b % 5 == 0 ? input_len(in) : 0;
    want.highest = b % 7 == 0 ? input_hpa(in).v : 0;
    return want;
}

static void call_run(struct input *in)
{
    struct cordon_run_want want = want_of(in);
    struct cordon_run_made made = {.places = 0};
    struct cordon_extent e = {.len = want.len};

    if (input_byte(in) % 4 == 0) {
        if (cordon_run_make(w.ctx, &want, input_byte(in) % 2 * MOVED, &made) == 0) {
            e.hpa = made.hpa;
            world_hold(e);
        }
    } else if (cordon_run_alloc(w.ctx, &want, &e.hpa) == 0) {
        world_hold(e);
    }
}

static void call_free(struct input *in)
{
    (void)cordon_run_free(w.ctx, input_hpa(in), input_len(in));
    world_forget_given();
}

static void call_scatter(struct input *in)
{
    struct cordon_extent list[HELD];
    size_t count = 1 + input_byte(in) % HELD;
    uint64_t len = input_len(in);
    uint8_t b = input_byte(in);

    if (cordon_scatter_alloc(w.ctx, len, b < 0xe0 ? b % 8 : input_u32(in), b, list, &count) == 0) {
        for (size_t i = 0; i < count; i++) {
            world_hold(list[i]);
        }
    }
}

static void call_resource(struct input *in)
{
    if (input_byte(in) % 2 == 0) {
        (void)cordon_resource_add(w.ctx, input_hpa(in), input_len(in));
    } else {
        (void)cordon_resource_remove(w.ctx, input_hpa(in));
    }
}

/* ---- the map ------------------------------------------------------------------------------ */

static struct cordon_op op_of(struct input *in, struct cordon_extent *list)
{
    uint8_t kind = input_byte(in);
    struct cordon_op op = {.kind = kind < 0xf8 ? 1u + kind % 5 : kind};
    struct range r = input_range(in);

    op.len = r.len;
    op.gpa = op.kind == CORDON_OP_GRANT ? input_gpa(in) : r.gpa;
    if (op.kind == CORDON_OP_GRANT) {
        op.flags = input_flags(in);
        op.extent_count = (op.flags & CORDON_REGION_DEMAND) != 0 ? 0 : input_extents(in, list);
        op.extents = op.extent_count != 0 ? list : NULL;
        op.len = op.extent_count != 0 && kind < 0xe0 ? extents_len(list, op.extent_count) : op.len;
    } else if (op.kind == CORDON_OP_MARK || kind >= 0xe8) {
        op.flags = input_flags(in);
    }
    if (op.kind == CORDON_OP_GRANT || op.kind == CORDON_OP_PROTECT || kind >= 0xe8) {
        op.perms = input_perms(in);
    }
    return op;
}

static void call_change(struct input *in)
{
    struct cordon_extent list[OPS][EXTENTS];
    struct cordon_op ops[OPS];
    cordon_domain *d = input_domain(in);
    size_t count = 1 + input_byte(in) % OPS;

    for (size_t i = 0; i < count; i++) {
        ops[i] = op_of(in, list[i]);
    }
    count = input_byte(in) == 0xff ? 0 : count;
    if (cordon_change(d, ops, count) == 0) {
        for (size_t i = 0; i < count; i++) {
            world_put(ops[i].gpa, ops[i].len);
        }
    }
    world_forget_given();
}

static void call_remap(struct input *in)
{
    struct cordon_extent list[EXTENTS];
    struct range at = input_range(in);
    struct cordon_remap r = {.size = input_size(in, sizeof(r)), .gpa = at.gpa, .len = at.len};
    bool other = input_byte(in) % 2 == 0;

    r.to = other ? input_gpa(in) : r.gpa;
    r.extent_count = other ? 0 : input_extents(in, list);
    r.extents = r.extent_count != 0 ? list : NULL;
    if (cordon_remap(input_domain(in), &r) == 0) {
        world_put(r.to, r.len);
    }
    world_forget_given();
}

static void call_share(struct input *in)
{
    struct range at = input_range(in);
    struct cordon_share s = {.size = input_size(in, sizeof(s)),
                             .flags = input_byte(in) % 4 == 0 ? input_flags(in) : 0,
                             .gpa = at.gpa,
                             .to = input_gpa(in),
                             .len = at.len,
                             .perms = input_perms(in)};
    cordon_domain *owner = input_domain(in), *borrower = input_domain(in);

    if (cordon_share(owner, borrower, &s) == 0) {
        world_put(s.to, s.len);
    }
}

static void call_hold(struct input *in)
{
    unsigned n = input_byte(in) % DOMAINS;

    if (input_byte(in) % 4 == 0 && w.domain[n] != NULL) {
        cordon_hold(w.domain[n]);
        w.holds[n]++;
    } else {
        cordon_let_go(w.domain[n]);
        w.holds[n] -= w.holds[n] != 0;
    }
}

static void call_touch(struct input *in)
{
    struct cordon_touched touched;
    struct cordon_moves moves;
    cordon_domain *d = input_domain(in);
    struct range at = input_range(in);

    switch (input_byte(in) % 5) {
    case 0:
        (void)cordon_touch(d, at.gpa, input_perms(in), &touched);
        break;
    case 1:
        (void)cordon_populate(d, at.gpa, at.len);
        break;
    case 2:
        (void)cordon_relocate(d, at.gpa, at.len, &moves);
        break;
    case 3:
        call_hold(in);
        break;
    default:
        (void)cordon_retire(d);
        break;
    }
}

static void call_log(struct input *in)
{
    uint64_t dirty[MAP_WORDS], used[MAP_WORDS];
    struct range at = input_range(in);
    struct cordon_harvest h = {.size = input_size(in, sizeof(h)),
                               .flags = input_byte(in) & 1,
                               .gpa = at.gpa,
                               .len = at.len};
    struct cordon_coalesce c = {.size = input_size(in, sizeof(c)), .gpa = h.gpa, .len = h.len};
    struct cordon_harvested harvested;
    struct cordon_coalesced coalesced;
    cordon_domain *d = input_domain(in);
    uint8_t b = input_byte(in);

    h.dirty = (b & 1) != 0 && h.len <= MAP_WORDS * 64 * PAGE ? dirty : NULL;
    h.used = (b & 2) != 0 && h.len <= MAP_WORDS * 64 * PAGE ? used : NULL;
    switch (b >> 2 & 3) {
    case 0:
        (void)cordon_log_written(d, h.gpa, h.len);
        break;
    case 1:
        (void)cordon_coalesce(d, &c, &coalesced);
        break;
    default:
        (void)cordon_log_harvest(d, &h, &harvested);
        break;
    }
}

/* ---- devices, harts, listeners ------------------------------------------------------------ */

static void call_device(struct input *in)
{
    unsigned n;
    cordon_device *dev = input_device(in, &n);
    int err;

    switch (input_byte(in) % 4) {
    case 0:
    case 1:
        err = cordon_device_attach(input_domain(in), dev, input_byte(in) % 3);
        if (err == 0) {
            w.attached[n] = true;
        }
        break;
    case 2:
        err = cordon_device_detach(dev);
        if (err == 0 || err == -CORDON_EPENDING) {
            w.attached[n] = false;
        }
        break;
    default:
        if (n == DEVICES || !w.attached[n]) { /* the caller's word, which is true */
            (void)cordon_device_drained(dev);
        }
        break;
    }
}

static void call_msi(struct input *in)
{
    cordon_domain *d = input_domain(in);

    if (input_byte(in) % 2 == 0) {
        uint8_t mask = input_byte(in);

        (void)cordon_msi_window(d, input_gpa(in), mask < 0xf0 ? mask % 4 : input_u64(in));
    } else {
        (void)cordon_msi_set(d, input_byte(in) % 8, input_hpa(in));
    }
}

static void call_hart(struct input *in)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    unsigned n = input_byte(in) % DOMAINS;

    if (w.inside[n]) {
        must(cordon_domain_leave(w.domain[n], n) == 0);
        w.inside[n] = false;
    } else {
        w.inside[n] = cordon_domain_enter(w.domain[n], n, &entry) == 0;
    }
}

static int prepare(void *user, const struct cordon_told *told, size_t count)
{
    (void)user;
    must(count == 0 || told[0].len != 0); /* an empty map is told, too */
    return w.refuses ? -CORDON_EPERM : 0;
}

static void done(void *user, const struct cordon_told *told, size_t count)
{
    (void)user;
    must(count == 0 || told[count - 1].len != 0);
}

static void call_listener(struct input *in)
{
    struct cordon_listener l = {
        .size = input_size(in, sizeof(l)), .prepare = prepare, .commit = done, .abort = done};
    unsigned n = input_byte(in) % DOMAINS;

    switch (input_byte(in) % 3) {
    case 0:
        w.refuses = !w.refuses;
        break;
    case 1:
        if (w.listener[n] == 0) {
            (void)cordon_listener_add(w.domain[n], &l, &w.listener[n]);
        }
        break;
    default:
        if (cordon_listener_remove(w.domain[n], w.listener[n]) == 0) {
            w.listener[n] = 0;
        }
        break;
    }
}

static void call_end(struct input *in)
{
    unsigned n = input_byte(in) % DOMAINS;

    if (w.domain[n] == NULL) {
        (void)world_domain(n);
    } else if (input_byte(in) % 2 == 0) {
        world_end_domain(n);
    } else if (cordon_domain_destroy(w.domain[n]) == 0) {
        w.closed = w.domain[n];
        w.domain[n] = NULL;
    }
}

/* ---- questions ---------------------------------------------------------------------------- */

static void call_question(struct input *in)
{
    const cordon_domain *d = input_domain(in);
    uint32_t view = input_byte(in) % 10;
    cordon_gpa gpa = input_gpa(in);
    cordon_hpa hpa = input_hpa(in);
    struct cordon_region_info region;
    struct cordon_hit hit;
    struct cordon_walk walk = {.size = input_size(in, sizeof(walk))};
    struct cordon_shape shape = {.size = input_size(in, sizeof(shape))};
    struct cordon_frame_info frame;
    struct cordon_borrower borrower;
    struct cordon_block_info block;
    struct cordon_vmid_stats vmids;
    struct cordon_fault fault;
    struct range at = input_range(in);
    uint64_t bytes;

    (void)cordon_region_find(d, gpa, input_byte(in) % 2, &region);
    (void)cordon_translate(d, view, gpa, input_perms(in), &hit);
    (void)cordon_walk(d, view, gpa, input_perms(in), &walk);
    (void)cordon_leaf_next(d, view, &gpa, &hit);
    (void)cordon_shape(d, view, &shape);
    (void)cordon_frame_query(w.ctx, hpa, &frame);
    (void)cordon_frame_borrower(w.ctx, hpa, input_byte(in), &borrower);
    (void)cordon_block_query(w.ctx, hpa, &block);
    (void)cordon_resident(w.domain[0], at.gpa, at.len, &bytes);
    (void)cordon_vmid_stats(w.ctx, &vmids);
    (void)cordon_faults_take(w.iommu, &fault, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const calls[])(struct input *) = {
        call_change, call_change,   call_change,   call_run,   call_run,      call_free,
        call_space,  call_space,    call_remap,    call_touch, call_touch,    call_share,
        call_log,    call_device,   call_msi,      call_hart,  call_listener, call_scatter,
        call_end,    call_resource, call_question,
    };
    struct input in = {data, size};

    world_open(input_byte(&in) % 2 != 0 ? CORDON_CTX_NAPOT : 0);
    for (unsigned i = 0; in.left != 0 && i < CALLS; i++) {
        calls[input_byte(&in) % (sizeof(calls) / sizeof(calls[0]))](&in);
        if (i % CALLS_A_CHECK == 0) {
            world_check();
        }
    }
    world_close();
    return 0;
}
