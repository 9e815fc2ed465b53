/*
 * The audit finds what is planted, and says which invariant it breaks. Each test breaks one word in
 * memory, as a mistake of ours or a wild write would, and mends it afterwards.
 */
#include "map_bench.h"

#define AT (4 * BLOCK)          /* RAM of red: 600 pages, one 2 MiB leaf and 88 of 4 KiB */
#define SMALL (AT + BLOCK)      /* its first 4 KiB leaf */
#define HIDDEN (AT + 2 * BLOCK) /* 4 pages without DMA */
#define MMIO_AT UINT64_C(0x30000000)

static struct map_bench b;
static cordon_domain *red, *blue;
static uint32_t view;
static cordon_hpa ram, hidden, blues, held;

static int setup(void **state)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = 600 * PAGE, .align = BLOCK};
    struct cordon_extent e = {.len = want.len}, mmio = {{BENCH_MMIO}, 4 * PAGE};
    struct cordon_op ops[2];

    (void)state;
    bench_open(&b, 32 * MIB);
    red = bench_domain(&b);
    blue = bench_domain(&b);
    assert_int_equal(cordon_run_alloc(b.ctx, &want, &e.hpa), 0);
    ram = e.hpa;
    ops[0] = op_grant(AT, &e, 1, RW, 0);
    ops[1] = op_grant(MMIO_AT, &mmio, 1, RW, CORDON_REGION_MMIO);
    assert_int_equal(cordon_change(red, ops, 2), 0);
    hidden = bench_grant(&b, red, HIDDEN, 4, RW, CORDON_REGION_NODMA);
    assert_int_equal(domain_view_add(red, &view), 0);
    blues = bench_grant(&b, blue, AT, 4, RW, 0);
    held = bench_held(&b, 1);
    bench_sound(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_sound(&b); /* everything was mended */
    domain_view_remove(red, view);
    assert_int_equal(cordon_domain_destroy(red), 0);
    assert_int_equal(cordon_domain_destroy(blue), 0);
    assert_int_equal(cordon_run_free(b.ctx, held, PAGE), 0);
    bench_close(&b);
    return 0;
}

/* With *WORD made VALUE, the audit finds INVARIANT broken; then the old value is back. */
static struct cordon_finding with(uint64_t *word, uint64_t value, uint32_t invariant)
{
    uint64_t old = *word;

    assert_int_not_equal(old, value);
    *word = value;
    struct cordon_finding found = bench_breaks(&b, invariant);

    *word = old;
    bench_sound(&b);
    return found;
}

/* The ownership word of the table that holds WORD. */
static uint64_t *own_of(const uint64_t *word)
{
    uint64_t hpa = (uint64_t)(uintptr_t)word - b.ctx->ram_offset;

    return frames_word_at(b.ctx, cordon_hpa_make(hpa & ~(PAGE - 1)));
}

/* The same where a word comes or goes, and its table's count says so too. */
static struct cordon_finding with_counted(uint64_t *word, uint64_t value, uint32_t invariant)
{
    const uint64_t one = field_put(FW_TABLE_VALID, 1);
    uint64_t old = *word;

    *word = value;
    *own_of(word) += value != 0 ? one : -one;
    struct cordon_finding found = bench_breaks(&b, invariant);

    *word = old;
    *own_of(word) -= value != 0 ? one : -one;
    bench_sound(&b);
    return found;
}

static uint64_t leaf_to(uint64_t leaf, uint64_t hpa)
{
    return (leaf & ~PTE_PPN) | field_put(PTE_PPN, hpa >> 12);
}

/* ---- leaves -------------------------------------------------------------------------------- */

