/*
 * What the tests of cordon_walk_guest share: a guest whose own tables stand in its first pages, its
 * GPA and HPA apart and in pieces.
 */
#ifndef GVA_BENCH_H
#define GVA_BENCH_H

#include "one_domain.h"

#include <cordon/gva.h>

#include "gva/word.h"
#include "pt/walk.h"

#define RAM UINT64_C(0x40000000)
#define PAGES 16u
#define TABLE(n) (RAM + (n)*PAGE)
#define DATA (RAM + 8 * PAGE)
#define HOLE (RAM + 3 * GIB)
#define ADDRESS(mode) (UINT64_MAX << ((mode) == 8 ? 38 : (mode) == 9 ? 47 : 56) | 0x123)

#define V PTE_V
#define LEAF (PTE_V | PTE_R | PTE_W | PTE_A | PTE_D)
#define TO(gpa) ((gpa) >> 2)

static inline uint64_t *word(uint64_t gpa)
{
    struct cordon_hit hit;

    assert_int_equal(cordon_translate(d, 0, cordon_gpa_make(gpa), 0, &hit), 0);
    return bench_word(&b, hit.hpa);
}

static inline unsigned levels(uint64_t mode)
{
    return (unsigned)mode - 5;
}

/* Tables 0, 1, .. lead to LAST at the word of each level that ADDRESS has. */
static inline void build(uint64_t mode, uint64_t last)
{
    for (unsigned i = 0; i < levels(mode); i++) {
        unsigned level = levels(mode) - 1 - i;
        uint64_t index = ADDRESS(mode) >> (12 + 9 * level) & 511;

        *word(TABLE(i) + 8 * index) = level == 0 ? last : V | TO(TABLE(i + 1));
    }
}

static inline struct cordon_gva_ask ask(uint64_t mode)
{
    return (struct cordon_gva_ask){
        .size = sizeof(struct cordon_gva_ask),
        .satp = mode << 60 | UINT64_C(7) << 44 | RAM >> 12,
        .gva = {ADDRESS(mode)},
        .access = CORDON_READ,
    };
}

static inline struct cordon_gva_walk walked(const struct cordon_gva_ask *a)
{
    struct cordon_gva_walk w = {.size = sizeof(w)};

    assert_int_equal(cordon_walk_guest(d, a, &w), 0);
    return w;
}

/* The way of an ordinary read in Sv39 whose last word is LAST. */
static inline struct cordon_gva_walk walked_to(uint64_t last)
{
    struct cordon_gva_ask a = ask(8);

    build(8, last);
    return walked(&a);
}

static inline int setup_guest(void **state)
{
    (void)setup(state);
    for (unsigned i = 0; i < PAGES; i++) {
        bench_grant(&b, d, RAM + (PAGES - 1 - i) * PAGE, 1, RWX, 0);
    }
    return 0;
}

#endif
