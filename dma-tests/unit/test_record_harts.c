/*
 * The order checker of the recording port: frames that are lent, and harts that remember a domain.
 */
#include "record_steps.h"

/* ---- lent frames -------------------------------------------------------------------------- */

#define BORROWER 9u
static uint64_t lent(uint64_t gfn)
{
    return CORDON_FRAME_OWNED | BORROWER << 3 | gfn << 16;
}

static void loan(enum port_note note)
{
    port_note(&r, note, (RAM + 2) * PAGE, lent(7));
}

static void test_a_loan_that_ends_without_the_borrowers_harts(void **state)
{
    (void)state;
    enter(BORROWER, 5, 1, 0x3f);
    store(LEAVES, 5, leaf(RAM + 2, 3)); /* the borrower's; where tables stand is not asked */
    loan(PORT_NOTE_LEND);
    loan(PORT_NOTE_RECALL);
    store(LEAVES, 5, 0);
    port_fence(&r);
    harts(0, 0); /* the owner's */
    loan(PORT_NOTE_RETURN);
    broken("freed before harts were fenced");
}

static void test_a_loan_that_ends_with_its_leaf_in_place(void **state)
{
    (void)state;
    loan(PORT_NOTE_LEND);
    loan(PORT_NOTE_RECALL);
    loan(PORT_NOTE_RETURN);
    broken("a frame was given back before the borrower's leaf went");
}

static void test_a_frame_freed_while_it_is_lent(void **state)
{
    (void)state;
    loan(PORT_NOTE_LEND);
    release(RAM + 2, 1);
    broken("a frame was freed that another domain borrows");
}

static void test_a_frame_that_moves_waits_for_harts(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    port_fence(&r);
    claim(RAM, 1, owned(GFN + 50));
    broken("a frame moved before harts were fenced for where it was");
}

/* ---- who is told -------------------------------------------------------------------------- */

static void test_a_table_is_its_domains_from_the_first_entry_on(void **state)
{
    claim(0x30, 4, CORDON_FRAME_TABLE); /* a second root, of a domain that nobody ran */
    claim(0x38, 1, CORDON_FRAME_TABLE);

    (void)state;
    store(0x38, 0, leaf(RAM + 2, 3));
    port_fence(&r);
    store(0x30, 0, table(0x38));
    store(0x30, 0, 0);
    port_fence(&r);
    release(0x38, 1); /* no hart has ever seen it */
    assert_null(record_broken(&r));
    claim(0x38, 1, CORDON_FRAME_TABLE);
    memset(memory[0x38], 0, sizeof(memory[0]));
    store(0x38, 0, leaf(RAM + 2, 3));
    port_fence(&r);
    store(0x30, 0, table(0x38));
    enter(BORROWER, 5, 2, 0x30);
    store(0x30, 0, 0);
    port_fence(&r);
    harts(0, 0); /* of the other domain */
    release(0x38, 1);
    broken("freed before harts were fenced");
}

static void test_a_new_generation_tells_everybody(void **state)
{
    (void)state;
    store(LEAVES, 0, 0);
    port_fence(&r);
    cordon_port_hart_fence_all(&r, HARTS);
    release(RAM, 1);
    assert_null(record_broken(&r));
    store(LEAVES, 1, 0); /* they run it still, and have filled up again */
    port_fence(&r);
    release(RAM + 1, 1);
    broken("freed before harts were fenced");
}

static void test_who_left_and_forgot_is_not_told(void **state)
{
    (void)state;
    for (uint64_t h = 0; h < 64; h++) {
        port_note(&r, PORT_NOTE_LEAVE, DOMAIN | h << 16, 0);
    }
    cordon_port_hart_fence(&r, HARTS & ~UINT64_C(1), VMID, cordon_gpa_make(0), 0);
    store(LEAVES, 0, 0);
    port_fence(&r);
    cordon_port_hart_fence(&r, 1, VMID, cordon_gpa_make(0), 0);
    release(RAM, 1);
    assert_null(record_broken(&r));
}

static void test_a_vmid_that_a_hart_remembers_of_another(void **state)
{
    (void)state;
    enter(BORROWER, VMID, 2, 0x3f); /* a hart that did not run the first one */
    assert_null(record_broken(&r));
    enter(BORROWER, VMID, 4, 0x3f);
    broken("a hart runs a domain under a VMID that it remembers of another");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_loan_that_ends_without_the_borrowers_harts),
        TEST(test_a_loan_that_ends_with_its_leaf_in_place),
        TEST(test_a_frame_freed_while_it_is_lent),
        TEST(test_a_frame_that_moves_waits_for_harts),
        TEST(test_a_table_is_its_domains_from_the_first_entry_on),
        TEST(test_a_new_generation_tells_everybody),
        TEST(test_who_left_and_forgot_is_not_told),
        TEST(test_a_vmid_that_a_hart_remembers_of_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
