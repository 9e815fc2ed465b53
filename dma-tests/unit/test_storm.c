/*
 * A storm: three domains, each with a space over it, and everything that can be asked of them, at
 * random, now and then without the memory that it needs.
 */
#include "loans.h"
#include "storm_guests.h"

#define BUSY 2048u                 /* pages where most of it happens */
#define SPACE UINT64_C(0x40000000) /* where the spaces stand */
#define SPACE_PAGES 4096u
#define HARTS 4u
#define SEEDS 2u
#define STEPS 500u

static struct cordon_extent pieces[PAGES];

static struct guest *any(void)
{
    return &guest[pick(DOMAINS)];
}

static struct range some_range(void)
{
    struct range r = {.first = pick(pick(4) == 0 ? PAGES : BUSY), .pages = 1 + pick(40)};

    if (pick(3) == 0) {
        r.first &= ~UINT64_C(511);
    }
    if (pick(3) == 0) {
        r.pages = pick(2) == 0 ? 512 : 1 + pick(1200);
    }
    r.pages = r.pages < PAGES - r.first ? r.pages : PAGES - r.first;
    return r;
}

/* ---- changes of a map -------------------------------------------------------------------- */

static const uint32_t rights[] = {CORDON_READ, RW, CORDON_READ | CORDON_EXEC, RWX};

static struct cordon_op some_op(const struct guest *g, struct range r)
{
    struct cordon_op op = {
        .kind = 1 + (uint32_t)pick(5), .gpa = {r.first * PAGE}, .len = r.pages * PAGE};

    if (op.kind == CORDON_OP_GRANT) {
        op.flags = CORDON_REGION_DEMAND | (pick(2) == 0 ? CORDON_REGION_HUGE : 0) |
                   (pick(2) == 0 ? CORDON_REGION_PROMISED : 0) |
                   (g->viewed || pick(2) == 0 ? CORDON_REGION_NODMA : 0);
    } else if (op.kind == CORDON_OP_MARK) {
        op.flags = (pick(2) == 0 ? CORDON_REGION_PIN : 0) | (pick(2) == 0 ? CORDON_REGION_LOG : 0);
    }
    if (op.kind == CORDON_OP_GRANT || op.kind == CORDON_OP_PROTECT) {
        op.perms = rights[pick(4)];
    }
    return op;
}

static bool pins_much(const struct cordon_op *ops, size_t count)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < count; i++) {
        pages += (ops[i].flags & CORDON_REGION_PIN) != 0 ? ops[i].len / PAGE : 0;
    }
    return pages > 64;
}

static void step_change(void)
{
    struct guest *g = any();
    struct cordon_op op[3];
    size_t count = pick(3) == 0 ? 1 + pick(3) : 1;

    for (size_t i = 0; i < count; i++) {
        op[i] = some_op(g, some_range());
    }
    begin("a change");
    int err = cordon_change(g->d, op, count);

    if (pins_much(op, count)) {
        end_in_part(err); /* what came ahead of it stays */
    } else {
        (void)end(err);
    }
    for (size_t i = 0; err == 0 && i < count; i++) {
        if (op[i].kind != CORDON_OP_PROTECT && op[i].kind != CORDON_OP_MARK) {
            forget(g, (struct range){op[i].gpa.v / PAGE, op[i].len / PAGE});
        }
    }
}

/* Fresh frames for a range; 0: there are none. */
static size_t fresh(uint64_t pages)
{
    size_t count = PAGES;

    return cordon_scatter_alloc(b.ctx, pages * PAGE, (uint32_t)pick(3), bench_random(&seed), pieces,
                                &count) == 0
               ? count
               : 0;
}

static void drop(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err = cordon_run_free(b.ctx, pieces[i].hpa, pieces[i].len);

        assert_true(err == 0 || err == -CORDON_ENOMEM); /* then it is found at the end */
    }
}

