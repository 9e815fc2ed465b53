/*
 * Every store of a change, one after the other, as hardware might see them: the recording port's
 * log is replayed over a copy of memory from before the change.
 *
 * After each single store: what is outside the change translates as before, in every view; what is
 * inside translates as before or as after. Where leaves are of 64 KiB, that holds for whatever any
 * of the 16 words says of a page, for hardware may go by any of them [Priv Svnapot]. A table
 * becomes reachable only after a fence behind the last store into it [INV 7]; one that was taken
 * out is not written any more. At the end the copy says what memory says, so no word was written
 * past the port.
 */
#include "test_pt_world.h"

#define SAMPLES 48u

struct change {
    unsigned kind; /* 0 map, 1 protect, 2 unmap */
    uint32_t views, perms;
    uint64_t linear, pages, hpa;
};

struct replay {
    struct world *w;
    uint8_t *shadow;
    uint64_t sequence; /* of the last event before the change */
    uint64_t last_fence;
    uint64_t last_store[WORLD_FRAMES];
    uint8_t reachable[WORLD_FRAMES], was_reachable[WORLD_FRAMES];
    uint64_t sample[SAMPLES], before[WORLD_VIEWS][SAMPLES];
    uint64_t stores, published;
};

static uint64_t *shadow_word(const struct replay *r, uint64_t hpa)
{
    assert_true(hpa >= WORLD_RAM && hpa < WORLD_RAM + WORLD_SIZE);
    return (uint64_t *)(r->shadow + (hpa - WORLD_RAM));
}

/* Frame and rights that a word of a 64 KiB leaf says of the page with this index. */
static uint64_t run_page(uint64_t word, uint64_t index)
{
    uint64_t ppn = word >> 10 & ((UINT64_C(1) << 44) - 1);

    return ((ppn & ~UINT64_C(15)) | index % 16) << 3 | (word >> 1 & 7);
}

/* Frame and rights, as in the oracle. *LAST: the table of its word, if that is of level 0, or 0. */
static uint64_t translate(const struct replay *r, unsigned view, uint64_t linear, uint64_t *last)
{
    unsigned level = r->w->fmt->levels - 1u;
    uint64_t table = r->w->forest.root[view].v, mask = 2047;

    for (;; level--, mask = 511) {
        uint64_t word = *shadow_word(r, table + (linear >> (12 + 9 * level) & mask) * 8);

        *last = level == 0 ? table : 0;
        if ((word & 1) == 0) {
            return 0;
        }
        if (word >> 63 != 0) {
            return run_page(word, linear >> 12);
        }
        if ((word & 0xe) != 0) {
            uint64_t inside = linear >> 12 & ((UINT64_C(1) << 9 * level) - 1);

            return ((word >> 10) + inside) << 3 | (word >> 1 & 7);
        }
        assert_true(level > 0);
        table = word >> 10 << 12;
    }
}

static void reach(struct replay *r, uint64_t table, unsigned level)
{
    bool root = level == r->w->fmt->levels - 1u;

    for (uint64_t i = 0; i < (root ? 4 : 1); i++) {
        r->reachable[(table - WORLD_RAM) / PAGE + i] = 1;
        r->was_reachable[(table - WORLD_RAM) / PAGE + i] = 1;
    }
    for (uint64_t i = 0; level > 0 && i < (root ? 2048 : 512); i++) {
        uint64_t word = *shadow_word(r, table + i * 8);

        if ((word & 0xf) == 1) {
            reach(r, word >> 10 << 12, level - 1);
        }
    }
}

static void reach_all(struct replay *r)
{
    memset(r->reachable, 0, sizeof(r->reachable));
    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        if (r->w->forest.views >> v & 1) {
            reach(r, r->w->forest.root[v].v, r->w->fmt->levels - 1u);
        }
    }
}

/* What was never reachable and soon will be is complete, and fenced. */
static void expect_complete(struct replay *r, uint64_t table, unsigned level)
{
    uint64_t frame = (table - WORLD_RAM) / PAGE;

    if (r->was_reachable[frame]) {
        return;
    }
    assert_true(r->last_store[frame] != 0); /* an empty table is never published */
    assert_true(r->last_store[frame] < r->last_fence);
    r->published++;
    for (uint64_t i = 0; level > 0 && i < 512; i++) {
        uint64_t word = *shadow_word(r, table + i * 8);

        if ((word & 0xf) == 1) {
            expect_complete(r, word >> 10 << 12, level - 1);
        }
    }
}

