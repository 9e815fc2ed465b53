/* cordon_share: frames of one domain in another's map, and that nobody loses or keeps them by it.
 * INV 1, 2, 4. */
#include "map_bench.h"

#include "frames/loan.h"

#define FROM UINT64_C(0x400000)
#define TO UINT64_C(0x70000000)

static struct map_bench b;
static cordon_domain *owner, *guest, *third;
static cordon_hpa hpa; /* 8 pages of the owner's at FROM, RW */

static int setup(void **state)
{
    (void)state;
    bench_open(&b, 32 * MIB);
    owner = bench_domain(&b);
    guest = bench_domain(&b);
    third = bench_domain(&b);
    hpa = bench_grant(&b, owner, FROM, 8, RW, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(third), 0);
    assert_int_equal(cordon_domain_destroy(guest), 0);
    assert_int_equal(cordon_domain_destroy(owner), 0);
    bench_close(&b);
    return 0;
}

static struct cordon_share share_of(uint64_t from, uint64_t to, uint64_t pages, uint32_t perms)
{
    return (struct cordon_share){.size = sizeof(struct cordon_share),
                                 .gpa = {from},
                                 .to = {to},
                                 .len = pages * PAGE,
                                 .perms = perms};
}

static int share(cordon_domain *to, uint64_t from, uint64_t at, uint64_t pages, uint32_t perms)
{
    const struct cordon_share s = share_of(from, at, pages, perms);

    return cordon_share(owner, to, &s);
}

static int protect(cordon_domain *d, uint64_t gpa, uint64_t pages, uint32_t perms)
{
    struct cordon_op op = op_protect(gpa, pages, perms);

    return cordon_change(d, &op, 1);
}

static uint32_t borrower_of(uint64_t at, uint32_t from, struct cordon_borrower *out)
{
    return cordon_frame_borrower(b.ctx, cordon_hpa_make(at), from, out) == 0 ? out->domain : 0;
}

static void test_the_borrower_reaches_the_owners_frames_at_its_own_gpa(void **state)
{
    struct cordon_region_info region;
    struct cordon_frame_info frame;
    struct cordon_borrower who;

    (void)state;
    assert_int_equal(share(guest, FROM + PAGE, TO, 3, CORDON_READ), 0);
    bench_sound(&b);
    for (uint64_t i = 0; i < 3 * PAGE; i += PAGE) {
        assert_int_equal(bench_leads(guest, 0, TO + i, CORDON_READ), hpa.v + PAGE + i);
        assert_int_equal(bench_leads(guest, 0, TO + i, CORDON_WRITE), UINT64_MAX);
        assert_int_equal(bench_leads(owner, 0, FROM + PAGE + i, RW), hpa.v + PAGE + i);
    }
    assert_int_equal(bench_leads(guest, 0, TO + 3 * PAGE, 0), UINT64_MAX);
    assert_int_equal(cordon_region_find(guest, cordon_gpa_make(TO), false, &region), 0);
    assert_int_equal(region.flags, CORDON_REGION_SHARED);
    assert_int_equal(cordon_frame_query(b.ctx, cordon_hpa_add(hpa, PAGE), &frame), 0);
    assert_int_equal(frame.state, CORDON_FRAME_OWNED);
    assert_int_equal(frame.domain, cordon_domain_number(owner));
    assert_int_equal(frame.gpa.v, FROM + PAGE);
    assert_int_equal(borrower_of(hpa.v, 0, &who), 0);
    assert_int_equal(borrower_of(hpa.v + 2 * PAGE, 0, &who), cordon_domain_number(guest));
    assert_int_equal(who.gpa.v, TO + PAGE);
    assert_int_equal(who.perms, CORDON_READ);
    assert_int_equal(borrower_of(hpa.v + 2 * PAGE, who.domain + 1, &who), 0);
    assert_int_equal(bench_revoke(guest, TO, 3), 0);
    assert_int_equal(bench_leads(guest, 0, TO, 0), UINT64_MAX);
    assert_int_equal(bench_leads(owner, 0, FROM + PAGE, RW), hpa.v + PAGE);
    assert_int_equal(bench_frame(&b, hpa.v + PAGE), CORDON_FRAME_OWNED);
}