static void step_grant(void)
{
    static const uint32_t flags[] = {0, 0, CORDON_REGION_KEEP, CORDON_REGION_PIN,
                                     CORDON_REGION_NODMA};
    struct guest *g = any();
    struct range r = some_range();
    size_t count = fresh(r.pages);
    struct cordon_op op = op_grant(r.first * PAGE, pieces, count, rights[pick(4)], flags[pick(5)]);

    begin("a grant");
    op.len = r.pages * PAGE;
    if (end(count == 0 ? -CORDON_ENOMEM : cordon_change(g->d, &op, 1)) == 0) {
        forget(g, r);
    } else {
        drop(count);
    }
}

/* It moves, or, with FRAMES, stays and gets other ones. */
static void step_remap(void)
{
    struct guest *g = any();
    struct range r = some_range();
    size_t count = pick(2) == 0 ? fresh(r.pages) : 0;
    uint64_t to = count != 0 ? r.first : pick(PAGES - r.pages + 1);
    const struct cordon_remap remap = {.size = sizeof(remap),
                                       .gpa = {r.first * PAGE},
                                       .to = {to * PAGE},
                                       .len = r.pages * PAGE,
                                       .extents = count != 0 ? pieces : NULL,
                                       .extent_count = count};

    begin(count != 0 ? "other frames" : "a move of a range");
    if (end(cordon_remap(g->d, &remap)) != 0) {
        drop(count);
    } else if (count != 0) {
        forget(g, r);
    } else {
        memmove(&g->word[to], &g->word[r.first], r.pages * sizeof(g->word[0]));
        for (uint64_t page = r.first; page < r.first + r.pages; page++) {
            if (page < to || page >= to + r.pages) {
                g->word[page] = 0;
            }
        }
    }
}

static void step_share(void)
{
    struct guest *g = any(), *other = any();
    struct range r = some_range();
    uint64_t to = pick(PAGES - r.pages + 1);
    const struct cordon_share share = {.size = sizeof(share),
                                       .gpa = {r.first * PAGE},
                                       .to = {to * PAGE},
                                       .len = r.pages * PAGE,
                                       .perms = rights[pick(2)],
                                       .flags =
                                           other->viewed || pick(2) == 0 ? CORDON_REGION_NODMA : 0};

    begin("a loan");
    int err = cordon_share(g->d, other->d, &share);

    end_in_part(err);
    if (err == 0) {
        forget(other, (struct range){to, r.pages});
    }
}

/* ---- what comes and goes by itself ------------------------------------------------------- */

static void touch_page(struct guest *g, uint64_t gpa)
{
    struct cordon_touched out;
    int err = cordon_touch(g->d, cordon_gpa_make(gpa), (uint32_t)pick(8), &out);

    end_in_part(err);
    if (err == 0 && out.what == CORDON_TOUCH_FILLED && *words(out.hpa.v) != 0) {
        fail_msg("a page came that is not zero");
    }
    if (err == 0 && gpa < PAGES * PAGE) {
        store_to(g, gpa / PAGE, out.hpa.v);
    }
}

static void step_touch(void)
{
    struct guest *g = any();

    for (unsigned i = 0; i < 30; i++) {
        begin("a touch");
        touch_page(g, pick(BUSY) * PAGE);
        touch_page(g, SPACE + pick(SPACE_PAGES) * PAGE);
    }
}

static void step_range(void)
{
    struct guest *g = any();
    struct range r = some_range();
    const struct cordon_coalesce all = {
        .size = sizeof(all), .len = PAGES * PAGE, .budget = pick(20)};
    cordon_gpa at = {r.first * PAGE};
    struct cordon_moves moves;
    struct cordon_coalesced made;

    begin("a range that is filled, or moved, or coalesced");
    switch (pick(3)) {
    case 0:
        end_in_part(cordon_populate(g->d, at, r.pages * PAGE));
        break;
    case 1:
        end_in_part(cordon_relocate(g->d, at, r.pages * PAGE, &moves));
        break;
    default:
        end_in_part(cordon_coalesce(g->d, &all, &made));
    }
}

