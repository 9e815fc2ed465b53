/* cordon_walk_guest: GVA, GPA, HPA and HVA in one answer, and which of the guest's words stops it.
 */
#include "gva_bench.h"

static void test_each_word_is_told_in_all_its_addresses(void **state)
{
    (void)state;
    for (uint64_t mode = 8; mode <= 10; mode++) {
        struct cordon_gva_ask a = ask(mode);
        struct cordon_gva_walk w;

        build(mode, LEAF | TO(DATA));
        w = walked(&a);
        assert_int_equal(w.end, CORDON_GVA_LEADS);
        assert_int_equal(w.mode, mode);
        assert_int_equal(w.step_count, levels(mode));
        for (unsigned i = 0; i < levels(mode); i++) {
            struct cordon_gva_step *s = &w.step[i];

            assert_int_equal(s->level, levels(mode) - 1 - i);
            assert_int_equal(s->index, i == 0 ? 256 : 0);
            assert_int_equal(s->gpa.v, TABLE(i) + 8 * s->index);
            assert_ptr_equal(s->hva, word(s->gpa.v));
            assert_ptr_equal(bench_word(&b, s->hpa), word(s->gpa.v));
            assert_int_equal(s->value, *word(s->gpa.v));
        }
        assert_int_equal(w.gpa.v, DATA + 0x123);
        assert_int_equal(w.hva, (uintptr_t)word(DATA) + 0x123);
        assert_int_equal(w.gstage.hit.hpa.v, w.hva - b.ctx->ram_offset);
        assert_int_equal(w.gstage.step_count, 3);
        assert_int_equal(w.region.gpa.v, RAM);
        assert_int_equal(w.region.len, PAGES * PAGE);
        assert_int_equal(w.span, PAGE - 0x123);
        assert_int_equal(w.perms, RW);
        assert_int_equal(w.cause, 0);
    }
}

static void test_bare_is_the_way_of_a_gpa(void **state)
{
    struct cordon_gva_ask a = ask(0);
    struct cordon_gva_walk w;

    (void)state;
    a.gva.v = DATA + 5;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_LEADS);
    assert_int_equal(w.step_count, 0);
    assert_int_equal(w.hva, (uintptr_t)word(DATA) + 5);
    a.gva.v = UINT64_MAX;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_NO_PAGE);
    assert_int_equal(w.map, CORDON_GPA_WIDTH);
    assert_int_equal(w.cause, 21);
}

static void test_a_mode_that_no_hart_has_is_named(void **state)
{
    struct cordon_gva_ask a = ask(8);
    struct cordon_gva_walk w;

    (void)state;
    for (uint64_t mode = 1; mode <= 15; mode++) {
        a.satp = mode << 60 | RAM >> 12;
        w = walked(&a);
        assert_int_equal(w.end == CORDON_GVA_MODE, mode < 8 || mode > 10);
        assert_int_equal(w.mode, mode);
    }
}

static void test_an_address_that_is_not_canonical_reads_no_word(void **state)
{
    (void)state;
    for (uint64_t mode = 8; mode <= 10; mode++) {
        struct cordon_gva_ask a = ask(mode);
        struct cordon_gva_walk w;

        build(mode, LEAF | TO(DATA));
        a.gva.v ^= UINT64_C(1) << 63;
        a.access = CORDON_WRITE;
        w = walked(&a);
        assert_int_equal(w.end, CORDON_GVA_CANONICAL);
        assert_int_equal(w.step_count, 0);
        assert_int_equal(w.cause, 15);
        a.gva.v = ADDRESS(mode) ^ (UINT64_MAX << (mode == 8 ? 39 : mode == 9 ? 48 : 57));
        assert_int_equal(walked(&a).end, CORDON_GVA_CANONICAL);
    }
}

