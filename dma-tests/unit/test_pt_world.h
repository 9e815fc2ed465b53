/*
 * What the tests of iommu/pt share: a machine's worth of RAM, a forest in it, and two judges that
 * use nothing of the room's own code. The oracle is a plain array, page -> (frame, rights), for
 * each view. The walker reads tables literally as the specification says, refuses any bit that has
 * no business there, and counts parents and valid entries of each table on the way.
 */
#ifndef TEST_PT_WORLD_H
#define TEST_PT_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/ctx.h"
#include "pt/pt.h"
#include "record.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define WORLD_RAM UINT64_C(0x80000000)
#define WORLD_SIZE (48 * MIB)
#define WORLD_FRAMES (WORLD_SIZE / PAGE)
#define WORLD_VIEWS 3u
#define WORLD_WINDOWS 4u

/* The parts of the address space that a test plays in; linear addresses. */
struct window {
    uint64_t first, pages;
    uint64_t *page[WORLD_VIEWS]; /* frame number << 3 | rights; 0: nothing */
};

struct world {
    void *block;
    uint8_t *ram;
    cordon_ctx *ctx;
    struct port_record *record; /* null: nothing is recorded */
    const struct pt_fmt *fmt;
    struct pt_forest forest;
    unsigned windows;
    struct window window[WORLD_WINDOWS];
    uint64_t mapped[WORLD_VIEWS]; /* pages, by the oracle */
    uint64_t frames_before;
    /* What the walker counted, by frame. */
    uint16_t refs[WORLD_FRAMES], valid[WORLD_FRAMES];
    uint8_t seen[WORLD_FRAMES];
    uint64_t tables; /* distinct frames */
    uint64_t leaves[3];
    uint64_t runs; /* leaves of 64 KiB; their 16 words count as leaves of level 0 too */
};

static const struct pt_fmt *const world_formats[] = {&pt_sv39x4, &pt_sv48x4, &pt_sv57x4,
                                                     &pt_sv39,   &pt_sv48,   &pt_sv57};
#define WORLD_FORMATS (sizeof(world_formats) / sizeof(world_formats[0]))

static inline uint64_t world_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline uint64_t world_gpa(const struct world *w, uint64_t linear)
{
    unsigned bits = w->fmt->address_bits;

    if (w->fmt->leaf_bits & 0x10) {
        return linear; /* second stage */
    }
    return (uint64_t)((int64_t)(linear << (64 - bits)) >> (64 - bits));
}

static inline uint64_t *world_words(const struct world *w, uint64_t hpa)
{
    assert_true(hpa >= WORLD_RAM && hpa < WORLD_RAM + WORLD_SIZE);
    return (uint64_t *)(w->ram + (hpa - WORLD_RAM));
}

static inline uint64_t world_table_frames(const struct world *w)
{
    struct cordon_memory_stats stats;

    cordon_memory_stats(w->ctx, &stats);
    return stats.table / PAGE;
}

static inline void world_window(struct world *w, uint64_t first, uint64_t bytes)
{
    struct window *n = &w->window[w->windows++];

    assert_true(w->windows <= WORLD_WINDOWS);
    n->first = first;
    n->pages = bytes / PAGE;
    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        n->page[v] = calloc(n->pages, sizeof(uint64_t));
        assert_non_null(n->page[v]);
    }
}

/* RAM and a context over it, with a forest of one view. */
static inline struct world *world_open_recorded(const struct pt_fmt *fmt,
                                                struct port_record *record)
{
    struct world *w = calloc(1, sizeof(*w));
    struct cordon_extent bank = {{WORLD_RAM}, WORLD_SIZE};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .cookie = record,
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = 7,
                                .vmid_bits = 14};

    assert_non_null(w);
    w->block = malloc(WORLD_SIZE + 2 * MIB);
    assert_non_null(w->block);
    w->ram = (uint8_t *)(((uintptr_t)w->block + 2 * MIB - 1) & ~(uintptr_t)(2 * MIB - 1));
    memset(w->ram, 0x5a, WORLD_SIZE);
    cfg.ram_offset = (uint64_t)(uintptr_t)w->ram - WORLD_RAM;
    assert_int_equal(cordon_ctx_create(&cfg, &w->ctx), 0);
    w->record = record;
    w->fmt = fmt;
    w->frames_before = world_table_frames(w);
    assert_int_equal(pt_forest_init(&w->forest, w->ctx, fmt), 0);
    return w;
}