static void step_run(void)
{
    const struct cordon_run_want want = {.size = sizeof(want),
                                         .flags = pick(2) == 0 ? CORDON_RUN_FIXED : 0,
                                         .len = (1 + pick(pick(2) == 0 ? 64 : 1500)) * PAGE,
                                         .align = pick(2) == 0 ? 0 : PAGE << pick(10)};
    struct cordon_run_made made;

    begin("a run that is made");
    int err = cordon_run_make(b.ctx, &want, pick(2) == 0 ? 0 : pick(400) * PAGE, &made);

    end_in_part(err);
    if (err == 0) {
        memset(words(made.hpa.v), 0xa5, want.len);
        assert_int_equal(cordon_run_free(b.ctx, made.hpa, want.len), 0);
    }
}

static void step_harvest(void)
{
    static uint64_t dirty[PAGES / 64 + 1], used[PAGES / 64 + 1];
    struct range r = some_range();
    const struct cordon_harvest take = {.size = sizeof(take),
                                        .flags = pick(2) == 0 ? CORDON_LOG_KEEP : 0,
                                        .gpa = {r.first * PAGE},
                                        .len = r.pages * PAGE,
                                        .dirty = dirty,
                                        .used = pick(2) == 0 ? used : NULL};
    struct cordon_harvested out;
    struct guest *g = any();

    begin("a harvest");
    end_in_part(cordon_log_harvest(g->d, &take, &out));
    end_in_part(cordon_log_written(g->d, cordon_gpa_make(pick(PAGES * PAGE)), pick(100000)));
}

static void step_view(void)
{
    struct guest *g = any();

    if (g->viewed) {
        what = "a view goes";
        domain_view_remove(g->d, g->view);
        g->viewed = false;
    } else {
        begin("a view comes");
        g->viewed = end(domain_view_add(g->d, &g->view)) == 0;
    }
}

/* There are fewer VMIDs than harts could run domains under: it is refused now and then. */
static void step_hart(void)
{
    struct guest *g = any();
    struct cordon_entry entry = {.size = sizeof(entry)};
    uint32_t hart = (uint32_t)pick(HARTS);

    what = "a hart comes or goes";
    if (cordon_domain_leave(g->d, hart) != 0) {
        end_in_part(cordon_domain_enter(g->d, hart, &entry));
    }
}

/* ---- spaces ------------------------------------------------------------------------------ */

/* A node that is not there yet; *RAM is what lies behind it, if it brings any. */
static bool new_node(const struct guest *g, struct cordon_node *n, struct cordon_extent *ram)
{
    *n = (struct cordon_node){.size = sizeof(*n),
                              .id = n->id,
                              .kind = pick(2) == 0   ? CORDON_NODE_RAM
                                      : pick(2) == 0 ? CORDON_NODE_CONTAINER
                                                     : CORDON_NODE_HOLE,
                              .offset = SPACE + pick(SPACE_PAGES) * PAGE,
                              .len = (1 + pick(pick(3) == 0 ? 700 : 40)) * PAGE,
                              .priority = (int32_t)pick(3)};
    n->perms = n->kind == CORDON_NODE_HOLE ? 0 : rights[pick(4)];
    if (n->kind != CORDON_NODE_CONTAINER && pick(3) == 0) {
        n->parent = 1 + (uint32_t)pick(NODES - 1);
        n->offset = pick(100) * PAGE;
    }
    if (n->kind != CORDON_NODE_RAM) {
        return true;
    }
    n->flags = pick(4) == 0 ? CORDON_REGION_LOG : 0;
    if (pick(2) == 0) {
        n->flags |= CORDON_REGION_DEMAND | (pick(2) == 0 ? CORDON_REGION_PROMISED : 0) |
                    (pick(2) == 0 ? CORDON_REGION_HUGE : 0) | (g->viewed ? CORDON_REGION_NODMA : 0);
        return true;
    }
    const struct cordon_run_want want = {.size = sizeof(want), .len = n->len};

    n->flags |= (pick(3) != 0 ? CORDON_REGION_KEEP : 0) | (pick(4) == 0 ? CORDON_REGION_PIN : 0);
    ram->len = n->len;
    n->extents = ram;
    n->extent_count = 1;
    return cordon_run_alloc(b.ctx, &want, &ram->hpa) == 0;
}