static void test_a_leaf_that_leads_elsewhere(void **state)
{
    uint64_t *leaf = bench_leaf(&b, red, 0, SMALL);
    const struct {
        uint64_t hpa;
        uint32_t invariant;
    } targets[] = {
        {ram.v + BLOCK + PAGE, 1},                           /* its own, of another page */
        {hidden.v, 1},                                       /* its own, of another region */
        {blues.v, 2},                                        /* another domain's */
        {held.v, 2},                                         /* nobody's yet */
        {red->forest.root[0].v, 3},                          /* its own tables */
        {blue->forest.root[0].v, 3},                         /* another's tables */
        {(uint64_t)(uintptr_t)b.ctx - b.ctx->ram_offset, 3}, /* the layer's own memory */
        {BENCH_RAM - PAGE, 3},                               /* no RAM */
        {BENCH_MMIO + PAGE, 3},                              /* MMIO */
        {b.ctx->frames.free[__builtin_ctz(b.ctx->frames.nonempty)] << 12, 4}, /* free */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct cordon_finding f = with(leaf, leaf_to(*leaf, targets[i].hpa), targets[i].invariant);

        assert_int_equal(f.domain, cordon_domain_number(red));
        assert_int_equal(f.view, 0);
        assert_int_equal(f.level, 0);
        assert_int_equal(f.gpa.v, SMALL);
        assert_int_equal(f.hpa.v, targets[i].hpa);
        assert_ptr_equal(bench_word(&b, f.word), leaf);
        assert_int_equal(f.value, leaf_to(*leaf, targets[i].hpa));
    }
}

static void test_a_superpage_that_leads_half_elsewhere(void **state)
{
    uint64_t *leaf = bench_leaf(&b, red, 0, AT);

    (void)state;
    struct cordon_finding f = with(leaf, leaf_to(*leaf, ram.v + BLOCK), 1);

    assert_int_equal(f.level, 1);
    assert_int_equal(f.gpa.v, AT);
    (void)with(leaf, leaf_to(*leaf, ram.v + PAGE), 1); /* crooked */
}

static void test_a_leaf_with_rights_or_bits_that_nobody_gave(void **state)
{
    static const uint64_t at[] = {AT, SMALL, MMIO_AT};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        uint64_t *leaf = bench_leaf(&b, red, 0, at[i]);

        (void)with(leaf, *leaf | PTE_X, 1);
        (void)with(leaf, *leaf | PTE_G, 1);
        (void)with(leaf, *leaf & ~PTE_U, 1);
        (void)with(leaf, *leaf & ~PTE_A, 1);
        (void)with(leaf, *leaf & ~PTE_V, 1);
        (void)with(leaf, *leaf | BIT64(63), 1); /* NAPOT */
        (void)with(leaf, *leaf | BIT64(61), 1); /* memory type */
        (void)with(leaf, *leaf | BIT64(8), 1);
    }
}

static void test_a_leaf_where_the_map_has_nothing(void **state)
{
    uint64_t *leaf = bench_leaf(&b, red, 0, SMALL);
    uint64_t *beyond = leaf + 88; /* the first page behind the region, in the same table */

    (void)state;
    assert_int_equal(*beyond, 0);
    struct cordon_finding f = with_counted(beyond, leaf_to(*leaf, ram.v + 600 * PAGE), 1);

    assert_int_equal(f.gpa.v, SMALL + 88 * PAGE);
}

static void test_a_page_that_is_missing(void **state)
{
    static const uint64_t at[] = {AT, SMALL, HIDDEN + PAGE, MMIO_AT + PAGE};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct cordon_finding f = with_counted(bench_leaf(&b, red, 0, at[i]), 0, 1);

        assert_int_equal(f.gpa.v, at[i]);
        assert_string_equal(f.text, "a page of the map that the view lacks");
    }
}

static void test_a_count_that_is_wrong(void **state)
{
    uint64_t *own = own_of(bench_leaf(&b, red, 0, SMALL));

    (void)state;
    (void)with(own, *own + field_put(FW_TABLE_VALID, 1), 4);
    (void)with(own, *own - field_put(FW_TABLE_VALID, 1), 4);
    (void)with(own, *own + field_put(FW_TABLE_REFS, 1), 4);
    (void)with(own, *own - field_put(FW_TABLE_REFS, 1), 4);
    (void)with(own, (*own & ~FW_STATE) | CORDON_FRAME_HELD, 3);
}