static void test_an_owner_cannot_take_what_is_borrowed(void **state)
{
    const struct cordon_remap other = {.size = sizeof(other),
                                       .gpa = {FROM},
                                       .to = {FROM},
                                       .len = 8 * PAGE,
                                       .extents =
                                           &(struct cordon_extent){bench_held(&b, 8), 8 * PAGE},
                                       .extent_count = 1};

    (void)state;
    assert_int_equal(share(guest, FROM + 2 * PAGE, TO, 2, RW), 0);
    assert_int_equal(share(third, FROM + 3 * PAGE, TO, 1, CORDON_READ), 0);
    uint64_t before = bench_state(&b);

    assert_int_equal(bench_revoke(owner, FROM, 8), -CORDON_EBUSY);
    assert_int_equal(bench_revoke(owner, FROM + 3 * PAGE, 1), -CORDON_EBUSY);
    assert_int_equal(protect(owner, FROM, 8, CORDON_READ), -CORDON_EBUSY);
    assert_int_equal(cordon_remap(owner, &other), -CORDON_EBUSY);
    assert_int_equal(cordon_domain_destroy(owner), -CORDON_EBUSY);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);

    /* What nobody borrows goes; rights may come. */
    assert_int_equal(protect(owner, FROM, 8, RWX), 0);
    assert_int_equal(bench_revoke(owner, FROM, 2), 0);
    assert_int_equal(bench_revoke(owner, FROM + 4 * PAGE, 4), 0);
    /* The last user decides. */
    assert_int_equal(bench_revoke(guest, TO, 2), 0);
    assert_int_equal(bench_revoke(owner, FROM + 3 * PAGE, 1), -CORDON_EBUSY);
    assert_int_equal(bench_revoke(owner, FROM + 2 * PAGE, 1), 0);
    assert_int_equal(bench_frame(&b, hpa.v + 3 * PAGE), CORDON_FRAME_OWNED);
    assert_int_equal(cordon_domain_destroy(third), 0);
    assert_int_equal(bench_revoke(owner, FROM + 3 * PAGE, 1), 0);
    assert_int_equal(bench_frame(&b, hpa.v + 3 * PAGE), CORDON_FRAME_FREE);
    assert_int_equal(cordon_run_free(b.ctx, other.extents->hpa, 8 * PAGE), 0);
    third = bench_domain(&b);
}

static void test_a_borrower_gives_back_in_parts_and_has_at_most_its_loans_rights(void **state)
{
    (void)state;
    assert_int_equal(share(guest, FROM, TO, 8, RW), 0);
    assert_int_equal(protect(guest, TO, 8, RWX), -CORDON_EPERM);
    assert_int_equal(protect(guest, TO + PAGE, 2, CORDON_READ), 0);
    assert_int_equal(bench_leads(guest, 0, TO + PAGE, CORDON_WRITE), UINT64_MAX);
    assert_int_equal(protect(guest, TO, 8, RW), 0);
    assert_int_equal(bench_leads(guest, 0, TO + PAGE, CORDON_WRITE), hpa.v + PAGE);
    assert_int_equal(bench_revoke(guest, TO + 3 * PAGE, 2), 0);
    bench_sound(&b);
    assert_int_equal(bench_revoke(owner, FROM + 3 * PAGE, 2), 0);
    assert_int_equal(bench_revoke(owner, FROM + 2 * PAGE, 1), -CORDON_EBUSY);
    assert_int_equal(bench_revoke(owner, FROM + 5 * PAGE, 1), -CORDON_EBUSY);
    assert_int_equal(bench_leads(guest, 0, TO + 5 * PAGE, RW), hpa.v + 5 * PAGE);
}

