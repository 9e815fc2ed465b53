/* Sizing and placement: honest sizes only, whole pages, nothing shared, firmware's places kept. */
#include "pci_bench.h"

#include "pci/place.h"
#include "pci/scan.h"

#define MEM64 PCI_BAR_TYPE_64
#define PREFETCH64 (PCI_BAR_TYPE_64 | PCI_BAR_IS_PREFETCH)

static struct pci_place_report place(struct pci_bench *b)
{
    struct pci_scan_report r;
    struct pci_place_report p;

    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    assert_int_equal(pci_scan(&b->host, &r), 0);
    pci_place(&b->host, &p);
    return p;
}

/* Every placed BAR, by pages, is apart from every other, inside a window, and its register
 * agrees. */
static void check_all_apart(struct pci_bench *b)
{
    const struct pci_bar *seen[FPCI_MAX * PCI_BAR_COUNT];
    size_t count = 0;

    for (uint32_t i = 0; i < b->host.count; i++) {
        const struct pci_function *f = &b->table[i];

        for (uint32_t n = 0; n < PCI_BAR_COUNT; n++) {
            const struct pci_bar *bar = &f->bar[n];
            uint64_t len = pci_page_len(bar->len);

            if ((bar->flags & PCI_BAR_PLACED) == 0) {
                continue;
            }
            assert_int_equal(bar->hpa.v % CORDON_PAGE_SIZE, 0);
            assert_int_equal(bar->bus % bar->len, 0);
            assert_true((bar->hpa.v >= FPCI_LOW && bar->hpa.v + len <= FPCI_LOW + FPCI_LOW_LEN) ||
                        (bar->hpa.v >= FPCI_HIGH && bar->hpa.v + len <= FPCI_HIGH + FPCI_HIGH_LEN));
            for (size_t k = 0; k < count; k++) {
                assert_true(bar->hpa.v + len <= seen[k]->hpa.v ||
                            seen[k]->hpa.v + pci_page_len(seen[k]->len) <= bar->hpa.v);
            }
            seen[count++] = bar;
        }
    }
}

/* The harts reach the function's own register at the HPA that the table says. */
static void check_reached(struct pci_bench *b, struct fpci_fn *f, uint32_t bdf)
{
    struct pci_function *fn = bench_find(b, bdf);

    f->reg[1] = 0xc0ffee00u + (bdf & 0xffu);
    pci_command(&b->host, bdf, 0, PCI_COMMAND_MEMORY);
    assert_int_equal(pci_bar_read32(&b->host, &fn->bar[0], 4), f->reg[1]);
    pci_command(&b->host, bdf, PCI_COMMAND_MEMORY, 0);
    assert_int_equal(b->fake.conflicts, 0);
}

static void test_small_bars_get_pages_of_their_own(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct fpci_fn *g = bench_endpoint(b, -1, 9);

    fpci_bar(f, 0, 16, 0);
    fpci_bar(f, 1, 256, 0);
    fpci_bar(f, 2, 0x100000, 0);
    fpci_bar(g, 0, 64, PREFETCH64);
    struct pci_place_report r = place(b);

    assert_int_equal(r.placed, 4);
    assert_int_equal(r.unplaced, 0);
    assert_int_equal(bench_find(b, PCI_BDF(0, 1, 0))->bar[0].len, 16);
    assert_int_equal(bench_find(b, PCI_BDF(0, 9, 0))->bar[0].len, 64);
    check_all_apart(b);
    check_reached(b, f, PCI_BDF(0, 1, 0));
}

static void test_sizing_leaves_the_registers_as_they_were(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct pci_scan_report r;

    fpci_bar(f, 0, 0x1000, MEM64);
    fpci_set(f, PCI_BAR(0), 0x12345004);
    fpci_set(f, PCI_BAR(1), 0x7);
    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    assert_int_equal(pci_scan(&b->host, &r), 0);
    pci_size(&b->host, &b->table[0]);
    assert_int_equal(b->table[0].bar[0].len, 0x1000);
    assert_int_equal(b->table[0].bar[0].bus, 0x712345000);
    assert_int_equal(fpci_get(f, PCI_BAR(0)), 0x12345004);
    assert_int_equal(fpci_get(f, PCI_BAR(1)), 0x7);
}

