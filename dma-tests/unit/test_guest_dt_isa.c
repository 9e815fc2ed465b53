/* The allow-list of extensions, and what is read of a hart in the machine's device tree. */
#include "guest_tree.h"

#include <cordon/error.h>

/* What QEMU's rv64 with H and AIA says of itself. */
#define QEMU_ISA                                                                                \
    "rv64imafdch_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_zicntr_zicsr_"     \
    "zifencei_zihintntl_zihintpause_zihpm_zmmul_za64rs_zaamo_zalrsc_zawrs_zfa_zca_zcd_zba_zbb_" \
    "zbc_zbs_shcounterenw_shgatpa_smaia_ssaia_sscofpmf_sdtrig_sstc_svadu_svvptc"

static uint64_t set_of(const char *text)
{
    uint64_t set = 0;

    assert_int_equal(isa_parse(text, &set), 0);
    return set;
}

static void expect_set(uint64_t set, const char *text)
{
    char made[ISA_TEXT_BYTES];
    size_t len = isa_text(set, made);

    assert_string_equal(made, text);
    assert_int_equal(len, strlen(text) + 1);
}

static void test_what_is_not_on_the_list_is_hidden(void **state)
{
    (void)state;
    expect_set(set_of(QEMU_ISA),
               "rv64imafdc_zic64b_zicbom_zicbop_zicboz_ziccamoa_ziccif_zicclsm_ziccrse_zicntr_"
               "zicsr_zifencei_zihintntl_zihintpause_zmmul_za64rs_zaamo_zalrsc_zawrs_zfa_zca_zcd_"
               "zba_zbb_zbc_zbs_ssaia_sstc_svadu_svvptc");
    assert_int_equal(isa_bit("h", 1) | isa_bit("sdtrig", 6) | isa_bit("smstateen", 9) |
                         isa_bit("zihpm", 5) | isa_bit("sscofpmf", 8) | isa_bit("smaia", 5),
                     0);
}

static void test_names_match_whole(void **state)
{
    (void)state;
    assert_int_equal(isa_bit("zicbo", 5), 0);
    assert_int_equal(isa_bit("zicbomx", 7), 0);
    assert_int_equal(isa_bit("", 0), 0);
    assert_int_not_equal(isa_bit("zicbomx", 6), 0);
    expect_set(set_of("rv64i_zicbomx_sst_zbc"), "rv64i_zbc");
}

static void test_g_stands_for_six(void **state)
{
    (void)state;
    expect_set(set_of("rv64gc"), "rv64imafdc_zicsr_zifencei");
}

static void test_odd_strings_are_survived_or_refused(void **state)
{
    uint64_t set = 5;

    (void)state;
    assert_int_equal(isa_parse("rv32imac", &set), -CORDON_EINVAL);
    assert_int_equal(isa_parse("", &set), -CORDON_EINVAL);
    assert_int_equal(set, 5);
    expect_set(set_of("rv64"), "rv64");
    expect_set(set_of("rv64i__zba_"), "rv64i_zba");
    expect_set(set_of("rv64i_m_zba"), "rv64i_zba"); /* a letter is none behind an underscore */
}

static void test_an_extension_is_offered_only_with_all_it_needs(void **state)
{
    static const struct {
        uint32_t need;
        const char *names;
    } rows[] = {
        {ISA_NEED_COUNTERS, "rv64_zicntr"},
        {ISA_NEED_STCE, "rv64_sstc"},
        {ISA_NEED_CBZE, "rv64_zicboz"},
        {ISA_NEED_ADUE, "rv64_svadu"},
        {ISA_NEED_PBMTE, "rv64_svpbmt"},
        {ISA_NEED_AIA, "rv64_ssaia"},
        {ISA_NEED_FP, "rv64fd_zfa_zfh_zfhmin_zcd"},
    };
    uint64_t all = UINT64_MAX, without = isa_offer(all, 0);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_set(isa_offer(all, rows[i].need) & ~without, rows[i].names);
    }
    expect_set(isa_offer(all, ISA_NEED_CBCFE) & ~without, "rv64");
    expect_set(isa_offer(all, ISA_NEED_CBI_FLUSH) & ~without, "rv64");
    expect_set(isa_offer(all, ISA_NEED_CBCFE | ISA_NEED_CBI_FLUSH) & ~without, "rv64_zicbom");
    expect_set(isa_offer(all, ISA_NEED_VECTOR) & ~without, "rv64_zvbb_zvbc_zvkb_zvkt");
    expect_set(isa_offer(set_of("rv64imac_sstc"), UINT32_MAX), "rv64imac_sstc");
    expect_set(isa_offer(set_of("rv64imafdcv_sstc"), 0), "rv64imac");
}

static void put_text(void *tree, int node, const char *name, const char *text)
{
    assert_int_equal(fdt_setprop(tree, node, name, text, (int)strlen(text) + 1), 0);
}

/* A cpu node with the given properties; NULL leaves one out. */
static int cpu_node(void *tree, const char *list, size_t list_len, const char *base,
                    const char *isa)
{
    int node;

    assert_int_equal(fdt_create_empty_tree(tree, GUEST_DT_BYTES), 0);
    node = fdt_add_subnode(tree, 0, "cpu@0");
    assert_true(node > 0);
    if (list != NULL) {
        assert_int_equal(fdt_setprop(tree, node, "riscv,isa-extensions", list, (int)list_len), 0);
    }
    if (base != NULL) {
        put_text(tree, node, "riscv,isa-base", base);
    }
    if (isa != NULL) {
        put_text(tree, node, "riscv,isa", isa);
    }
    return node;
}