static inline struct world *world_open(const struct pt_fmt *fmt)
{
    return world_open_recorded(fmt, NULL);
}

/* A record, for its log and its failing allocations. What its order checker says is not asked: it
 * knows whole domains, and here leaves lead anywhere. */
static inline struct port_record *world_record(void)
{
    struct port_record *r = malloc(sizeof(*r));

    assert_non_null(r);
    record_init(r, NULL);
    return r;
}

/* Windows at both ends of the space, around one whole GiB, and where a first stage is cut in
 * two. */
static inline void world_windows(struct world *w)
{
    uint64_t space = UINT64_C(1) << w->fmt->address_bits;

    world_window(w, 0, 4 * MIB);
    world_window(w, GIB - 4 * MIB, GIB + 8 * MIB);
    world_window(w, space - 4 * MIB, 4 * MIB);
    if (w->fmt->sign_extended) {
        world_window(w, space / 2 - 4 * MIB, 8 * MIB);
    }
}

static inline struct world *world_open_windows(const struct pt_fmt *fmt)
{
    struct world *w = world_open(fmt);

    world_windows(w);
    return w;
}

/* Everything goes; every table frame must have come home. */
static inline void world_close(struct world *w)
{
    pt_forest_free(&w->forest);
    assert_int_equal(world_table_frames(w), w->frames_before);
    assert_int_equal(cordon_ctx_destroy(w->ctx), 0);
    for (unsigned i = 0; i < w->windows; i++) {
        for (unsigned v = 0; v < WORLD_VIEWS; v++) {
            free(w->window[i].page[v]);
        }
    }
    if (w->record != NULL) {
        record_end(w->record);
        free(w->record);
    }
    free(w->block);
    free(w);
}

/* ---- the oracle --------------------------------------------------------------------------- */

static inline uint64_t *oracle_at(const struct world *w, unsigned view, uint64_t linear)
{
    for (unsigned i = 0; i < w->windows; i++) {
        uint64_t page = (linear - w->window[i].first) / PAGE;

        if (linear >= w->window[i].first && page < w->window[i].pages) {
            return &w->window[i].page[view][page];
        }
    }
    return NULL;
}

/* Set PAGES pages; HPA ~0 clears, ~1 keeps frames and changes rights. Returns pages that differ. */
#define ORACLE_CLEAR UINT64_MAX
#define ORACLE_RIGHTS (UINT64_MAX - 1)
static inline uint64_t oracle_set(struct world *w, uint32_t views, uint64_t linear, uint64_t pages,
                                  uint64_t hpa, uint32_t perms)
{
    uint64_t differ = 0;

    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        uint64_t *page = oracle_at(w, v, linear);

        assert_non_null(page);
        for (uint64_t i = 0; (views >> v & 1) != 0 && i < pages; i++) {
            uint64_t old = page[i];

            if (hpa == ORACLE_CLEAR) {
                page[i] = 0;
            } else if (hpa == ORACLE_RIGHTS) {
                page[i] = old != 0 ? (old & ~UINT64_C(7)) | perms : 0;
            } else {
                page[i] = (hpa / PAGE + i) << 3 | perms;
            }
            differ += page[i] != old;
            w->mapped[v] += (uint64_t)(page[i] != 0) - (uint64_t)(old != 0);
        }
    }
    return differ;
}

static inline bool oracle_empty(const struct world *w, uint32_t views, uint64_t linear,
                                uint64_t pages)
{
    uint64_t any = 0;

    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        const uint64_t *page = oracle_at(w, v, linear);

        for (uint64_t i = 0; (views >> v & 1) != 0 && i < pages; i++) {
            any |= page[i];
        }
    }
    return any == 0;
}

/* ---- the literal walker ------------------------------------------------------------------- */