/* ---- views --------------------------------------------------------------------------------- */

/* The table of 4 KiB leaves of HIDDEN stands in view 0 alone; put it into the device's view too. */
static void test_a_view_that_holds_what_its_filter_leaves_out(void **state)
{
    struct pt_hit g = {.leaf = false}, v = {.leaf = false};

    (void)state;
    assert_int_equal(pt_lookup(&red->forest, 0, cordon_gpa_make(HIDDEN), &g), 0);
    assert_int_equal(pt_lookup(&red->forest, view, cordon_gpa_make(HIDDEN), &v), 0);
    assert_true(g.leaf && !v.leaf && v.level == 1);
    uint64_t *word = bench_word(&b, v.word);
    cordon_hpa table = cordon_hpa_make(g.word.v & ~(PAGE - 1));

    *frames_word_at(b.ctx, table) += field_put(FW_TABLE_REFS, 1);
    *own_of(word) += field_put(FW_TABLE_VALID, 1);
    *word = PTE_V | field_put(PTE_PPN, table.v >> 12);
    struct cordon_finding f = bench_breaks(&b, 1);

    assert_int_equal(f.view, view);
    assert_int_equal(f.gpa.v, HIDDEN);
    assert_string_equal(f.text, "a leaf in a view that must not hold its region");
    *word = 0;
    *frames_word_at(b.ctx, table) -= field_put(FW_TABLE_REFS, 1);
    *own_of(word) -= field_put(FW_TABLE_VALID, 1);
}

/* A revoke that forgot one view: the entry stands there still, and everywhere else it is gone. */
static void test_a_stale_entry_in_one_view(void **state)
{
    struct pt_hit v = {.leaf = false};
    uint64_t stale;

    (void)state;
    assert_int_equal(pt_lookup(&red->forest, view, cordon_gpa_make(AT), &v), 0);
    stale = v.pte;
    assert_int_equal(bench_revoke(red, AT, 512), 0);
    bench_sound(&b);
    assert_int_equal(pt_lookup(&red->forest, view, cordon_gpa_make(AT), &v), 0);
    assert_int_equal(v.level, 1);
    struct cordon_finding f = with_counted(bench_word(&b, v.word), stale, 1);

    assert_int_equal(f.view, view);
    assert_int_equal(f.gpa.v, AT);
}

static void test_a_view_that_lacks_a_page(void **state)
{
    uint64_t *leaf = bench_leaf(&b, red, view, AT);

    (void)state;
    assert_ptr_not_equal(leaf, bench_leaf(&b, red, 0, AT)); /* the hidden region keeps it apart */
    struct cordon_finding f = with_counted(leaf, 0, 1);

    assert_int_equal(f.view, view);
    assert_int_equal(f.gpa.v, AT);
}

static void test_tables_that_are_none(void **state)
{
    uint64_t root = red->forest.root[0].v;
    uint64_t *word = bench_word(&b, red->forest.root[0]);

    (void)state;
    assert_true((*word & (PTE_V | PTE_R)) == PTE_V);
    (void)with(word, leaf_to(*word, held.v), 3);
    (void)with(word, leaf_to(*word, ram.v), 3);
    (void)with(word, leaf_to(*word, UINT64_C(1) << 50), 3);
    (void)with(word, *word | PTE_A, 1);
    (void)with(word, *word | PTE_U, 1);
    (void)with(&red->forest.root[0].v, ram.v, 3);
    (void)with(&red->forest.root[0].v, root + PAGE, 3);

    /* A pointer where only leaves may stand. */
    uint64_t *leaf = bench_leaf(&b, red, 0, SMALL);

    (void)with(leaf, PTE_V | field_put(PTE_PPN, root >> 12), 1);
}