/* The level of a reachable table, by looking for it. */
static int level_of(const struct replay *r, uint64_t wanted, uint64_t table, unsigned level)
{
    bool root = level == r->w->fmt->levels - 1u;

    if (wanted == table || (root && wanted - table < 4 * PAGE)) {
        return (int)level;
    }
    for (uint64_t i = 0; level > 0 && i < (root ? 2048 : 512); i++) {
        uint64_t word = *shadow_word(r, table + i * 8);
        int found = (word & 0xf) == 1 ? level_of(r, wanted, word >> 10 << 12, level - 1) : -1;

        if (found >= 0) {
            return found;
        }
    }
    return -1;
}

static void check_samples(const struct replay *r, const struct change *c)
{
    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        for (unsigned i = 0; (r->w->forest.views >> v & 1) != 0 && i < SAMPLES; i++) {
            uint64_t table, now = translate(r, v, r->sample[i], &table);
            bool inside = (c->views >> v & 1) != 0 && r->sample[i] >= c->linear &&
                          r->sample[i] < c->linear + c->pages * PAGE;
            uint64_t before = r->before[v][i], after = *oracle_at(r->w, v, r->sample[i]);
            uint64_t first = table + (r->sample[i] >> 16 & 31) * 128;

            assert_true(now == before || (inside && now == after));
            for (unsigned k = 0; table != 0 && k < 16; k++) {
                uint64_t word = *shadow_word(r, first + k * 8);

                now = run_page(word, r->sample[i] >> 12);
                assert_true(word >> 63 == 0 || now == before || (inside && now == after));
            }
        }
    }
}

static void replay_store(struct replay *r, const struct record_event *e, const struct change *c)
{
    uint64_t frame = (e->a - WORLD_RAM) / PAGE, table = e->a & ~(PAGE - 1);
    uint64_t *word = shadow_word(r, e->a);

    assert_true(*word == e->c);
    /* It stands, or has never stood; it is not one that was taken out. */
    assert_true(r->reachable[frame] || !r->was_reachable[frame]);
    if (r->reachable[frame] && (e->b & 0xf) == 1) {
        int level = -1;

        for (unsigned v = 0; level < 0 && v < WORLD_VIEWS; v++) {
            if (r->w->forest.views >> v & 1) {
                level = level_of(r, table, r->w->forest.root[v].v, r->w->fmt->levels - 1u);
            }
        }
        assert_true(level > 0);
        expect_complete(r, e->b >> 10 << 12, (unsigned)level - 1);
    }
    *word = e->b;
    r->last_store[frame] = e->sequence;
    r->stores++;
    if (r->reachable[frame] && ((e->b | e->c) & 0xf) != 0 &&
        ((e->b & 0xf) == 1 || (e->c & 0xf) == 1)) {
        reach_all(r);
    }
    check_samples(r, c);
}

static void begin(struct replay *r, struct world *w, const struct change *c,
                  const struct pt_pool *pool, uint64_t *seed)
{
    uint64_t frame = pool->first.v;

    r->w = w;
    r->sequence = w->record->sequence;
    r->last_fence = 0;
    r->stores = r->published = 0;
    memcpy(r->shadow, w->ram, WORLD_SIZE);
    memset(r->last_store, 0, sizeof(r->last_store));
    memset(r->was_reachable, 0, sizeof(r->was_reachable));
    for (uint64_t i = 0; i < pool->count; i++) {
        uint64_t next = *shadow_word(r, frame);

        *shadow_word(r, frame) = 0; /* the pool's own link */
        frame = next;
    }
    for (unsigned i = 0; i < SAMPLES; i++) {
        uint64_t edge[] = {c->linear, c->linear + c->pages * PAGE};
        uint64_t spread = i < 16 ? 3 : i < 32 ? 600 : 100000;

        do {
            r->sample[i] = edge[i % 2] + (world_random(seed) % (2 * spread) - spread) * PAGE;
        } while (oracle_at(w, 0, r->sample[i]) == NULL);
        for (unsigned v = 0; v < WORLD_VIEWS; v++) {
            r->before[v][i] = *oracle_at(w, v, r->sample[i]);
        }
    }
    reach_all(r);
}

static void end(struct replay *r, const struct change *c)
{
    struct world *w = r->w;

    assert_true(w->record->sequence - r->sequence < RECORD_EVENTS);
    check_samples(r, c);
    for (uint64_t s = r->sequence + 1; s <= w->record->sequence; s++) {
        const struct record_event *e = record_at(w->record, s);

        assert_non_null(e);
        if (e->kind == RECORD_FENCE) {
            r->last_fence = s;
        } else if (e->kind == RECORD_STORE) {
            replay_store(r, e, c);
        }
    }
    reach_all(r);
    for (uint64_t f = 0; f < WORLD_FRAMES; f++) {
        if (r->reachable[f]) {
            assert_memory_equal(r->shadow + f * PAGE, w->ram + f * PAGE, PAGE);
        }
    }
}