/* [Priv 12.4.1, 18.5.1; IOMMU 3: no extension's bits] What a valid second- or first-stage word
 * may be at LEVEL. Returns 0: nothing, 1: leaf, 2: table; fails the test for all else. */
static inline int judge_word(const struct world *w, unsigned level, uint64_t word)
{
    bool second = strstr(w->fmt->name, "x4") != NULL;
    bool r = word >> 1 & 1, wr = word >> 2 & 1, x = word >> 3 & 1;

    if (word == 0) {
        return 0;
    }
    assert_true(word & 1);
    assert_true(word >> 54 == 0);      /* reserved, PBMT, N */
    assert_true((word >> 8 & 3) == 0); /* RSW */
    assert_true((word >> 5 & 1) == 0); /* G */
    if (!r && !wr && !x) {
        assert_true((word & 0x3ff) == 1); /* A, D, U are reserved in a non-leaf */
        assert_true(level > 0);
        return 2;
    }
    assert_true(!wr || r);
    assert_true((word >> 6 & 3) == 3); /* A, D preset */
    assert_int_equal(word >> 4 & 1, second);
    assert_true(level <= 2);
    assert_true((word >> 10 & ((UINT64_C(1) << 9 * level) - 1)) == 0);
    return 1;
}

/* [Priv Svnapot] One of the 16 words of a 64 KiB leaf, in a table of WORDS, as the leaf of its own
 * page: all are the same, A and D stand in each, and the size is the one that there is. */
static inline uint64_t judge_run(struct world *w, unsigned level, const uint64_t *words, unsigned i)
{
    uint64_t word = words[i];

    if (word >> 63 == 0) {
        return word;
    }
    assert_true(w->forest.napot);
    assert_int_equal(level, 0);
    assert_int_equal(word >> 10 & 15, 8);
    assert_int_equal(word >> 6 & 3, 3);
    for (unsigned k = 0; k < 16; k++) {
        assert_true(words[i / 16 * 16 + k] == word);
    }
    w->runs += i % 16 == 0;
    return (word & ~(UINT64_C(1) << 63 | UINT64_C(15) << 10)) | (uint64_t)(i % 16) << 10;
}

static inline void judge_leaf(struct world *w, unsigned view, unsigned level, uint64_t linear,
                              uint64_t word, uint64_t *pages)
{
    uint64_t count = UINT64_C(1) << 9 * level;
    uint64_t expect = (word >> 10 & ((UINT64_C(1) << 44) - 1)) << 3 | (word >> 1 & 7);
    const uint64_t *page = oracle_at(w, view, linear);

    assert_non_null(page);
    assert_non_null(oracle_at(w, view, linear + count * PAGE - 1));
    for (uint64_t i = 0; i < count; i++) {
        assert_true(page[i] == expect + (i << 3));
    }
    *pages += count;
    w->leaves[level]++;
}

static inline void judge_table(struct world *w, unsigned view, unsigned level, uint64_t hpa,
                               uint64_t linear, uint64_t *pages)
{
    unsigned top = w->fmt->levels - 1u;
    unsigned entries = level == top && strstr(w->fmt->name, "x4") != NULL ? 2048 : 512;
    uint64_t frame = (hpa - WORLD_RAM) / PAGE;
    const uint64_t *words = world_words(w, hpa);
    bool again = w->seen[frame];

    assert_true(hpa % (entries * 8) == 0);
    for (unsigned i = 0; i < entries / 512; i++) {
        assert_int_equal(frames_word(w->ctx, cordon_hpa_make(hpa + i * PAGE)) & 7,
                         CORDON_FRAME_TABLE);
        w->tables += !again;
        w->seen[frame + i] = 1;
    }
    for (unsigned i = 0; i < entries; i++) {
        uint64_t at = linear + ((uint64_t)i << (12 + 9 * level));
        uint64_t word = judge_run(w, level, words, i);
        int kind = judge_word(w, level, word);

        w->valid[frame] = (uint16_t)(w->valid[frame] + (!again && kind != 0));
        if (kind == 1) {
            judge_leaf(w, view, level, at, word, pages);
        } else if (kind == 2) {
            uint64_t below = (words[i] >> 10) << 12;

            w->refs[(below - WORLD_RAM) / PAGE] =
                (uint16_t)(w->refs[(below - WORLD_RAM) / PAGE] + !again);
            judge_table(w, view, level - 1, below, at, pages);
        }
    }
}