/* ---- owners -------------------------------------------------------------------------------- */

static void test_owners_that_are_wrong(void **state)
{
    uint64_t *frame = frames_word_at(b.ctx, cordon_hpa_add(ram, BLOCK));
    uint64_t *block = &pool_block(&b.ctx->frames, ram.v >> 12)->word;
    uint64_t blue_number = field_put(FW_DOMAIN, cordon_domain_number(blue));

    (void)state;
    (void)with(frame, (*frame & ~FW_DOMAIN) | blue_number, 2);
    (void)with(block, (*block & ~FW_DOMAIN) | blue_number, 2);
    (void)with(frame, *frame + FW_GFN_ONE, 1);
    (void)with(block, *block + FW_GFN_ONE, 1);
    (void)with(frame, (*frame & ~FW_STATE) | CORDON_FRAME_REVOKING, 1);
    (void)with(frame, CORDON_FRAME_HELD, 2);
    (void)with(frame, CORDON_FRAME_HYP, 3);
    (void)with(frame, CORDON_FRAME_TABLE, 3);
    (void)with(frame, CORDON_FRAME_NONE, 3);
    (void)with(frame, FW_FREE_INSIDE, 4);
    (void)with(frame, *frame | FW_KEEP, 1);
}

static void test_frames_that_say_they_are_owned_and_are_not(void **state)
{
    uint64_t *word = frames_word_at(b.ctx, held);
    uint64_t *pages = b.ctx->frames.pages;
    uint64_t claims = CORDON_FRAME_OWNED | field_put(FW_DOMAIN, cordon_domain_number(red)) |
                      field_put(FW_GFN, 0x777);

    (void)state;
    (void)with(word, claims, 2); /* the counts differ */
    pages[CORDON_FRAME_HELD]--;
    pages[CORDON_FRAME_OWNED]++;
    uint64_t old = *word;

    *word = claims; /* even if it was counted */
    struct cordon_finding f = bench_breaks(&b, 1);

    assert_int_equal(f.hpa.v, held.v);
    assert_int_equal(f.gpa.v, 0x777000);
    *word = CORDON_FRAME_OWNED | field_put(FW_DOMAIN, 99);
    f = bench_breaks(&b, 2);
    assert_int_equal(f.hpa.v, held.v);
    *word = old;
    pages[CORDON_FRAME_HELD]++;
    pages[CORDON_FRAME_OWNED]--;
}

static void test_free_memory_that_is_not_as_it_was_left(void **state)
{
    struct frame_pool *p = &b.ctx->frames;
    unsigned order = (unsigned)__builtin_ctz(p->nonempty & ~1u);
    uint64_t hfn = p->free[order];
    struct frame_block *block = pool_block(p, hfn);

    (void)state;
    assert_true(order < BLOCK_ORDER);
    uint64_t *head = &block->words[hfn % 512];

    (void)with(head, FW_FREE_INSIDE, 4);
    (void)with(head, CORDON_FRAME_FREE | 30 << 3, 4);
    (void)with(head, CORDON_FRAME_HELD, 4);
    (void)with(&p->free[order], HFN_NONE, 4);
    (void)with(&p->free[order], UINT64_C(1) << 40, 4);
    (void)with(pool_ptr(p, hfn), 0, 4);

    unsigned large = 31u - (unsigned)__builtin_clz(p->nonempty);
    struct frame_block *second = pool_block(p, p->free[large]) + 1;

    assert_true(large > BLOCK_ORDER);
    (void)with(&second->word, CORDON_FRAME_HELD, 4);
}

static void test_counts_that_are_wrong(void **state)
{
    (void)state;
    for (unsigned s = CORDON_FRAME_FREE; s <= CORDON_FRAME_REVOKING; s++) {
        (void)with(&b.ctx->frames.pages[s], b.ctx->frames.pages[s] + 1, 2);
    }
}

