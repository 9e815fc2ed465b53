/* Device ids through iommu-map, isolation groups with their reasons, claims. */
#include "pci_bench.h"

#include "pci/group.h"
#include "pci/place.h"
#include "pci/scan.h"

static void discover(struct pci_bench *b)
{
    struct pci_scan_report s;
    struct pci_place_report p;

    assert_int_equal(pci_scan(&b->host, &s), 0);
    pci_place(&b->host, &p);
    pci_groups_make(&b->host);
}

static void host(struct pci_bench *b)
{
    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
}

static int claim(struct pci_bench *b, uint32_t bdf, uint32_t guest)
{
    struct pci_refusal why;

    return pci_claim(&b->host, bdf, guest, &why);
}

static int may(struct pci_bench *b, uint32_t bdf, struct pci_refusal *why)
{
    memset(why, 0, sizeof(*why));
    return pci_group_check(&b->host, bench_find(b, bdf), why);
}

/* Offers and keeps access control as told. */
static void acs(struct fpci_fn *f, uint32_t pcie_at, uint32_t type, uint32_t has)
{
    fpci_cap_pcie(f, pcie_at, type, false);
    fpci_ext(f, 0x100, PCI_EXT_ACS, 0);
    fpci_set(f, 0x104, has);
    fpci_sticks(f, 0x104, has << 16);
}

static void test_device_id_follows_the_map(void **state)
{
    struct pci_bench *b = *state;
    uint32_t iommu = 9;
    uint32_t id = 9;

    host(b);
    b->host.map_count = 3;
    b->host.map[0] = (struct pci_iommu_map){0, 5, 0, 0}; /* as QEMU writes it first: empty */
    b->host.map[1] = (struct pci_iommu_map){0x40, 0, 0x1000, 0x10};
    b->host.map[2] = (struct pci_iommu_map){0x100, 1, 0x2000, 0x8};
    assert_int_equal(pci_device_id(&b->host, 0x4f, &iommu, &id), 0);
    assert_int_equal(iommu, 0);
    assert_int_equal(id, 0x100f);
    assert_int_equal(pci_device_id(&b->host, 0x107, &iommu, &id), 0);
    assert_int_equal(iommu, 1);
    assert_int_equal(id, 0x2007);
    iommu = 9;
    assert_int_equal(pci_device_id(&b->host, 0x3f, &iommu, &id), -CORDON_ENOENT);
    assert_int_equal(pci_device_id(&b->host, 0x50, &iommu, &id), -CORDON_ENOENT);
    assert_int_equal(pci_device_id(&b->host, 0x108, &iommu, &id), -CORDON_ENOENT);
    assert_int_equal(iommu, 9);
    b->host.rid_mask = 0xff;
    assert_int_equal(pci_device_id(&b->host, 0xf45, &iommu, &id), 0);
    assert_int_equal(id, 0x1005);
}

static void test_single_functions_are_alone(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;

    bench_endpoint(b, -1, 8);
    bench_endpoint(b, -1, 9);
    host(b);
    discover(b);
    assert_int_equal(claim(b, PCI_BDF(0, 8, 0), 1), 0);
    assert_int_equal(may(b, PCI_BDF(0, 8, 0), &why), 0);
    assert_int_equal(b->table[0].group_why, PCI_GROUP_ALONE);
    assert_int_not_equal(b->table[0].group, b->table[1].group);
}

static void two_functions(struct pci_bench *b, bool control_0, bool control_1)
{
    struct fpci_fn *f = bench_endpoint(b, -1, 8);
    struct fpci_fn *g = &b->fake.fn[fpci_add(&b->fake, -1, 8, 3, 0x1af4, 2, ENDPOINT_CLASS)];

    fpci_set(f, PCI_HEADER, PCI_HEADER_MULTI);
    if (control_0) {
        acs(f, 0x40, PCI_EXP_TYPE_INTEGRATED, PCI_ACS_RR | PCI_ACS_CR);
    }
    if (control_1) {
        acs(g, 0x40, PCI_EXP_TYPE_INTEGRATED, PCI_ACS_RR | PCI_ACS_CR);
    }
    host(b);
    discover(b);
}

static void test_functions_of_a_slot_go_together(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;

    two_functions(b, true, false);
    assert_int_equal(b->table[0].group, b->table[1].group);
    assert_int_equal(b->table[0].group_why, PCI_GROUP_MULTIFUNCTION);
    assert_int_equal(claim(b, PCI_BDF(0, 8, 0), 1), 0);
    assert_int_equal(may(b, PCI_BDF(0, 8, 0), &why), -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_GROUP);
    assert_int_equal(why.value, PCI_BDF(0, 8, 3));
    assert_int_equal(claim(b, PCI_BDF(0, 8, 3), 2), 0);
    assert_int_equal(may(b, PCI_BDF(0, 8, 0), &why), -CORDON_EPERM);
    pci_unclaim(&b->host, PCI_BDF(0, 8, 3));
    assert_int_equal(claim(b, PCI_BDF(0, 8, 3), 1), 0);
    assert_int_equal(may(b, PCI_BDF(0, 8, 0), &why), 0);
}

