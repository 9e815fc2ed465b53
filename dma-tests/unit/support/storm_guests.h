/*
 * The guests of a storm: what each page of theirs holds, wherever its frame has gone, and steps
 * that are begun and ended. After each the audit finds nothing and the order was not broken, and
 * what was refused has changed nothing.
 */
#ifndef STORM_GUESTS_H
#define STORM_GUESTS_H

#include "map_bench.h"

#define RAM (24 * MIB)
#define DOMAINS 3u
#define PAGES 8192u /* of each guest, from 0; its space stands higher */
#define NODES 11u   /* with their numbers, from 1 */

struct guest {
    cordon_domain *d;
    cordon_space *s;
    bool viewed;
    uint32_t view;
    uint64_t word[PAGES]; /* the first word of each page, if it was stored to; else 0 */
    uint64_t life[NODES]; /* how often a node of its space came to be */
};

static struct map_bench b;
static struct guest guest[DOMAINS];
static uint64_t seed, stored;
static const char *what; /* the step */
static uint64_t before;  /* what bench_state was before it */

static inline uint64_t pick(uint64_t n)
{
    return bench_random(&seed) % n;
}

static inline uint64_t *words(uint64_t hpa)
{
    return bench_word(&b, cordon_hpa_make(hpa));
}

/* ---- steps -------------------------------------------------------------------------------- */

/* One of the next allocations may fail. */
static inline void begin(const char *name)
{
    what = name;
    before = bench_state(&b);
    b.record.fail_at = pick(3) == 0 ? b.record.allocations + 1 + pick(8) : 0;
}

/* What changes nothing when it fails. Returns ERR. */
static inline int end(int err)
{
    b.record.fail_at = 0;
    if (err != 0 && err != -CORDON_EPENDING && bench_state(&b) != before) {
        fail_msg("%s: it failed (%s), and something has changed", what, cordon_strerror(err));
    }
    return err;
}

/* What may have done a part of it. */
static inline void end_in_part(int err)
{
    b.record.fail_at = 0;
    if (err == -CORDON_ECORRUPT) {
        fail_msg("%s: %s", what, cordon_strerror(err));
    }
}

struct range {
    uint64_t first, pages;
};

static inline void forget(struct guest *g, struct range r)
{
    memset(&g->word[r.first], 0, r.pages * sizeof(g->word[0]));
}

/* ---- what the guests see ----------------------------------------------------------------- */

static inline void check_pages(const struct guest *g)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t at = bench_leads(g->d, 0, page * PAGE, 0);

        if (g->word[page] != 0 && (at == UINT64_MAX || *words(at) != g->word[page])) {
            fail_msg("%s: page %llu of domain %u holds something else", what,
                     (unsigned long long)page, cordon_domain_number(g->d));
        }
    }
}

static inline void store_to(struct guest *g, uint64_t page, uint64_t hpa)
{
    struct cordon_region_info r;

    assert_int_equal(cordon_region_find(g->d, cordon_gpa_make(page * PAGE), false, &r), 0);
    if ((r.flags & (CORDON_REGION_SHARED | CORDON_REGION_MMIO)) == 0) {
        g->word[page] = ++stored;
        *words(hpa) = stored;
    }
}

/* Pages of a space's RAM hold their name, which says which life of the node they belong to, or
 * zeroes. */
static inline void check_section(const struct guest *g, const struct cordon_section *sec)
{
    for (uint64_t at = 0; sec->kind == CORDON_NODE_RAM && at < sec->len; at += PAGE) {
        uint64_t hpa = bench_leads(g->d, 0, sec->gpa.v + at, 0);
        uint64_t name = BIT64(63) | (uint64_t)sec->node << 48 | g->life[sec->node] << 24 |
                        (sec->offset + at) / PAGE;

        if (hpa == UINT64_MAX) {
            continue;
        }
        if (*words(hpa) != 0 && *words(hpa) != name) {
            fail_msg("%s: node %u of domain %u holds something else at 0x%llx", what, sec->node,
                     cordon_domain_number(g->d), (unsigned long long)(sec->gpa.v + at));
        }
        if (pick(3) == 0) {
            *words(hpa) = name;
        }
    }
}

static inline void check_space(const struct guest *g)
{
    cordon_gpa at = {0};
    struct cordon_section sec;

    while (cordon_section_find(g->s, at, true, &sec) == 0) {
        check_section(g, &sec);
        at = cordon_gpa_add(sec.gpa, sec.len);
    }
}

static inline void check(bool all)
{
    struct cordon_finding found;

    if (cordon_audit(b.ctx, &found) != 0) {
        fail_msg("%s: invariant %u: %s", what, found.invariant, found.text);
    }
    if (record_broken(&b.record) != NULL) {
        fail_msg("%s: %s", what, record_broken(&b.record));
    }
    for (unsigned i = 0; all && i < DOMAINS; i++) {
        check_pages(&guest[i]);
        check_space(&guest[i]);
    }
}

#endif
