/* Memory in pieces on purpose, for the tests of runs that are made by moving. */
#ifndef UNIT_SUPPORT_MAKE_BENCH_H
#define UNIT_SUPPORT_MAKE_BENCH_H

#include "map_bench.h"

#include <cordon/move.h>

#define RAM (32 * MIB)
#define FRAMES (RAM / PAGE)
#define G_RAM UINT64_C(0x40000000)
#define DOMAINS 3u
#define PINNED 1u /* the domain whose region is, in tests with three */

static struct map_bench b;
static struct cordon_extent list[FRAMES];
static cordon_domain *dom[DOMAINS];
static uint64_t pages_of[DOMAINS];
static uint64_t seed;

static inline int setup(void **state)
{
    (void)state;
    memset(dom, 0, sizeof(dom));
    memset(pages_of, 0, sizeof(pages_of));
    bench_open(&b, RAM);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DOMAINS; i++) {
        if (dom[i] != NULL) {
            assert_int_equal(cordon_domain_destroy(dom[i]), 0);
        }
    }
    bench_close(&b);
    return 0;
}

/* ---- memory that is in pieces on purpose --------------------------------------------------- */

static inline uint64_t mark_of(unsigned d, uint64_t page)
{
    return (uint64_t)(d + 1) << 56 | page * UINT64_C(0x9e3779b97f4a7c15) >> 8;
}

static inline uint64_t *page_at(const cordon_domain *d, uint64_t gpa)
{
    uint64_t hpa = bench_leads(d, 0, gpa, 0);

    return hpa == UINT64_MAX ? NULL : bench_word(&b, cordon_hpa_make(hpa));
}

static inline void write_marks(unsigned d)
{
    for (uint64_t i = 0; i < pages_of[d]; i++) {
        uint64_t *page = page_at(dom[d], G_RAM + i * PAGE);

        page[0] = mark_of(d, i);
        page[511] = ~mark_of(d, i);
    }
}

/* Every page that is there has its own contents, at both ends. */
static inline void check_marks(void)
{
    for (unsigned d = 0; d < DOMAINS; d++) {
        for (uint64_t i = 0; i < pages_of[d]; i++) {
            const uint64_t *page = page_at(dom[d], G_RAM + i * PAGE);

            if (page != NULL && (page[0] != mark_of(d, i) || page[511] != ~mark_of(d, i))) {
                fail_msg("domain %u page %lu has other contents", d, (unsigned long)i);
            }
        }
    }
}

/* Domain D gets PAGES single frames from all over memory. */
static inline void fill(unsigned d, uint64_t pages, uint32_t pieces, uint32_t flags)
{
    size_t count = FRAMES;

    if (dom[d] == NULL) {
        dom[d] = bench_domain(&b);
    }
    assert_int_equal(cordon_scatter_alloc(b.ctx, pages * PAGE, pieces, ++seed, list, &count), 0);
    struct cordon_op op = op_grant(G_RAM, list, count, RWX, flags);

    assert_int_equal(cordon_change(dom[d], &op, 1), 0);
    pages_of[d] = pages;
    write_marks(d);
}

/* Give back pages at random until only PERCENT of memory is in use. */
static inline void punch(unsigned domains, unsigned percent)
{
    while (bench_stats(&b).free < RAM / 100 * (100 - percent)) {
        unsigned d = (unsigned)(bench_random(&seed) % domains);
        uint64_t gpa = G_RAM + bench_random(&seed) % pages_of[d] * PAGE;

        if (page_at(dom[d], gpa) != NULL) {
            assert_int_equal(bench_revoke(dom[d], gpa, 1), 0);
        }
    }
}

/* 90 % full, of single frames, with holes of 4 KiB. */
static inline void fragment(uint64_t s)
{
    seed = s * 2 + 1;
    fill(0, (bench_stats(&b).free / PAGE) * 97 / 100, 1, 0);
    punch(1, 90);
}

static inline int make_run(const struct cordon_run_want *want, struct cordon_run_made *out)
{
    return cordon_run_make(b.ctx, want, 0, out);
}

static struct cordon_run_want want_of(uint64_t len)
{
    return (struct cordon_run_want){.size = sizeof(struct cordon_run_want), .len = len};
}

static inline void check_run(const struct cordon_run_made *made, uint64_t len)
{
    const uint64_t *word = bench_word(&b, made->hpa);

    assert_true(frames_all(b.ctx, made->hpa, len, CORDON_FRAME_HELD));
    for (uint64_t i = 0; i < len / 8; i += 64) {
        assert_int_equal(word[i], 0);
    }
}

#endif