static void test_a_borrowed_range_moves_for_its_owner_only(void **state)
{
    const struct cordon_remap away = {
        .size = sizeof(away), .gpa = {FROM}, .to = {FROM + 8 * MIB}, .len = 8 * PAGE};
    const struct cordon_remap theirs = {
        .size = sizeof(theirs), .gpa = {TO}, .to = {TO + MIB}, .len = PAGE};

    (void)state;
    assert_int_equal(share(guest, FROM + PAGE, TO, 2, RW), 0);
    assert_int_equal(cordon_remap(owner, &away), 0);
    bench_sound(&b);
    assert_int_equal(bench_leads(guest, 0, TO, RW), hpa.v + PAGE);
    assert_int_equal(bench_leads(owner, 0, away.to.v + PAGE, RW), hpa.v + PAGE);
    assert_int_equal(cordon_remap(guest, &theirs), -CORDON_EPERM);
}

static void test_shares_that_are_refused_change_nothing(void **state)
{
    const struct cordon_extent mmio = {{BENCH_MMIO}, PAGE};
    struct cordon_op bar = op_grant(0x8000000, &mmio, 1, RW, CORDON_REGION_MMIO);
    const uint64_t top = UINT64_C(1) << 41;

    (void)state;
    assert_int_equal(cordon_change(owner, &bar, 1), 0);
    (void)bench_grant(&b, owner, 0x9000000, 1, RW, CORDON_REGION_NODMA);
    (void)bench_grant(&b, guest, TO + 4 * PAGE, 1, RW, 0);
    assert_int_equal(share(guest, FROM + 7 * PAGE, TO + MIB, 1, RW), 0);
#define WITH(...)                                           \
    ({                                                      \
        struct cordon_share s_ = share_of(FROM, TO, 1, RW); \
        __VA_ARGS__;                                        \
        s_;                                                 \
    })
    const struct {
        struct cordon_share s;
        int error;
    } cases[] = {
        {WITH(s_.size--), CORDON_EINVAL},
        {WITH(s_.size = 0), CORDON_EINVAL},
        {WITH(s_.reserved = 1), CORDON_EINVAL},
        {WITH(s_.flags = CORDON_REGION_KEEP), CORDON_EINVAL},
        {WITH(s_.flags = CORDON_REGION_SHARED), CORDON_EINVAL},
        {WITH(s_.perms = 8), CORDON_EINVAL},
        {WITH(s_.perms = 0), CORDON_EINVAL},
        {WITH(s_.perms = CORDON_WRITE), CORDON_EINVAL},
        {WITH(s_.gpa.v += 8), CORDON_EALIGN},
        {WITH(s_.to.v += 8), CORDON_EALIGN},
        {WITH(s_.len += 8), CORDON_EALIGN},
        {WITH(s_.len = 0), CORDON_ERANGE},
        {WITH(s_.len = 0 - PAGE), CORDON_ERANGE},
        {WITH(s_.gpa.v = top), CORDON_ERANGE},
        {WITH(s_.gpa.v = 0 - PAGE), CORDON_ERANGE},
        {WITH(s_.to.v = top), CORDON_ERANGE},
        {WITH(s_.to.v = top - PAGE, s_.len = 2 * PAGE), CORDON_ERANGE},
        {WITH(s_.to.v = 0 - PAGE), CORDON_ERANGE},
        {WITH(s_.gpa.v = 0x1000), CORDON_ENOENT},
        {WITH(s_.len = 9 * PAGE), CORDON_ENOENT},
        {WITH(s_.perms = RWX), CORDON_EPERM},
        {WITH(s_.gpa.v = 0x8000000), CORDON_EPERM},
        {WITH(s_.gpa.v = 0x9000000), CORDON_EPERM},  /* without NODMA */
        {WITH(s_.len = 5 * PAGE), CORDON_EEXIST},    /* over the borrower's own */
        {WITH(s_.gpa.v += 7 * PAGE), CORDON_EEXIST}, /* a frame that it has already */
    };
    uint64_t before = bench_state(&b);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int err = cordon_share(owner, guest, &cases[i].s);

        if (err != -cases[i].error) {
            fail_msg("case %zu: %d instead of %d", i, err, -cases[i].error);
        }
        assert_int_equal(bench_state(&b), before);
        bench_sound(&b);
    }
    const struct cordon_share s = share_of(FROM, TO, 1, RW), back = share_of(TO + MIB, TO, 1, RW);

    assert_int_equal(cordon_share(NULL, guest, &s), -CORDON_EINVAL);
    assert_int_equal(cordon_share(owner, NULL, &s), -CORDON_EINVAL);
    assert_int_equal(cordon_share(owner, guest, NULL), -CORDON_EINVAL);
    assert_int_equal(cordon_share(owner, owner, &s), -CORDON_EINVAL);
    assert_int_equal(cordon_share(guest, third, &back), -CORDON_EPERM); /* it is not the guest's */
    assert_int_equal(cordon_frame_borrower(b.ctx, hpa, 0, NULL), -CORDON_EINVAL);
    assert_int_equal(bench_state(&b), before);
    struct cordon_share quiet = share_of(0x9000000, TO, 1, RW);

    quiet.flags = CORDON_REGION_NODMA;
    assert_int_equal(cordon_share(owner, guest, &quiet), 0);
}