static void test_mmio_that_is_not_as_the_map_says(void **state)
{
    uint64_t *leaf = bench_leaf(&b, red, 0, MMIO_AT);
    struct span *holding = span_find(&b.ctx->resources.holdings, BENCH_MMIO >> 12);
    struct span *range = span_find(&b.ctx->resources.ranges, BENCH_MMIO >> 12);

    (void)state;
    (void)with(leaf, leaf_to(*leaf, BENCH_MMIO + PAGE), 1);
    (void)with(leaf, leaf_to(*leaf, BENCH_MMIO + 5 * PAGE), 2); /* offered, and nobody has it */
    (void)with(leaf, leaf_to(*leaf, BENCH_MMIO + BENCH_MMIO_LEN), 3);
    (void)with(leaf, leaf_to(*leaf, ram.v), 1);
    (void)with(&holding->value, holding->value + 1, 1);
    holding->attr ^= 3;
    (void)bench_breaks(&b, 2);
    holding->attr ^= 3;
    holding->attr |= RESOURCE_REVOKING;
    (void)bench_breaks(&b, 1);
    holding->attr &= ~RESOURCE_REVOKING;
    range->attr = RESOURCE_OWN; /* the layer's own registers */
    (void)bench_breaks(&b, 3);
    range->attr = RESOURCE_OFFERED;
    (void)with(&holding->pages, holding->pages + 1, 2); /* more than the map shows */
}

static void test_reserved_memory_that_somebody_has(void **state)
{
    struct map_bench r;
    const struct cordon_extent bank = {{BENCH_RAM}, 8 * MIB}, kept = {{BENCH_RAM + PAGE}, PAGE};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .reserved = &kept,
                                .reserved_count = 1,
                                .hart_modes = 7};

    (void)state;
    bench_open_as(&r, BENCH_RAM, 8 * MIB, &cfg);
    uint64_t *word = frames_word_at(r.ctx, kept.hpa);

    *word = CORDON_FRAME_HELD;
    r.ctx->frames.pages[CORDON_FRAME_HELD]++;
    r.ctx->frames.pages[CORDON_FRAME_HYP]--;
    struct cordon_finding f = bench_breaks(&r, 3);

    assert_int_equal(f.hpa.v, kept.hpa.v);
    *word = CORDON_FRAME_HYP;
    r.ctx->frames.pages[CORDON_FRAME_HELD]--;
    r.ctx->frames.pages[CORDON_FRAME_HYP]++;
    bench_close(&r);
}

static void test_an_audit_needs_pointers(void **state)
{
    struct cordon_finding f;

    (void)state;
    assert_int_equal(cordon_audit(NULL, &f), -CORDON_EINVAL);
    assert_int_equal(cordon_audit(b.ctx, NULL), -CORDON_EINVAL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_leaf_that_leads_elsewhere),
        TEST(test_a_superpage_that_leads_half_elsewhere),
        TEST(test_a_leaf_with_rights_or_bits_that_nobody_gave),
        TEST(test_a_leaf_where_the_map_has_nothing),
        TEST(test_a_page_that_is_missing),
        TEST(test_a_count_that_is_wrong),
        TEST(test_a_view_that_holds_what_its_filter_leaves_out),
        TEST(test_a_stale_entry_in_one_view),
        TEST(test_a_view_that_lacks_a_page),
        TEST(test_tables_that_are_none),
        TEST(test_owners_that_are_wrong),
        TEST(test_frames_that_say_they_are_owned_and_are_not),
        TEST(test_free_memory_that_is_not_as_it_was_left),
        TEST(test_counts_that_are_wrong),
        TEST(test_mmio_that_is_not_as_the_map_says),
        TEST(test_reserved_memory_that_somebody_has),
        TEST(test_an_audit_needs_pointers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