static void other_node(struct cordon_node *n)
{
    n->extents = NULL;
    n->extent_count = 0;
    n->flags &= ~CORDON_REGION_MMIO;
    switch (pick(4)) {
    case 0:
        n->offset += pick(20) * PAGE;
        break;
    case 1:
        n->len = (1 + pick(n->len / PAGE)) * PAGE;
        break;
    case 2:
        n->priority = (int32_t)pick(3);
        n->disabled = (uint32_t)pick(2);
        break;
    default:
        n->flags ^= n->kind != CORDON_NODE_RAM ? 0
                    : pick(2) == 0             ? CORDON_REGION_LOG
                                               : CORDON_REGION_PIN;
        break;
    }
}

static void step_space(void)
{
    struct guest *g = any();
    struct cordon_extent ram = {.len = 0};
    struct cordon_edit e = {.node = {.id = 1 + (uint32_t)pick(NODES - 1)}};
    struct cordon_node now;

    if (cordon_node_find(g->s, e.node.id, false, &now) != 0) {
        e.kind = CORDON_TREE_ADD;
        if (!new_node(g, &e.node, &ram)) {
            return;
        }
    } else if (pick(4) == 0) {
        e.kind = CORDON_TREE_REMOVE;
        e.node.size = sizeof(e.node);
    } else {
        e.kind = CORDON_TREE_SET;
        e.node = now;
        other_node(&e.node);
    }
    begin("an edit of a space");
    if (end(cordon_space_update(g->s, &e, 1)) == 0) {
        g->life[e.node.id] += e.kind == CORDON_TREE_ADD;
    } else if (ram.len != 0) {
        pieces[0] = ram;
        drop(1);
    }
}

/* ---- all of it --------------------------------------------------------------------------- */

static void (*const steps[])(void) = {
    step_grant, step_change, step_change, step_change, step_change,  step_touch, step_touch,
    step_remap, step_remap,  step_share,  step_range,  step_range,   step_range, step_run,
    step_space, step_space,  step_view,   step_hart,   step_harvest,
};

static void storm(uint64_t with, unsigned count)
{
    seed = with;
    memset(guest, 0, sizeof(guest));
    bench_open(&b, RAM);
    for (unsigned i = 0; i < DOMAINS; i++) {
        guest[i].d = bench_domain(&b);
        assert_int_equal(cordon_space_create(guest[i].d, &guest[i].s), 0);
    }
    for (unsigned n = 0; n < count; n++) {
        steps[pick(sizeof(steps) / sizeof(steps[0]))]();
        check(n % 8 == 0);
    }
    for (unsigned i = 0; i < DOMAINS; i++) {
        loans_give_back(guest[i].d);
    }
    for (unsigned i = 0; i < DOMAINS; i++) {
        for (uint32_t hart = 0; hart < HARTS; hart++) {
            end_in_part(cordon_domain_leave(guest[i].d, hart));
        }
        if (guest[i].viewed) {
            domain_view_remove(guest[i].d, guest[i].view);
        }
        assert_int_equal(cordon_space_destroy(guest[i].s), 0);
        assert_int_equal(cordon_domain_destroy(guest[i].d), 0);
    }
    bench_free_held(&b); /* it was kept, or could not be freed when it was to be */
    bench_close(&b);
}

static void test_whatever_comes_each_frame_and_each_byte_is_where_it_belongs(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SEEDS; i++) {
        storm(1 + i, STEPS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_comes_each_frame_and_each_byte_is_where_it_belongs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