static void test_domains_of_two_contexts_share_nothing(void **state)
{
    struct map_bench other;

    (void)state;
    bench_open(&other, 16 * MIB);
    cordon_domain *far = bench_domain(&other);
    uint64_t before = bench_state(&b), there = bench_state(&other);

    assert_int_equal(share(far, FROM, TO, 1, RW), -CORDON_EHANDLE);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(bench_state(&other), there);
    assert_int_equal(cordon_domain_destroy(far), 0);
    bench_close(&other);
}

/* 200 frames that touch nowhere, lent to two domains, one of which has a device view. */
static void test_each_allocation_of_a_share_may_fail(void **state)
{
    static struct cordon_extent e[200];
    size_t count = 200;
    uint32_t view;
    uint64_t n = 0;
    int err = -CORDON_ENOMEM;

    (void)state;
    assert_int_equal(cordon_scatter_alloc(b.ctx, 200 * PAGE, 1, 3, e, &count), 0);
    struct cordon_op op = op_grant(0x20000000, e, count, RW, 0);

    assert_int_equal(cordon_change(owner, &op, 1), 0);
    assert_int_equal(domain_view_add(guest, &view), 0);
    uint64_t before = bench_state(&b);

    while (err != 0) {
        b.record.fail_at = b.record.allocations + ++n;
        err = share(guest, 0x20000000, TO, 200, RW);
        if (err != 0) {
            assert_int_equal(err, -CORDON_ENOMEM);
            assert_int_equal(bench_state(&b), before);
            bench_sound(&b);
        }
        assert_true(n < 100);
    }
    assert_true(n > 4);
    b.record.fail_at = 0;
    for (uint64_t i = 0; i < 200; i++) {
        assert_int_equal(bench_leads(guest, view, TO + i * PAGE, RW), e[i].hpa.v);
    }
    /* So may each of the way back. */
    for (n = 1, err = -CORDON_ENOMEM; err != 0; n++) {
        uint64_t now = bench_state(&b);

        b.record.fail_at = b.record.allocations + n;
        err = bench_revoke(guest, TO + 3 * PAGE, 100);
        assert_true(err == 0 || bench_state(&b) == now);
        bench_sound(&b);
        assert_true(n < 100);
    }
    b.record.fail_at = 0;
    assert_int_equal(bench_revoke(guest, TO, 3), 0);
    assert_int_equal(bench_revoke(guest, TO + 103 * PAGE, 97), 0);
    assert_int_equal(bench_state(&b), before);
    assert_int_equal(bench_revoke(owner, 0x20000000, 200), 0);
    domain_view_remove(guest, view);
}

static struct span *loan_span(cordon_domain *d, uint64_t at)
{
    return span_find(&b.ctx->resources.holdings, loan_key(d->number, at / PAGE));
}