static void test_superpages_lead_and_misaligned_ones_do_not(void **state)
{
    cordon_hpa big = bench_grant(&b, d, HOLE, 1024, RW, 0);
    struct cordon_gva_ask a = ask(8);
    struct cordon_gva_walk w;

    (void)state;
    build(8, 0);
    *word(TABLE(1)) = LEAF | TO(HOLE + BLOCK);
    a.gva.v += 0x5000;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_LEADS);
    assert_int_equal(w.step_count, 2);
    assert_int_equal(w.gpa.v, HOLE + BLOCK + 0x5123);
    assert_int_equal(w.gstage.hit.hpa.v, big.v + BLOCK + 0x5123);
    assert_int_equal(w.span, BLOCK - 0x5123);
    *word(TABLE(1)) = LEAF | TO(HOLE + BLOCK + PAGE);
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_MISALIGNED);
    assert_int_equal(w.cause, 13);
    *word(TABLE(0) + 8 * 256) = LEAF | TO(HOLE);
    assert_int_equal(walked(&a).end, CORDON_GVA_LEADS);
    *word(TABLE(0) + 8 * 256) = LEAF | TO(HOLE + BLOCK);
    assert_int_equal(walked(&a).end, CORDON_GVA_MISALIGNED);
}

static void test_a_run_of_64k_is_one_where_the_hart_has_them(void **state)
{
    uint64_t leaf = LEAF | PTE_N | TO(RAM + 0x8000);
    struct cordon_gva_ask a = ask(8);
    struct cordon_gva_walk w;

    (void)state;
    build(8, leaf);
    assert_int_equal(walked(&a).end, CORDON_GVA_RESERVED);
    a.flags = CORDON_GVA_NAPOT;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_LEADS);
    assert_int_equal(w.gpa.v, RAM + 0x123);
    assert_int_equal(w.span, 0x10000 - 0x123);
    build(8, LEAF | PTE_N | TO(RAM + 0x4000));
    assert_int_equal(walked(&a).end, CORDON_GVA_BAD_NAPOT);
    build(8, leaf);
    *word(TABLE(1)) = LEAF | PTE_N | TO(RAM + 0x8000);
    assert_int_equal(walked(&a).end, CORDON_GVA_BAD_NAPOT);
    *word(TABLE(1)) = V | PTE_N | TO(TABLE(2));
    assert_int_equal(walked(&a).end, CORDON_GVA_RESERVED);
}

static void test_reserved_bits_and_combinations_stop_it(void **state)
{
    struct cordon_gva_ask a = ask(8);

    (void)state;
    for (unsigned bit = 54; bit <= 62; bit++) {
        assert_int_equal(walked_to(LEAF | BIT64(bit) | TO(DATA)).end, CORDON_GVA_RESERVED);
    }
    assert_int_equal(walked_to(V | PTE_W | PTE_A | PTE_D | TO(DATA)).end, CORDON_GVA_RESERVED);
    assert_int_equal(walked_to(V | PTE_W | PTE_X | TO(DATA)).end, CORDON_GVA_RESERVED);
    assert_int_equal(walked_to(V | TO(DATA)).end, CORDON_GVA_DEEP);
    assert_int_equal(walked_to((LEAF & ~V) | TO(DATA)).end, CORDON_GVA_EMPTY);
    assert_int_equal(walked_to(LEAF | 0x320 | TO(DATA)).end, CORDON_GVA_LEADS); /* RSW, G */
    a.flags = CORDON_GVA_PBMT;
    for (uint64_t type = 0; type < 4; type++) {
        build(8, LEAF | type << 61 | TO(DATA));
        assert_int_equal(walked(&a).end, type < 3 ? CORDON_GVA_LEADS : CORDON_GVA_RESERVED);
    }
    static const unsigned of_leaves[] = {4, 6, 7, 61, 62}; /* U, A, D, the memory type */

    for (size_t i = 0; i < sizeof(of_leaves) / sizeof(of_leaves[0]); i++) {
        build(8, LEAF | TO(DATA));
        *word(TABLE(1)) |= BIT64(of_leaves[i]);
        assert_int_equal(walked(&a).end, CORDON_GVA_RESERVED);
    }
}