static void test_a_hart_is_read_from_the_list_or_else_the_string(void **state)
{
    struct tree *t = *state;
    struct host_cpu cpu;
    static const char list[] = "i\0m\0h\0zba\0zicbom\0zicboz";
    int node = cpu_node(t->dt, list, sizeof list, "rv64i", "rv64imafdc");

    assert_int_equal(fdt_setprop_u32(t->dt, node, "riscv,cbom-block-size", 64), 0);
    put_text(t->dt, node, "mmu-type", "riscv,sv48");
    assert_int_equal(host_cpu_read(t->dt, node, &cpu), 0);
    expect_set(cpu.isa, "rv64im_zicbom_zba"); /* zicboz has no block size here */
    assert_int_equal(cpu.cbom_bytes, 64);
    assert_int_equal(cpu.cboz_bytes, 0);
    assert_int_equal(cpu.mmu, HOST_MMU_SV48);
    node = cpu_node(t->dt, NULL, 0, NULL, "rv64imafdch_sstc");
    assert_int_equal(host_cpu_read(t->dt, node, &cpu), 0);
    expect_set(cpu.isa, "rv64imafdc_sstc");
    assert_int_equal(cpu.mmu, HOST_MMU_NONE);
}

static void test_a_block_that_cannot_be_is_none(void **state)
{
    struct tree *t = *state;
    static const char list[] = "i\0zicbom\0zicbop\0zicboz";
    static const uint32_t bad[] = {0, 8, 48, 8192, UINT32_C(1) << 31, UINT32_MAX};
    struct host_cpu cpu;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int node = cpu_node(t->dt, list, sizeof list, "rv64i", NULL);

        assert_int_equal(fdt_setprop_u32(t->dt, node, "riscv,cbom-block-size", bad[i]), 0);
        assert_int_equal(fdt_setprop_u32(t->dt, node, "riscv,cbop-block-size", 4096), 0);
        assert_int_equal(fdt_setprop_u32(t->dt, node, "riscv,cboz-block-size", 16), 0);
        assert_int_equal(host_cpu_read(t->dt, node, &cpu), 0);
        expect_set(cpu.isa, "rv64i_zicbop_zicboz");
        assert_int_equal(cpu.cbom_bytes, 0);
        assert_int_equal(cpu.cbop_bytes, 4096);
        assert_int_equal(cpu.cboz_bytes, 16);
    }
}

static void test_malformed_harts_are_refused(void **state)
{
    struct tree *t = *state;
    struct host_cpu cpu;

    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, "i\0m", 3, "rv64i", NULL), &cpu),
                     -CORDON_EINVAL);
    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, "", 0, "rv64i", NULL), &cpu),
                     -CORDON_EINVAL);
    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, "i", 2, "rv32i", NULL), &cpu),
                     -CORDON_EINVAL);
    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, "i", 2, NULL, NULL), &cpu),
                     -CORDON_EINVAL);
    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, NULL, 0, NULL, NULL), &cpu),
                     -CORDON_EINVAL);
    assert_int_equal(host_cpu_read(t->dt, cpu_node(t->dt, NULL, 0, NULL, "riscv64"), &cpu),
                     -CORDON_EINVAL);
}

static void test_harts_that_differ_are_joined_to_what_both_have(void **state)
{
    struct host_cpu a = {set_of("rv64imac_zicbom_zicboz_zba"), HOST_MMU_SV57, 64, 0, 64};
    struct host_cpu b = {set_of("rv64imac_zicbom_zicboz_sstc"), HOST_MMU_SV39, 64, 0, 128};

    (void)state;
    host_cpu_join(&a, &b);
    expect_set(a.isa, "rv64imac_zicbom");
    assert_int_equal(a.mmu, HOST_MMU_SV39);
    assert_int_equal(a.cbom_bytes, 64);
    assert_int_equal(a.cboz_bytes, 0);
    b.mmu = HOST_MMU_SV57;
    host_cpu_join(&a, &b);
    assert_int_equal(a.mmu, HOST_MMU_SV39);
}

static void test_list_and_string_name_the_same(void **state)
{
    char list[ISA_TEXT_BYTES], text[ISA_TEXT_BYTES];
    uint64_t all = isa_offer(UINT64_MAX, UINT32_MAX), seen = 0;
    size_t len = isa_list(all, list);

    (void)state;
    for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
        seen |= isa_bit(list + at, strlen(list + at));
    }
    assert_int_equal(seen, all);
    assert_true(isa_text(all, text) <= ISA_TEXT_BYTES);
    assert_int_equal(set_of(text), all);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_not_on_the_list_is_hidden),
        TEST(test_names_match_whole),
        TEST(test_g_stands_for_six),
        TEST(test_odd_strings_are_survived_or_refused),
        TEST(test_an_extension_is_offered_only_with_all_it_needs),
        TEST(test_a_hart_is_read_from_the_list_or_else_the_string),
        TEST(test_a_block_that_cannot_be_is_none),
        TEST(test_malformed_harts_are_refused),
        TEST(test_harts_that_differ_are_joined_to_what_both_have),
        TEST(test_list_and_string_name_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