static void test_wide_bars_go_to_the_wide_window(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_bar(f, 0, UINT64_C(0x40000000), PREFETCH64); /* larger than the low window */
    fpci_bar(f, 2, 0x4000, MEM64);
    fpci_bar(f, 4, UINT64_C(0x20000000), MEM64);
    struct pci_place_report r = place(b);
    const struct pci_function *fn = bench_find(b, PCI_BDF(0, 1, 0));

    assert_int_equal(r.placed, 3);
    assert_true(fn->bar[0].bus >= FPCI_HIGH);
    assert_true(fn->bar[2].bus < FPCI_LOW + FPCI_LOW_LEN);
    assert_true(fn->bar[4].bus >= FPCI_HIGH); /* not prefetchable, but nowhere else is room */
    assert_int_equal(fpci_bar_address(f, 0), fn->bar[0].bus);
    assert_int_equal(fpci_bar_address(f, 4), fn->bar[4].bus);
    check_all_apart(b);
}

static void test_bus_address_and_host_address_may_differ(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct pci_scan_report s;
    struct pci_place_report r;

    fpci_bar(f, 0, 0x1000, 0);
    fpci_host(&b->fake, &b->host, b->table, FPCI_MAX);
    b->host.window[0] = (struct pci_window){0, {FPCI_LOW}, FPCI_LOW_LEN, 0};
    assert_int_equal(pci_scan(&b->host, &s), 0);
    pci_place(&b->host, &r);
    assert_int_equal(b->table[0].bar[0].bus, 0x1000); /* bus address 0 means unplaced */
    assert_int_equal(b->table[0].bar[0].hpa.v, FPCI_LOW + 0x1000);
    assert_int_equal(fpci_bar_address(f, 0), 0x1000);
}

static void test_valid_firmware_place_is_kept_and_a_shared_page_is_not(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct fpci_fn *g = bench_endpoint(b, -1, 2);
    struct fpci_fn *odd = bench_endpoint(b, -1, 3);

    fpci_bar(f, 0, 0x2000, 0);
    fpci_set(f, PCI_BAR(0), FPCI_LOW + 0x6000);
    fpci_bar(f, 1, 256, 0);
    fpci_set(f, PCI_BAR(1), FPCI_LOW + 0x9000);
    fpci_bar(g, 0, 256, 0);
    fpci_set(g, PCI_BAR(0), FPCI_LOW + 0x9100); /* in the other's page */
    fpci_bar(g, 1, 0x1000, 0);
    fpci_set(g, PCI_BAR(1), FPCI_LOW + FPCI_LOW_LEN); /* outside */
    fpci_bar(odd, 0, 0x1000, 0);
    fpci_set(odd, PCI_BAR(0), FPCI_LOW + 0x7000); /* on f's BAR 0 */
    struct pci_place_report r = place(b);

    assert_int_equal(r.placed, 5);
    assert_int_equal(r.kept, 2);
    assert_int_equal(b->table[0].bar[0].bus, FPCI_LOW + 0x6000);
    assert_int_equal(b->table[0].bar[1].bus, FPCI_LOW + 0x9000);
    assert_true((b->table[0].bar[1].flags & PCI_BAR_KEPT) != 0);
    assert_true((b->table[1].bar[0].flags & PCI_BAR_KEPT) == 0);
    check_all_apart(b);
}

static void test_firmware_places_that_leave_no_room_are_given_up(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct fpci_fn *g = bench_endpoint(b, -1, 2);

    fpci_bar(f, 0, 0x1000, 0);
    fpci_set(f, PCI_BAR(0), FPCI_LOW + FPCI_LOW_LEN / 2);
    fpci_bar(g, 0, FPCI_LOW_LEN / 2, 0);
    fpci_bar(g, 1, FPCI_LOW_LEN / 4, 0);
    struct pci_place_report r = place(b);

    assert_int_equal(r.unplaced, 0);
    assert_int_equal(r.placed, 3);
    check_all_apart(b);
}

static void test_bar_without_room_breaks_only_its_function(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);
    struct fpci_fn *g = bench_endpoint(b, -1, 2);

    fpci_bar(f, 0, UINT64_C(0x80000000), 0); /* 2 GiB in 32 bits: no window is so large */
    fpci_bar(g, 0, 0x1000, 0);
    struct pci_place_report r = place(b);

    assert_int_equal(r.unplaced, 1);
    assert_int_equal(b->table[0].broken.why, PCI_WHY_BAR_UNPLACED);
    assert_int_equal(fpci_get(f, PCI_BAR(0)), 0);
    assert_int_equal(b->table[1].broken.why, PCI_WHY_NONE);
    check_reached(b, g, PCI_BDF(0, 2, 0));
}