static void test_rights_are_those_of_who_asks(void **state)
{
    static const struct {
        uint64_t leaf;
        uint32_t access, flags, end, cause;
    } cases[] = {
        {PTE_R, CORDON_READ, 0, CORDON_GVA_LEADS, 0},
        {PTE_R, CORDON_WRITE, 0, CORDON_GVA_RIGHTS, 15},
        {PTE_R, CORDON_EXEC, 0, CORDON_GVA_RIGHTS, 12},
        {PTE_X, CORDON_READ, 0, CORDON_GVA_RIGHTS, 13},
        {PTE_X, CORDON_READ, CORDON_GVA_MXR, CORDON_GVA_LEADS, 0},
        {PTE_X, CORDON_WRITE, CORDON_GVA_MXR, CORDON_GVA_RIGHTS, 15},
        {PTE_X, CORDON_EXEC, 0, CORDON_GVA_LEADS, 0},
        {PTE_R, CORDON_READ, CORDON_GVA_AS_USER, CORDON_GVA_USER, 13},
        {PTE_R | PTE_U, CORDON_READ, CORDON_GVA_AS_USER, CORDON_GVA_LEADS, 0},
        {PTE_R | PTE_U, CORDON_READ, 0, CORDON_GVA_SUPERVISOR, 13},
        {PTE_R | PTE_U, CORDON_READ, CORDON_GVA_SUM, CORDON_GVA_LEADS, 0},
        {PTE_X | PTE_U, CORDON_EXEC, CORDON_GVA_SUM, CORDON_GVA_SUPERVISOR, 12},
        {PTE_X | PTE_U, CORDON_EXEC, CORDON_GVA_AS_USER, CORDON_GVA_LEADS, 0},
        {PTE_R, CORDON_READ, CORDON_GVA_AS_USER | CORDON_GVA_SUM, CORDON_GVA_USER, 13},
        {PTE_X, 0, CORDON_GVA_AS_USER, CORDON_GVA_LEADS, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cordon_gva_ask a = ask(8);
        struct cordon_gva_walk w;

        build(8, V | PTE_A | PTE_D | cases[i].leaf | TO(DATA));
        a.access = cases[i].access;
        a.flags = cases[i].flags;
        w = walked(&a);
        assert_int_equal(w.end, cases[i].end);
        assert_int_equal(w.cause, cases[i].cause);
    }
}

static void test_a_leaf_without_a_or_d_faults_or_is_marked(void **state)
{
    struct cordon_gva_ask a = ask(8);
    struct cordon_gva_walk w;

    (void)state;
    build(8, (LEAF & ~(PTE_A | PTE_D)) | TO(DATA));
    assert_int_equal(walked(&a).end, CORDON_GVA_UNACCESSED);
    a.flags = CORDON_GVA_ADUE;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_LEADS);
    assert_int_equal(w.marks, CORDON_GVA_MARK_A);
    a.access = CORDON_WRITE;
    assert_int_equal(walked(&a).marks, CORDON_GVA_MARK_A | CORDON_GVA_MARK_D);
    a.access = 0;
    assert_int_equal(walked(&a).marks, 0);
    build(8, (LEAF & ~PTE_D) | TO(DATA));
    a.access = CORDON_READ;
    assert_int_equal(walked(&a).marks, 0);
    a.access = CORDON_WRITE;
    assert_int_equal(walked(&a).marks, CORDON_GVA_MARK_D);
    a.flags = 0;
    w = walked(&a);
    assert_int_equal(w.end, CORDON_GVA_CLEAN);
    assert_int_equal(w.cause, 15);
    assert_int_equal(*word(TABLE(2)), (LEAF & ~PTE_D) | TO(DATA)); /* nothing was marked by us */
}

static void test_tables_in_a_circle_end_with_the_levels(void **state)
{
    (void)state;
    for (uint64_t mode = 8; mode <= 10; mode++) {
        struct cordon_gva_ask a = ask(mode);
        struct cordon_gva_walk w;

        for (unsigned i = 0; i < 512; i++) {
            *word(TABLE(0) + 8 * i) = V | TO(TABLE(0));
        }
        w = walked(&a);
        assert_int_equal(w.end, CORDON_GVA_DEEP);
        assert_int_equal(w.step_count, levels(mode));
        assert_int_equal(w.step[levels(mode) - 1].gpa.v, TABLE(0));
    }
}

/* ---- words that change ---------------------------------------------------------------------- */

static struct {
    uint64_t *watched, becomes;
    unsigned reads;
} other;

static void change_behind(void *arg, uint64_t *at)
{
    (void)arg;
    other.reads++;
    if (at == other.watched) {
        *at = other.becomes;
    }
}