static void judged(struct world *w, struct replay *r, const struct change *c, uint64_t *seed)
{
    cordon_gpa gpa = cordon_gpa_make(world_gpa(w, c->linear));
    struct pt_run run = {gpa, cordon_hpa_make(c->hpa), c->pages, c->perms, c->views};
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};

    assert_int_equal(c->kind == 0 ? pt_reserve_map(&w->forest, &run, &pool)
                                  : pt_reserve_change(&w->forest, gpa, c->pages, c->views, &pool),
                     0);
    begin(r, w, c, &pool, seed);
    if (c->kind == 0) {
        pt_map(&w->forest, &run, &pool, &retire);
        oracle_set(w, c->views, c->linear, c->pages, c->hpa, c->perms);
    } else if (c->kind == 1) {
        pt_protect(&w->forest, gpa, c->pages, c->perms, c->views, &pool, &retire);
        oracle_set(w, c->views, c->linear, c->pages, ORACLE_RIGHTS, c->perms);
    } else {
        pt_unmap(&w->forest, gpa, c->pages, c->views, &pool, &retire);
        oracle_set(w, c->views, c->linear, c->pages, ORACLE_CLEAR, 0);
    }
    end(r, c);
    pt_pool_free(&w->forest, &pool);
    pt_retire_free(&w->forest, &retire);
    world_check(w);
}

static bool napot;

static struct world *open_three(const struct pt_fmt *fmt, struct replay **r)
{
    struct world *w = world_open_recorded(fmt, world_record());

    w->forest.napot = napot;
    world_windows(w);
    assert_int_equal(pt_view_add(&w->forest, 1), 0);
    assert_int_equal(pt_view_add(&w->forest, 2), 0);
    *r = calloc(1, sizeof(**r));
    assert_non_null(*r);
    (*r)->shadow = malloc(WORLD_SIZE);
    assert_non_null((*r)->shadow);
    return w;
}

static void close_three(struct world *w, struct replay *r)
{
    free(r->shadow);
    free(r);
    world_close(w);
}

static void each_kind_of_change_is_safe_at_every_store(void **state)
{
    const struct change script[] = {
        {0, 7, 3, GIB - PAGE, 2, 5 * GIB},          /* two new leaf tables */
        {0, 1, 7, GIB + 9 * PAGE, 40, 6 * GIB},     /* unshares, then adds */
        {0, 7, 3, GIB + 100 * PAGE, 900, 7 * GIB},  /* into own, shared and new tables */
        {1, 2, 1, GIB + 90 * PAGE, 500, 0},         /* unshares, then changes */
        {2, 6, 0, GIB + 95 * PAGE, 10, 0},          /* clears some */
        {2, 7, 0, GIB - PAGE, 2000, 0},             /* clears all: tables go */
        {0, 7, 7, GIB, 262144, 64 * GIB},           /* a leaf of 1 GiB in each root */
        {2, 7, 0, GIB + 777 * PAGE, 3, 0},          /* splits it twice */
        {1, 4, 5, GIB + 300 * MIB, 1000, 0},        /* splits for one view, and unshares */
        {2, 1, 0, GIB + 600 * MIB + PAGE, 1200, 0}, /* splits at both ends, for one view */
        {1, 7, 1, GIB + 5 * PAGE, 90000, 0},        /* most of what was split */
        {2, 7, 0, GIB, 262144, 0},                  /* everything goes at once */
    };
    uint64_t seed = 777;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct replay *r;
        struct world *w = open_three(world_formats[i], &r);
        uint64_t published = 0;

        for (unsigned k = 0; k < sizeof(script) / sizeof(script[0]); k++) {
            judged(w, r, &script[k], &seed);
            assert_true(r->stores > 0);
            published += r->published;
        }
        assert_true(published >= 12);
        close_three(w, r);
    }
}

static void random_changes_are_safe_at_every_store(void **state)
{
    static const uint64_t size[] = {1, 3, 64, 511, 512, 513, 900, 262144};
    static const uint32_t sets[] = {7, 7, 1, 2, 6}, perms[] = {1, 3, 4, 5, 7};
    uint64_t seed = 5150;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct replay *r;
        struct world *w = open_three(world_formats[i], &r);

        for (unsigned k = 0; k < 50; k++) {
            struct change c = {.kind = (unsigned)(world_random(&seed) % 3),
                               .views = sets[world_random(&seed) % 5],
                               .perms = perms[world_random(&seed) % 5],
                               .pages = size[world_random(&seed) % 8]};

            c.linear = c.pages > 1000 ? GIB : GIB + world_random(&seed) % 1100 * PAGE;
            c.hpa = 32 * GIB + c.linear % (world_random(&seed) % 2 ? GIB : 2 * MIB);
            if (c.kind != 0 || oracle_empty(w, c.views, c.linear, c.pages)) {
                judged(w, r, &c, &seed);
            }
        }
        close_three(w, r);
    }
}