static void test_an_audit_knows_what_a_loan_is(void **state)
{
    (void)state;
    assert_int_equal(share(guest, FROM, TO, 2, CORDON_READ), 0);
    struct span *loan = loan_span(guest, hpa.v);
    struct span *lent = span_find(&owner->regions.set, FROM / PAGE);
    uint64_t *leaf = bench_leaf(&b, guest, 0, TO), good = *leaf;

    *leaf = good | 4; /* W */
    (void)bench_breaks(&b, 1);
    *leaf = good + (2 << 10); /* a frame that is not lent */
    (void)bench_breaks(&b, 2);
    *leaf = good + (1 << 10); /* lent, for another GPA */
    (void)bench_breaks(&b, 1);
    *leaf = good;
    loan->attr ^= 3u << 20; /* another lender */
    (void)bench_breaks(&b, 2);
    loan->attr ^= 3u << 20;
    loan->attr |= RESOURCE_REVOKING;
    (void)bench_breaks(&b, 2);
    loan->attr &= ~RESOURCE_REVOKING;
    loan->attr |= 2u << 16; /* rights of the loan that the owner has not */
    lent->attr &= ~2u;
    (void)bench_breaks(&b, 2);
    lent->attr |= 2u;
    loan->attr &= ~(2u << 16);
    bench_sound(&b);
    loan->value += 9; /* a loan that nobody's map shows */
    (void)bench_breaks(&b, 1);
    loan->value -= 9;
    bench_sound(&b);
}

/* Both of many: what is lent, to whom, where; checked against an array. */
static void test_shares_at_random_agree_with_an_array(void **state)
{
    cordon_domain *const to[] = {guest, third};
    int16_t where[2][8]; /* the borrower's page, or -1 */
    uint64_t seed = 77, base = FROM;

    (void)state;
    memset(where, -1, sizeof(where));
    for (unsigned turn = 0; turn < 600; turn++) {
        unsigned who = (unsigned)bench_random(&seed) % 2, page = (unsigned)bench_random(&seed) % 8;
        uint64_t len = 1 + bench_random(&seed) % (8 - page);
        int16_t at = (int16_t)(bench_random(&seed) % 64);
        bool clear = true;

        for (unsigned i = 0; i < len; i++) {
            clear = clear && where[who][page + i] < 0;
            for (unsigned p = 0; p < 8; p++) {
                clear = clear && where[who][p] != at + (int16_t)i;
            }
        }
        if (bench_random(&seed) % 2 == 0) {
            int err = share(to[who], base + page * PAGE, TO + (uint64_t)at * PAGE, len, RW);

            assert_int_equal(err, clear ? 0 : -CORDON_EEXIST);
            for (unsigned i = 0; i < len && clear; i++) {
                where[who][page + i] = (int16_t)(at + (int16_t)i);
            }
        } else if (where[who][page] >= 0) {
            assert_int_equal(bench_revoke(to[who], TO + (uint64_t)where[who][page] * PAGE, 1), 0);
            where[who][page] = -1;
        }
        if (turn % 16 == 5) { /* the owner's side moves under its borrowers */
            const struct cordon_remap away = {.size = sizeof(away),
                                              .gpa = {base},
                                              .to = {FROM + 16 * MIB - base + FROM},
                                              .len = 8 * PAGE};

            assert_int_equal(cordon_remap(owner, &away), 0);
            base = away.to.v;
        }
        bench_sound(&b);
        for (unsigned i = 0; i < 8; i++) {
            bool lent = where[0][i] >= 0 || where[1][i] >= 0;
            struct cordon_borrower info;

            for (unsigned w = 0; w < 2; w++) {
                uint64_t gpa = TO + (uint64_t)(where[w][i] < 0 ? 99 : where[w][i]) * PAGE;

                assert_int_equal(bench_leads(to[w], 0, gpa, RW),
                                 where[w][i] < 0 ? UINT64_MAX : hpa.v + i * PAGE);
            }
            assert_int_equal(borrower_of(hpa.v + i * PAGE, 0, &info) != 0, lent);
            if (lent) {
                assert_int_equal(bench_revoke(owner, base + i * PAGE, 1), -CORDON_EBUSY);
            }
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_borrower_reaches_the_owners_frames_at_its_own_gpa),
        TEST(test_an_owner_cannot_take_what_is_borrowed),
        TEST(test_a_borrower_gives_back_in_parts_and_has_at_most_its_loans_rights),
        TEST(test_a_borrowed_range_moves_for_its_owner_only),
        TEST(test_shares_that_are_refused_change_nothing),
        TEST(test_domains_of_two_contexts_share_nothing),
        TEST(test_each_allocation_of_a_share_may_fail),
        TEST(test_an_audit_knows_what_a_loan_is),
        TEST(test_shares_at_random_agree_with_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
