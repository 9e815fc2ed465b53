/* Harts for tests: see sim_harts.h. */
#include "sim_harts.h"

struct sim sim;

/* ---- harts -------------------------------------------------------------------------------- */

static void sim_forget(struct sim_hart *h, bool any, uint16_t vmid, bool first, uint64_t gpa,
                       uint64_t len)
{
    for (uint32_t i = 0; i < h->used; i++) {
        struct sim_line *l = &h->line[i];
        bool inside = len == 0 || l->page * PAGE - gpa < len;

        l->valid = l->valid && !((any || l->vmid == vmid) && l->first == first && inside);
    }
}

static void on_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    assert_int_not_equal(harts, 0);
    sim.told = harts;
    sim.calls++;
    for (uint32_t h = 0; h < HARTS; h++) {
        if ((harts >> h & 1) != 0) {
            sim_forget(&sim.hart[h], false, vmid, false, gpa, len);
        }
    }
}

static void on_fence_all(void *user, uint64_t harts)
{
    (void)user;
    assert_int_not_equal(harts, 0);
    sim.told_all = harts;
    sim.calls_all++;
    for (uint32_t h = 0; h < HARTS; h++) {
        if ((harts >> h & 1) != 0) {
            sim_forget(&sim.hart[h], true, 0, false, 0, 0);
        }
    }
}

static struct sim_line *sim_find(struct sim_hart *h, bool first, uint64_t page)
{
    for (uint32_t i = 0; i < h->used; i++) {
        struct sim_line *l = &h->line[i];

        if (l->valid && l->vmid == vmid_of(h->hgatp) && l->first == first && l->page == page) {
            return l;
        }
    }
    return NULL;
}

static void sim_learn(struct sim_hart *h, bool first, uint64_t page, uint64_t leads)
{
    uint32_t at = 0;

    while (at < h->used && h->line[at].valid) {
        at++;
    }
    assert_true(at < SIM_LINES);
    h->used = at == h->used ? at + 1 : h->used;
    h->line[at] = (struct sim_line){true, first, vmid_of(h->hgatp), page, leads, h->runs};
}

void sim_read(struct sim_hart *h, uint64_t gpa)
{
    uint64_t now = bench_leads(h->runs, 0, gpa, CORDON_READ);
    uint64_t own = gpa / PAGE ^ (uint64_t)(uintptr_t)h->runs; /* each guest has tables of its own */
    struct sim_line *l = sim_find(h, false, gpa / PAGE);

    if (l == NULL && now != UINT64_MAX) {
        sim_learn(h, false, gpa / PAGE, now / PAGE);
    } else if (l != NULL) {
        assert_int_equal(l->leads * PAGE, now);
    }
    l = sim_find(h, true, gpa / PAGE);
    if (l == NULL) {
        sim_learn(h, true, gpa / PAGE, own);
    } else {
        assert_int_equal(l->leads, own);
    }
}

void sim_sound(void)
{
    for (uint32_t h = 0; h < HARTS; h++) {
        for (uint32_t i = 0; i < sim.hart[h].used; i++) {
            const struct sim_line *l = &sim.hart[h].line[i];
            struct cordon_frame_info info;

            if (l->valid && !l->first) {
                assert_int_equal(
                    cordon_frame_query(sim.b.ctx, cordon_hpa_make(l->leads * PAGE), &info), 0);
                assert_int_equal(info.state, CORDON_FRAME_OWNED);
                assert_int_equal(info.domain, cordon_domain_number(l->whose));
                assert_int_equal(info.gpa.v, l->page * PAGE);
            }
        }
    }
}

int sim_enter(uint32_t hart, cordon_domain *d)
{
    struct cordon_entry entry = {.size = sizeof(entry)};
    struct sim_hart *h = &sim.hart[hart];
    int err = cordon_domain_enter(d, hart, &entry);

    if (err != 0) {
        assert_int_equal(entry.hgatp, 0);
        return err;
    }
    assert_int_equal(entry.hgatp & ~(UINT64_C(0x3fff) << 44), cordon_domain_hgatp(d));
    h->runs = d;
    h->hgatp = entry.hgatp;
    if (entry.forget != 0) {
        sim_forget(h, false, vmid_of(h->hgatp), false, 0, 0);
        sim_forget(h, false, vmid_of(h->hgatp), true, 0, 0);
    }
    return 0;
}

void sim_leave(uint32_t hart)
{
    assert_int_equal(cordon_domain_leave(sim.hart[hart].runs, hart), 0);
    sim.hart[hart].runs = NULL;
}

void sim_open(uint32_t vmid_bits)
{
    const struct cordon_extent bank = {{BENCH_RAM}, 16 * MIB};
    struct cordon_config cfg;

    memset(&sim, 0, sizeof(sim));
    bench_memory(&sim.b, BENCH_RAM, 16 * MIB);
    sim.b.record.ops.hart_fence = on_fence;
    sim.b.record.ops.hart_fence_all = on_fence_all;
    cfg = bench_config(&sim.b);
    cfg.banks = &bank;
    cfg.bank_count = 1;
    cfg.vmid_bits = vmid_bits;
    assert_int_equal(cordon_ctx_create(&cfg, &sim.b.ctx), 0);
}

cordon_domain *sim_domain(void)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = UINT64_C(1) << 40};
    cordon_domain *d = NULL;

    assert_int_equal(cordon_domain_create(sim.b.ctx, &cfg, &d), 0);
    return d;
}
