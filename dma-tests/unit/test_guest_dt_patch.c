/* A device tree that the bundle supplies: what is replaced, what is left, what is refused. */
#include "guest_tree.h"

#include <cordon/error.h>

#define SUPPLIED_BYTES 0x2000

static _Alignas(8) uint8_t supplied[SUPPLIED_BYTES + 4];

static void must(int status)
{
    if (status < 0) {
        fail_msg("libfdt: %s", fdt_strerror(status));
    }
}

static int sub(int parent, const char *name)
{
    int node = fdt_add_subnode(supplied, parent, name);

    must(node);
    return node;
}

static void text(const char *path, const char *prop, const char *value)
{
    must(fdt_setprop(supplied, fdt_path_offset(supplied, path), prop, value,
                     (int)strlen(value) + 1));
}

static void u32(const char *path, const char *prop, uint32_t value)
{
    must(fdt_setprop_u32(supplied, fdt_path_offset(supplied, path), prop, value));
}

/* A board's tree with two harts, memory of its own, and a device that Cordon knows nothing of. */
static int setup(void **state)
{
    must(fdt_create_empty_tree(supplied, SUPPLIED_BYTES));
    u32("/", "#address-cells", 2);
    u32("/", "#size-cells", 2);
    sub(0, "cpus");
    for (const char *const *name = (const char *const[]){"cpu@1", "cpu@0", NULL}; *name; name++) {
        char path[32];

        sub(fdt_path_offset(supplied, "/cpus"), *name);
        snprintf(path, sizeof path, "/cpus/%s", *name);
        text(path, "device_type", "cpu");
        text(path, "riscv,isa", "rv64imafdch");
        u32(path, "reg", (uint32_t)((*name)[4] - '0'));
    }
    sub(fdt_path_offset(supplied, "/cpus"), "cpu-map");
    sub(0, "memory@40000000");
    text("/memory@40000000", "device_type", "memory");
    sub(0, "memory@60000000");
    text("/memory@60000000", "device_type", "memory");
    sub(0, "gadget");
    text("/gadget", "compatible", "acme,gadget");
    sub(0, "chosen");
    text("/chosen", "bootargs", "from the tree");
    return tree_setup(state);
}

static int patch(struct tree *t)
{
    return guest_dt_patch(&t->in, supplied, fdt_totalsize(supplied), t->dt, GUEST_DT_BYTES,
                          &t->why);
}

static void expect_refused(struct tree *t, const char *words)
{
    assert_int_equal(patch(t), -CORDON_EINVAL);
    assert_string_equal(t->why.text, words);
}

static void test_memory_becomes_what_was_given_and_only_that(void **state)
{
    struct tree *t = *state;

    assert_int_equal(patch(t), 0);
    assert_int_equal(fdt_check_full(t->dt, fdt_totalsize(t->dt)), 0);
    assert_false(tree_has(t, "/memory@40000000"));
    assert_false(tree_has(t, "/memory@60000000"));
    EXPECT_CELLS(t, "/memory@80000000", "reg", 0, 0x80000000, 0, 0x20000000);
    expect_text(t, "/memory@80000000", "device_type", "memory");
    assert_false(tree_has(t, "/reserved-memory"));
}

static void test_harts_are_told_of_what_they_have(void **state)
{
    struct tree *t = *state;

    assert_int_equal(patch(t), 0);
    for (int i = 0; i < 2; i++) {
        const char *cpu = i == 0 ? "/cpus/cpu@0" : "/cpus/cpu@1";

        expect_text(t, cpu, "riscv,isa", "rv64imac_zicbom_ssaia_sstc");
        expect_text(t, cpu, "riscv,isa-base", "rv64i");
        assert_true(tree_has_prop(t, cpu, "riscv,isa-extensions"));
        expect_text(t, cpu, "mmu-type", "riscv,sv57");
    }
    EXPECT_CELLS(t, "/cpus", "timebase-frequency", 10000000);
}

static void test_all_else_is_left_as_it_is(void **state)
{
    struct tree *t = *state;

    assert_int_equal(patch(t), 0);
    expect_text(t, "/gadget", "compatible", "acme,gadget");
    expect_text(t, "/chosen", "bootargs", "from the tree");
    assert_false(tree_has_prop(t, "/chosen", "linux,initrd-start"));
}

static void test_bootargs_initrd_and_pool_are_added(void **state)
{
    struct tree *t = *state;

    strcpy(t->vm.bootargs, "from the bundle");
    t->vm.initrd.len = 0x10;
    t->vm.pool_len = 0x400000;
    t->in.initrd = cordon_gpa_make(0x90000000);
    must(fdt_del_node(supplied, fdt_path_offset(supplied, "/chosen")));
    assert_int_equal(patch(t), 0);
    expect_text(t, "/chosen", "bootargs", "from the bundle");
    EXPECT_CELLS(t, "/chosen", "linux,initrd-start", 0, 0x90000000);
    EXPECT_CELLS(t, "/chosen", "linux,initrd-end", 0, 0x90000010);
    EXPECT_CELLS(t, "/reserved-memory/pool@2000000", "reg", 0, 0x2000000, 0, 0x400000);
    assert_true(tree_has_prop(t, "/reserved-memory/pool@2000000", "no-map"));
    assert_true(tree_has_prop(t, "/reserved-memory", "ranges"));
    expect_text(t, "/reserved-memory/pool@2000000", "compatible", "cordon,contiguous-pool");
}