/* Each view says exactly what the oracle says; counts in the ownership words are what the walker
 * counted; no table is empty, lost or forgotten. */
static inline void world_check(struct world *w)
{
    unsigned top = w->fmt->levels - 1u;

    memset(w->refs, 0, sizeof(w->refs));
    memset(w->valid, 0, sizeof(w->valid));
    memset(w->seen, 0, sizeof(w->seen));
    memset(w->leaves, 0, sizeof(w->leaves));
    w->tables = w->runs = 0;
    for (unsigned v = 0; v < WORLD_VIEWS; v++) {
        uint64_t pages = 0;

        if (w->forest.views >> v & 1) {
            judge_table(w, v, top, w->forest.root[v].v, 0, &pages);
        }
        assert_int_equal(pages, w->mapped[v]);
    }
    for (uint64_t i = 0; i < WORLD_FRAMES; i++) {
        uint64_t word = frames_word(w->ctx, cordon_hpa_make(WORLD_RAM + i * PAGE));

        if (w->refs[i] != 0) {
            assert_true(w->valid[i] != 0);
        }
        if (w->seen[i]) {
            assert_int_equal(word >> 3 & 0xffff, w->refs[i]);
            assert_int_equal(word >> 19 & 0xffff, w->valid[i]);
        }
    }
    assert_int_equal(world_table_frames(w), w->frames_before + w->tables);
}

/* ---- changes, in the tables and in the oracle --------------------------------------------- */

static inline struct pt_retire world_map(struct world *w, uint32_t views, uint64_t linear,
                                         uint64_t hpa, uint64_t pages, uint32_t perms)
{
    struct pt_run run = {cordon_gpa_make(world_gpa(w, linear)), cordon_hpa_make(hpa), pages, perms,
                         views};
    struct pt_pool pool = {0};
    struct pt_retire retire = {0}, seen;

    assert_int_equal(pt_reserve_map(&w->forest, &run, &pool), 0);
    pt_map(&w->forest, &run, &pool, &retire);
    pt_pool_free(&w->forest, &pool);
    seen = retire;
    pt_retire_free(&w->forest, &retire);
    oracle_set(w, views, linear, pages, hpa, perms);
    assert_false(seen.downgrade);
    assert_int_equal(seen.count, 0);
    return seen;
}

static inline struct pt_retire world_unmap(struct world *w, uint32_t views, uint64_t linear,
                                           uint64_t pages)
{
    cordon_gpa gpa = cordon_gpa_make(world_gpa(w, linear));
    struct pt_pool pool = {0};
    struct pt_retire retire = {0}, seen;

    assert_int_equal(pt_reserve_change(&w->forest, gpa, pages, views, &pool), 0);
    pt_unmap(&w->forest, gpa, pages, views, &pool, &retire);
    pt_pool_free(&w->forest, &pool);
    seen = retire;
    pt_retire_free(&w->forest, &retire);
    assert_int_equal(seen.downgrade, oracle_set(w, views, linear, pages, ORACLE_CLEAR, 0) != 0);
    return seen;
}

static inline struct pt_retire world_protect(struct world *w, uint32_t views, uint64_t linear,
                                             uint64_t pages, uint32_t perms)
{
    cordon_gpa gpa = cordon_gpa_make(world_gpa(w, linear));
    struct pt_pool pool = {0};
    struct pt_retire retire = {0}, seen;

    assert_int_equal(pt_reserve_change(&w->forest, gpa, pages, views, &pool), 0);
    pt_protect(&w->forest, gpa, pages, perms, views, &pool, &retire);
    pt_pool_free(&w->forest, &pool);
    seen = retire;
    pt_retire_free(&w->forest, &retire);
    assert_int_equal(seen.downgrade,
                     oracle_set(w, views, linear, pages, ORACLE_RIGHTS, perms) != 0);
    assert_int_equal(seen.count, 0);
    return seen;
}

#endif