static void test_bars_that_lie_are_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *holes = bench_endpoint(b, -1, 1);
    struct fpci_fn *pair = bench_endpoint(b, -1, 2);
    struct fpci_fn *type = bench_endpoint(b, -1, 3);

    fpci_bar(holes, 0, 0x1000, 0);
    fpci_sticks(holes, PCI_BAR(0), 0xff0f0000u);
    fpci_set(pair, PCI_BAR(5), MEM64);
    fpci_sticks(pair, PCI_BAR(5), 0xfffff000u);
    fpci_set(type, PCI_BAR(2), 0x2u);
    fpci_sticks(type, PCI_BAR(2), 0xfffff000u);
    struct pci_place_report r = place(b);

    assert_int_equal(r.placed, 0);
    assert_int_equal(b->table[0].broken.why, PCI_WHY_BAR_LIES);
    assert_int_equal(b->table[1].broken.why, PCI_WHY_BAR_PAIR);
    assert_int_equal(b->table[1].broken.value, 5);
    assert_int_equal(b->table[2].broken.why, PCI_WHY_BAR_LIES);
}

static void test_io_bars_are_left_alone_and_roms_off(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_set(f, PCI_BAR(0), 1);
    fpci_sticks(f, PCI_BAR(0), 0xffe0u);
    fpci_bar(f, 1, 0x1000, 0);
    fpci_set(f, PCI_ROM, 0xfeb00001u);
    fpci_set(f, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    struct pci_place_report r = place(b);

    assert_int_equal(r.io, 1);
    assert_int_equal(r.placed, 1);
    assert_int_equal(b->table[0].bar[0].len, 0);
    assert_int_equal(b->table[0].broken.why, PCI_WHY_NONE);
    assert_int_equal(fpci_get(f, PCI_ROM) & 1u, 0);
    assert_int_equal(fpci_get(f, PCI_COMMAND) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY), 0);
}

static void test_bar_that_keeps_no_address_is_refused(void **state)
{
    struct pci_bench *b = *state;
    struct fpci_fn *f = bench_endpoint(b, -1, 1);

    fpci_bar(f, 0, 0x1000, 0);
    fpci_clears(f, PCI_BAR(0), 0x40000000u); /* sizes well, yet loses a bit of the place */
    fpci_sticks(f, PCI_BAR(0), 0xbffff000u);
    (void)place(b);
    assert_int_not_equal(b->table[0].broken.why, PCI_WHY_NONE);
}

static void test_functions_behind_bridges_are_reached(void **state)
{
    struct pci_bench *b = *state;
    int outer = fpci_bridge(&b->fake, -1, 1, 0);
    int inner = fpci_bridge(&b->fake, outer, 2, 0);
    struct fpci_fn *f = bench_endpoint(b, inner, 9);
    struct fpci_fn *g = bench_endpoint(b, outer, 3);
    struct fpci_fn *root = bench_endpoint(b, -1, 30);

    fpci_bar(f, 0, 0x4000, 0);
    fpci_bar(f, 2, UINT64_C(0x20000000), PREFETCH64);
    fpci_bar(g, 0, 0x200000, PREFETCH64);
    fpci_bar(root, 0, 0x1000, 0);
    fpci_bar(&b->fake.fn[outer], 0, 0x1000, 0);
    struct pci_place_report r = place(b);

    assert_int_equal(r.unplaced, 0);
    assert_int_equal(r.placed, 5);
    check_all_apart(b);
    check_reached(b, f, PCI_BDF(2, 9, 0));
    check_reached(b, g, PCI_BDF(1, 3, 0));
    check_reached(b, root, PCI_BDF(0, 30, 0));
    assert_true(bench_find(b, PCI_BDF(2, 9, 0))->bar[2].bus >= FPCI_HIGH);
}

static void test_bridge_without_wide_window_keeps_children_low(void **state)
{
    struct pci_bench *b = *state;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);
    struct fpci_fn *f = bench_endpoint(b, bridge, 1);

    fpci_set(&b->fake.fn[bridge], PCI_BRIDGE_PREFETCH, 0);
    fpci_sticks(&b->fake.fn[bridge], PCI_BRIDGE_PREFETCH_HIGH, 0);
    fpci_sticks(&b->fake.fn[bridge], PCI_BRIDGE_PREFETCH_LIMIT_HIGH, 0);
    fpci_bar(f, 0, 0x10000, PREFETCH64);
    (void)place(b);
    assert_true(bench_find(b, PCI_BDF(1, 1, 0))->bar[0].bus < FPCI_LOW + FPCI_LOW_LEN);
    check_reached(b, f, PCI_BDF(1, 1, 0));
}