static void test_random_bytes_are_added_where_there_are_any(void **state)
{
    struct tree *t = *state;
    int len = 0;

    memset(t->in.rng_seed, 0x5a, sizeof(t->in.rng_seed));
    t->in.kaslr_seed = 0x1122334455667788;
    assert_int_equal(patch(t), 0);
    assert_false(tree_has_prop(t, "/chosen", "rng-seed"));
    t->in.has_random = true;
    assert_int_equal(patch(t), 0);
    assert_memory_equal(fdt_getprop(t->dt, tree_node(t, "/chosen"), "rng-seed", &len),
                        t->in.rng_seed, sizeof(t->in.rng_seed));
    assert_int_equal(len, sizeof(t->in.rng_seed));
    EXPECT_CELLS(t, "/chosen", "kaslr-seed", 0x11223344, 0x55667788);
}

static void test_any_alignment_of_the_supplied_tree_will_do(void **state)
{
    struct tree *t = *state;
    uint32_t len = fdt_totalsize(supplied);

    memmove(supplied + 3, supplied, len);
    assert_int_equal(guest_dt_patch(&t->in, supplied + 3, len, t->dt, GUEST_DT_BYTES, &t->why), 0);
    expect_text(t, "/gadget", "compatible", "acme,gadget");
}

static void test_harts_must_be_those_of_the_vm(void **state)
{
    struct tree *t = *state;

    t->vm.vcpus = 1;
    expect_refused(t, "VM \"red\": its device tree: a cpu's reg must be one of 0 to 0, each once");
    t->vm.vcpus = 3;
    expect_refused(t, "VM \"red\": its device tree has not all of cpu 0 to 2");
    t->vm.vcpus = 2;
    u32("/cpus/cpu@1", "reg", 0);
    expect_refused(t, "VM \"red\": its device tree: a cpu's reg must be one of 0 to 1, each once");
    must(fdt_delprop(supplied, fdt_path_offset(supplied, "/cpus/cpu@1"), "reg"));
    expect_refused(t, "VM \"red\": its device tree: a cpu's reg must be one of 0 to 1, each once");
    must(fdt_del_node(supplied, fdt_path_offset(supplied, "/cpus")));
    expect_refused(t, "VM \"red\": its device tree: /cpus: FDT_ERR_NOTFOUND");
}

static void test_addresses_of_one_cell_are_refused(void **state)
{
    struct tree *t = *state;

    u32("/", "#size-cells", 1);
    expect_refused(t, "VM \"red\": its device tree: addresses and sizes must have 2 cells");
}

static void test_a_tree_cut_short_anywhere_is_refused(void **state)
{
    struct tree *t = *state;

    must(fdt_pack(supplied));
    for (uint32_t len = 0; len < fdt_totalsize(supplied); len++) {
        uint8_t *cut = malloc(len ? len : 1);

        assert_non_null(cut);
        memcpy(cut, supplied, len);
        assert_int_equal(guest_dt_patch(&t->in, cut, len, t->dt, GUEST_DT_BYTES, &t->why),
                         -CORDON_EINVAL);
        free(cut);
    }
    assert_int_equal(patch(t), 0);
}

/* libfdt's own check crashes on these. */
static void test_a_tree_of_an_old_version_is_refused(void **state)
{
    struct tree *t = *state;

    fdt_set_version(supplied, 2);
    fdt_set_last_comp_version(supplied, 2);
    expect_refused(t, "VM \"red\": its device tree: its tree has version 2, it must have 17");
}

static void test_a_tree_larger_than_its_room_is_refused(void **state)
{
    struct tree *t = *state;
    uint32_t len = fdt_totalsize(supplied), packed;

    assert_int_equal(guest_dt_patch(&t->in, supplied, len, t->dt, len - 1, &t->why),
                     -CORDON_EINVAL);
    assert_string_equal(t->why.text,
                        "VM \"red\": its device tree has 0x2000 bytes, the limit is 0x1fff");
    must(fdt_pack(supplied));
    packed = fdt_totalsize(supplied);
    assert_int_equal(guest_dt_patch(&t->in, supplied, packed, t->dt, packed, &t->why),
                     -CORDON_ELIMIT);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_memory_becomes_what_was_given_and_only_that),
        TEST(test_harts_are_told_of_what_they_have),
        TEST(test_all_else_is_left_as_it_is),
        TEST(test_bootargs_initrd_and_pool_are_added),
        TEST(test_random_bytes_are_added_where_there_are_any),
        TEST(test_any_alignment_of_the_supplied_tree_will_do),
        TEST(test_harts_must_be_those_of_the_vm),
        TEST(test_addresses_of_one_cell_are_refused),
        TEST(test_a_tree_cut_short_anywhere_is_refused),
        TEST(test_a_tree_of_an_old_version_is_refused),
        TEST(test_a_tree_larger_than_its_room_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