static void test_each_word_is_read_once_however_it_changes(void **state)
{
    struct cordon_gva_ask a = ask(8);

    (void)state;
    b.record.on_load = change_behind;
    for (unsigned i = 0; i < 3; i++) {
        struct cordon_gva_walk w;
        uint64_t before;

        build(8, LEAF | TO(DATA));
        other.watched = word(TABLE(i) + (i == 0 ? 8 * 256 : 0));
        other.becomes = i == 0 ? 0 : LEAF | BIT64(60) | TO(HOLE);
        other.reads = 0;
        before = *other.watched;
        w = walked(&a);
        assert_int_equal(other.reads, 3);
        assert_int_equal(w.end, CORDON_GVA_LEADS);
        assert_int_equal(w.gpa.v, DATA + 0x123);
        assert_int_equal(w.step[i].value, before);
        assert_int_equal(*other.watched, other.becomes);
    }
    b.record.on_load = NULL;
}

static void test_what_cannot_be_asked_is_refused(void **state)
{
    struct cordon_gva_walk w = {.size = sizeof(w)};
    struct cordon_gva_ask good = ask(8), a = good;

    (void)state;
    assert_int_equal(cordon_walk_guest(NULL, &a, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_walk_guest(d, NULL, &w), -CORDON_EINVAL);
    assert_int_equal(cordon_walk_guest(d, &a, NULL), -CORDON_EINVAL);
    a.size--;
    assert_int_equal(cordon_walk_guest(d, &a, &w), -CORDON_EINVAL);
    a = good;
    a.flags = 64;
    assert_int_equal(cordon_walk_guest(d, &a, &w), -CORDON_EINVAL);
    a = good;
    a.access = CORDON_RW;
    assert_int_equal(cordon_walk_guest(d, &a, &w), -CORDON_EINVAL);
    a.access = 8;
    assert_int_equal(cordon_walk_guest(d, &a, &w), -CORDON_EINVAL);
    a = good;
    a.reserved = 1;
    assert_int_equal(cordon_walk_guest(d, &a, &w), -CORDON_EINVAL);
    w.size--;
    assert_int_equal(cordon_walk_guest(d, &good, &w), -CORDON_EINVAL);
    assert_int_equal(w.step_count, 0);
    assert_int_equal(cordon_walk_guest((void *)&w, &good, &w), -CORDON_EINVAL);
    w.size++;
    assert_int_equal(cordon_walk_guest((void *)b.ctx, &good, &w), -CORDON_EHANDLE);
}

static void test_every_end_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= CORDON_GVA_NO_PAGE; i++) {
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(cordon_gva_end_name(i), cordon_gva_end_name(k));
        }
    }
    for (uint32_t i = 0; i <= CORDON_GPA_CORRUPT; i++) {
        for (uint32_t k = 0; k < i; k++) {
            assert_string_not_equal(cordon_gpa_end_name(i), cordon_gpa_end_name(k));
        }
    }
    assert_string_equal(cordon_gva_end_name(CORDON_GVA_NO_PAGE), "no page");
    assert_string_equal(cordon_gva_end_name(CORDON_GVA_NO_PAGE + 1), "unknown");
    assert_string_equal(cordon_gpa_end_name(CORDON_GPA_CORRUPT), "corrupt");
    assert_string_equal(cordon_gpa_end_name(CORDON_GPA_CORRUPT + 1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_guest, teardown)
        TEST(test_each_word_is_told_in_all_its_addresses),
        TEST(test_bare_is_the_way_of_a_gpa),
        TEST(test_a_mode_that_no_hart_has_is_named),
        TEST(test_an_address_that_is_not_canonical_reads_no_word),
        TEST(test_superpages_lead_and_misaligned_ones_do_not),
        TEST(test_a_run_of_64k_is_one_where_the_hart_has_them),
        TEST(test_reserved_bits_and_combinations_stop_it),
        TEST(test_rights_are_those_of_who_asks),
        TEST(test_a_leaf_without_a_or_d_faults_or_is_marked),
        TEST(test_tables_in_a_circle_end_with_the_levels),
        TEST(test_each_word_is_read_once_however_it_changes),
        TEST(test_what_cannot_be_asked_is_refused),
        TEST(test_every_end_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