static void leaves_of_64_kib_are_safe_at_every_store(void **state)
{
    const struct change script[] = {
        {0, 7, 3, GIB, 64, 5 * GIB},           /* four runs */
        {2, 7, 0, GIB + 5 * PAGE, 1, 0},       /* one page of a run: 15 stay */
        {1, 7, 1, GIB + 30 * PAGE, 4, 0},      /* the end of one, the beginning of another */
        {1, 1, 1, GIB + 48 * PAGE, 16, 0},     /* a whole one, in one view: unshares */
        {2, 2, 0, GIB + 50 * PAGE, 3, 0},      /* some of it in another */
        {2, 7, 0, GIB, 64, 0},                 /* what is left */
        {0, 7, 3, GIB, 512, 6 * GIB},          /* 2 MiB */
        {2, 7, 0, GIB + 17 * PAGE, 1, 0},      /* split: 31 runs and 15 leaves */
        {2, 7, 0, GIB + 32 * PAGE, 16 + 7, 0}, /* a whole run, and the beginning of one */
    };
    uint64_t seed = 4711;

    (void)state;
    napot = true;
    for (unsigned i = 0; i < 3; i++) {
        struct replay *r;
        struct world *w = open_three(world_formats[i], &r);
        uint64_t runs = 0;

        for (unsigned k = 0; k < sizeof(script) / sizeof(script[0]); k++) {
            judged(w, r, &script[k], &seed);
            assert_true(r->stores > 0);
            runs += w->runs;
        }
        assert_true(runs > 60);
        close_three(w, r);
    }
    random_changes_are_safe_at_every_store(state);
    napot = false;
}

/* The map's last stores are leaves in a table that stood before: the fence before them is the
 * one that orders what the frames hold. */
static void a_map_fences_before_its_first_leaf(void **state)
{
    struct replay *r;
    struct world *w = open_three(&pt_sv39x4, &r);
    const struct record_event *fence, *store;

    (void)state;
    for (unsigned turn = 0; turn < 2; turn++) {
        uint64_t from = w->record->sequence;

        world_map(w, 7, turn * PAGE, GIB, 1, CORDON_RW);
        fence = record_find(w->record, from, RECORD_FENCE, UINT64_MAX);
        store = record_find(w->record, from, RECORD_STORE, UINT64_MAX);
        assert_non_null(fence);
        assert_non_null(store);
        assert_true(fence->sequence < store->sequence);
    }
    close_three(w, r);
}

/* Dead tables keep every word until they are freed, and are not freed before. */
static void what_is_retired_keeps_its_words(void **state)
{
    struct replay *r;
    struct world *w = open_three(&pt_sv48x4, &r);
    cordon_gpa gpa = cordon_gpa_make(0);
    struct pt_pool pool = {0};
    struct pt_retire retire = {0};
    uint64_t frames, dead = 0;

    (void)state;
    world_map(w, 7, 0, GIB + PAGE, 1024, CORDON_RW);
    frames = world_table_frames(w);
    memcpy(r->shadow, w->ram, WORLD_SIZE);
    r->w = w;
    reach_all(r);
    assert_int_equal(pt_reserve_change(&w->forest, gpa, 1024, 7, &pool), 0);
    pt_unmap(&w->forest, gpa, 1024, 7, &pool, &retire);
    pt_pool_free(&w->forest, &pool);
    assert_true(retire.nonleaf && retire.downgrade);
    assert_int_equal(retire.count, 4);
    assert_int_equal(world_table_frames(w), frames);
    for (uint64_t f = 0; f < WORLD_FRAMES; f++) {
        bool root = false;

        for (unsigned v = 0; v < WORLD_VIEWS; v++) {
            root |= (WORLD_RAM + f * PAGE - w->forest.root[v].v) / PAGE < 4;
        }
        if (r->reachable[f] && !root &&
            memcmp(r->shadow + f * PAGE, w->ram + f * PAGE, PAGE) == 0) {
            dead++;
        }
    }
    /* Both leaf tables, whole; of the two above, the lower one lost both its words by name. */
    assert_true(dead >= 2);
    pt_retire_free(&w->forest, &retire);
    assert_int_equal(world_table_frames(w), frames - 4);
    assert_int_equal(retire.count, 0);
    oracle_set(w, 7, 0, 1024, ORACLE_CLEAR, 0);
    world_check(w);
    close_three(w, r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_change_is_safe_at_every_store),
        cmocka_unit_test(random_changes_are_safe_at_every_store),
        cmocka_unit_test(leaves_of_64_kib_are_safe_at_every_store),
        cmocka_unit_test(a_map_fences_before_its_first_leaf),
        cmocka_unit_test(what_is_retired_keeps_its_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