static void test_functions_with_access_control_are_apart(void **state)
{
    struct pci_bench *b = *state;

    two_functions(b, true, true);
    assert_int_not_equal(b->table[0].group, b->table[1].group);
    assert_int_equal(fpci_get(&b->fake.fn[0], 0x104) >> 16, PCI_ACS_RR | PCI_ACS_CR);
}

static void test_access_control_that_does_not_stick_is_none(void **state)
{
    struct pci_bench *b = *state;

    struct fpci_fn *f = bench_endpoint(b, -1, 8);
    struct fpci_fn *g = &b->fake.fn[fpci_add(&b->fake, -1, 8, 3, 0x1af4, 2, ENDPOINT_CLASS)];

    fpci_set(f, PCI_HEADER, PCI_HEADER_MULTI);
    acs(f, 0x40, PCI_EXP_TYPE_INTEGRATED, PCI_ACS_RR | PCI_ACS_CR);
    acs(g, 0x40, PCI_EXP_TYPE_INTEGRATED, PCI_ACS_RR | PCI_ACS_CR);
    fpci_sticks(g, 0x104, PCI_ACS_RR << 16);
    host(b);
    discover(b);
    assert_int_equal(b->table[0].group, b->table[1].group);
}

/* Two root ports, two endpoints below the first (slots 0 and 9), one below the second. */
static void ports(struct pci_bench *b, uint32_t first_has, uint32_t second_has)
{
    int p = fpci_bridge(&b->fake, -1, 1, 0);
    int q = fpci_bridge(&b->fake, -1, 2, 0);

    acs(&b->fake.fn[p], 0x40, PCI_EXP_TYPE_ROOT_PORT, first_has);
    acs(&b->fake.fn[q], 0x40, PCI_EXP_TYPE_ROOT_PORT, second_has);
    bench_endpoint(b, p, 0);
    bench_endpoint(b, p, 9);
    bench_endpoint(b, q, 0);
    bench_endpoint(b, -1, 3);
    host(b);
    discover(b);
}

static uint32_t group_of(struct pci_bench *b, uint32_t bdf)
{
    return bench_find(b, bdf)->group;
}

static void test_ports_with_access_control_keep_apart(void **state)
{
    struct pci_bench *b = *state;

    ports(b, PCI_ACS_WANTED, PCI_ACS_WANTED);
    assert_int_not_equal(group_of(b, PCI_BDF(1, 0, 0)), group_of(b, PCI_BDF(1, 9, 0)));
    assert_int_not_equal(group_of(b, PCI_BDF(1, 0, 0)), group_of(b, PCI_BDF(2, 0, 0)));
    assert_int_equal(fpci_get(&b->fake.fn[0], 0x104) >> 16, PCI_ACS_WANTED);
}

static void test_port_lacking_one_control_joins_what_it_can_reach(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;

    ports(b, PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR, PCI_ACS_WANTED);
    assert_int_equal(group_of(b, PCI_BDF(1, 0, 0)), group_of(b, PCI_BDF(1, 9, 0)));
    assert_int_equal(group_of(b, PCI_BDF(1, 0, 0)), group_of(b, PCI_BDF(2, 0, 0)));
    assert_int_not_equal(group_of(b, PCI_BDF(1, 0, 0)), group_of(b, PCI_BDF(0, 3, 0)));
    assert_int_equal(bench_find(b, PCI_BDF(1, 9, 0))->group_why, PCI_GROUP_BRIDGE);
    assert_int_equal(claim(b, PCI_BDF(1, 0, 0), 1), 0);
    assert_int_equal(claim(b, PCI_BDF(1, 9, 0), 1), 0);
    assert_int_equal(may(b, PCI_BDF(1, 9, 0), &why), -CORDON_EPERM);
    assert_int_equal(why.value, PCI_BDF(2, 0, 0));
    assert_int_equal(claim(b, PCI_BDF(2, 0, 0), 1), 0);
    assert_int_equal(may(b, PCI_BDF(1, 9, 0), &why), 0); /* bridges are nobody's */
}