static void test_empty_bridge_forwards_nothing(void **state)
{
    struct pci_bench *b = *state;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);
    struct fpci_fn *f = &b->fake.fn[bridge];

    fpci_set(f, PCI_BRIDGE_MEMORY, 0x4ff04000u); /* firmware left it wide open */
    (void)place(b);
    uint32_t low = fpci_get(f, PCI_BRIDGE_MEMORY);

    assert_true((low & 0xfff0u) << 16 > (low & 0xfff00000u));
    low = fpci_get(f, PCI_BRIDGE_PREFETCH);
    assert_true((low & 0xfff0u) << 16 > (low & 0xfff00000u));
}

static void test_firmware_bridge_window_is_kept_with_its_children(void **state)
{
    struct pci_bench *b = *state;
    int bridge = fpci_bridge(&b->fake, -1, 1, 0);
    struct fpci_fn *f = bench_endpoint(b, bridge, 1);

    fpci_set(&b->fake.fn[bridge], PCI_BRIDGE_MEMORY, 0x42004200u);
    fpci_bar(f, 0, 0x4000, 0);
    fpci_set(f, PCI_BAR(0), 0x42008000u);
    struct pci_place_report r = place(b);

    assert_int_equal(r.kept, 1);
    assert_int_equal(fpci_get(f, PCI_BAR(0)), 0x42008000u);
    check_reached(b, f, PCI_BDF(1, 1, 0));
}

/* Many machines by chance: whatever firmware left, everything is apart and reached. */
static void test_random_machines_are_placed_apart(void **state)
{
    struct pci_bench *b = *state;
    uint64_t seed = 12345;

    for (int round = 0; round < 200; round++) {
        (void)bench_setup(state);
        int bridge[3] = {-1, fpci_bridge(&b->fake, -1, 1, 0), -1};

        bridge[2] = fpci_bridge(&b->fake, bridge[1], 1, 0);
        for (uint32_t dev = 2; dev < 16; dev++) {
            struct fpci_fn *f = bench_endpoint(b, bridge[dev % 3], dev);

            for (uint32_t n = 0; n < 6; n += 2) {
                seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
                uint64_t len = UINT64_C(16) << ((seed >> 33) % 18);

                fpci_bar(f, n, len, (seed >> 60) % 2 != 0 ? PREFETCH64 : 0);
                fpci_set(f, PCI_BAR(n),
                         (uint32_t)((FPCI_LOW + ((seed >> 20) & 0xffffff)) & ~(len - 1)) |
                             fpci_get(f, PCI_BAR(n)));
            }
        }
        struct pci_place_report r = place(b);

        assert_int_equal(r.unplaced, 0);
        check_all_apart(b);
        for (uint32_t i = 0; i < b->host.count; i++) {
            struct pci_function *fn = &b->table[i];

            if (!fn->bridge) {
                pci_command(&b->host, fn->bdf, 0, PCI_COMMAND_MEMORY);
                (void)pci_bar_read32(&b->host, &fn->bar[0], 0);
            }
        }
        assert_int_equal(b->fake.stray, 0);
        assert_int_equal(b->fake.conflicts, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_small_bars_get_pages_of_their_own, bench_setup),
        cmocka_unit_test_setup(test_sizing_leaves_the_registers_as_they_were, bench_setup),
        cmocka_unit_test_setup(test_wide_bars_go_to_the_wide_window, bench_setup),
        cmocka_unit_test_setup(test_bus_address_and_host_address_may_differ, bench_setup),
        cmocka_unit_test_setup(test_valid_firmware_place_is_kept_and_a_shared_page_is_not,
                               bench_setup),
        cmocka_unit_test_setup(test_firmware_places_that_leave_no_room_are_given_up, bench_setup),
        cmocka_unit_test_setup(test_bar_without_room_breaks_only_its_function, bench_setup),
        cmocka_unit_test_setup(test_bars_that_lie_are_refused, bench_setup),
        cmocka_unit_test_setup(test_io_bars_are_left_alone_and_roms_off, bench_setup),
        cmocka_unit_test_setup(test_bar_that_keeps_no_address_is_refused, bench_setup),
        cmocka_unit_test_setup(test_functions_behind_bridges_are_reached, bench_setup),
        cmocka_unit_test_setup(test_bridge_without_wide_window_keeps_children_low, bench_setup),
        cmocka_unit_test_setup(test_empty_bridge_forwards_nothing, bench_setup),
        cmocka_unit_test_setup(test_firmware_bridge_window_is_kept_with_its_children, bench_setup),
        cmocka_unit_test_setup(test_random_machines_are_placed_apart, bench_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