static void test_below_a_conventional_bridge_nothing_is_given(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);
    int inner = fpci_bridge(&b->fake, bridge, 1, 0);

    acs(&b->fake.fn[inner], 0x40, PCI_EXP_TYPE_ROOT_PORT, PCI_ACS_WANTED);
    bench_endpoint(b, bridge, 9);
    bench_endpoint(b, inner, 9);
    host(b);
    discover(b);
    assert_int_equal(claim(b, PCI_BDF(1, 9, 0), 1), 0);
    assert_int_equal(claim(b, PCI_BDF(2, 9, 0), 1), 0);
    assert_int_equal(may(b, PCI_BDF(1, 9, 0), &why), -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_ALIAS);
    assert_int_equal(bench_find(b, PCI_BDF(1, 9, 0))->group_why, PCI_GROUP_CONVENTIONAL);
    assert_int_equal(may(b, PCI_BDF(2, 9, 0), &why), -CORDON_EPERM);
}

static void test_one_device_id_is_one_group(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;

    bench_endpoint(b, -1, 8);
    bench_endpoint(b, -1, 24);
    bench_endpoint(b, -1, 9);
    host(b);
    b->host.rid_mask = 0x7f; /* slots 8 and 24 fall together */
    discover(b);
    assert_int_equal(group_of(b, PCI_BDF(0, 8, 0)), group_of(b, PCI_BDF(0, 24, 0)));
    assert_int_not_equal(group_of(b, PCI_BDF(0, 8, 0)), group_of(b, PCI_BDF(0, 9, 0)));
    assert_int_equal(bench_find(b, PCI_BDF(0, 24, 0))->group_why, PCI_GROUP_SAME_ID);
    assert_int_equal(claim(b, PCI_BDF(0, 8, 0), 1), 0);
    assert_int_equal(claim(b, PCI_BDF(0, 24, 0), 2), 0);
    assert_int_equal(may(b, PCI_BDF(0, 24, 0), &why), -CORDON_EPERM);
    assert_int_equal(why.value, PCI_BDF(0, 8, 0));
}

static void test_claims_are_refused_with_a_reason(void **state)
{
    struct pci_bench *b = *state;
    struct pci_refusal why;

    fpci_bridge(&b->fake, -1, 1, 0);
    bench_endpoint(b, -1, 8);
    fpci_add(&b->fake, -1, 9, 0, 0x1b36, 0x14, PCI_CLASS_IOMMU);
    struct fpci_fn *liar = bench_endpoint(b, -1, 10);

    fpci_cap(liar, 0x60, 0x42);
    fpci_set(liar, 0x60, 0x6042u);
    host(b);
    discover(b);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 8, 0), 0, &why), -CORDON_EINVAL);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 20, 0), 1, &why), -CORDON_ENOENT);
    assert_int_equal(why.why, PCI_WHY_ABSENT);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 1, 0), 1, &why), -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_BRIDGE);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 9, 0), 1, &why), -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_IS_IOMMU);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 10, 0), 1, &why), -CORDON_EPERM);
    assert_int_equal(why.why, PCI_WHY_CAPS_CYCLE);
    assert_int_equal(why.bdf, PCI_BDF(0, 10, 0));
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 8, 0), 1, &why), 0);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 8, 0), 2, &why), -CORDON_EBUSY);
    assert_int_equal(why.why, PCI_WHY_CLAIMED);
    assert_int_equal(why.value, 1);
    assert_int_equal(pci_claim(&b->host, PCI_BDF(0, 8, 0), 1, &why), -CORDON_EBUSY);
}

static void test_every_reason_has_a_text_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < PCI_WHY_COUNT; i++) {
        assert_non_null(pci_why_text((enum pci_why)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(pci_why_text((enum pci_why)i), pci_why_text((enum pci_why)j));
        }
    }
    assert_string_equal(pci_why_text(PCI_WHY_COUNT), "unknown reason");
    for (int i = 0; i < PCI_GROUP_WHY_COUNT; i++) {
        assert_non_null(pci_group_why_text((enum pci_group_why)i));
    }
    assert_string_equal(pci_group_why_text(PCI_GROUP_WHY_COUNT), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_device_id_follows_the_map, bench_setup),
        cmocka_unit_test_setup(test_single_functions_are_alone, bench_setup),
        cmocka_unit_test_setup(test_functions_of_a_slot_go_together, bench_setup),
        cmocka_unit_test_setup(test_functions_with_access_control_are_apart, bench_setup),
        cmocka_unit_test_setup(test_access_control_that_does_not_stick_is_none, bench_setup),
        cmocka_unit_test_setup(test_ports_with_access_control_keep_apart, bench_setup),
        cmocka_unit_test_setup(test_port_lacking_one_control_joins_what_it_can_reach, bench_setup),
        cmocka_unit_test_setup(test_below_a_conventional_bridge_nothing_is_given, bench_setup),
        cmocka_unit_test_setup(test_one_device_id_is_one_group, bench_setup),
        cmocka_unit_test_setup(test_claims_are_refused_with_a_reason, bench_setup),
        cmocka_unit_test_setup(test_every_reason_has_a_text_of_its_own, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
