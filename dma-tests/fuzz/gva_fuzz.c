/*
 * A guest's tables of any making under cordon_walk_guest, beside a second account of what was read:
 * each word stands where the one before leads, in a page that the guest has and may read, with the
 * value that is there; what it leads to is what the map has; and nothing is written.
 */
#include <string.h>

#include "fuzz.h"
#include <cordon/cordon.h>

#define HOST UINT64_C(0x80000000)
#define HOST_LEN (UINT64_C(8) << 20)
#define RAM UINT64_C(0x40000000)
#define PAGES 8u
#define PAGE UINT64_C(4096)
#define REGISTERS UINT64_C(0x50000000)
#define REGISTERS_HPA UINT64_C(0x10000000)
#define FLAGS 63u
#define WORD(gpa) ((gpa) >> 2)

static struct {
    uint8_t host[HOST_LEN] __attribute__((aligned(4096)));
    uint8_t before[PAGES][PAGE];
    cordon_domain *domain;
    uint64_t frame[PAGES]; /* HPA of each page; the last one can only be executed */
} t;

static uint8_t *page_at(unsigned n)
{
    return t.host + (t.frame[n] - HOST);
}

static void grant(cordon_ctx *ctx, uint64_t gpa, uint32_t perms, uint64_t *hpa)
{
    struct cordon_run_want want = {.size = sizeof(want), .len = PAGE};
    struct cordon_extent e = {.len = PAGE};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .gpa = {gpa},
                           .len = PAGE,
                           .perms = perms,
                           .extents = &e,
                           .extent_count = 1};

    must(cordon_run_alloc(ctx, &want, &e.hpa) == 0);
    must(cordon_change(t.domain, &op, 1) == 0);
    *hpa = e.hpa.v;
}

static void open_world(void)
{
    struct cordon_extent bank = {{HOST}, HOST_LEN}, window = {{REGISTERS_HPA}, PAGE};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .ram_offset = (uint64_t)(uintptr_t)t.host - HOST,
                                .banks = &bank,
                                .bank_count = 1,
                                .hart_modes = 7,
                                .vmid_bits = 14};
    struct cordon_domain_config domain = {.size = sizeof(domain), .gpa_limit = UINT64_C(1) << 41};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .flags = CORDON_REGION_MMIO,
                           .gpa = {REGISTERS},
                           .len = PAGE,
                           .perms = CORDON_RW,
                           .extents = &window,
                           .extent_count = 1};
    cordon_ctx *ctx;

    must(cordon_ctx_create(&cfg, &ctx) == 0);
    must(cordon_resource_add(ctx, window.hpa, window.len) == 0);
    must(cordon_domain_create(ctx, &domain, &t.domain) == 0);
    for (unsigned n = PAGES; n-- > 0;) {
        grant(ctx, RAM + n * PAGE, n == PAGES - 1 ? CORDON_EXEC : CORDON_RWX, &t.frame[n]);
    }
    must(cordon_change(t.domain, &op, 1) == 0);
}

static uint64_t input_u64(struct input *in)
{
    uint64_t high = input_u32(in);

    return high << 32 | input_u32(in);
}

/* Mostly a word that leads on or is a leaf, of a page of the guest's. */
static uint64_t input_word(struct input *in)
{
    static const uint64_t kinds[] = {1, 1, 0xcf, 0xdf, 0x43, 0x8000000000000000u | 8u << 10 | 0xc7};
    uint8_t kind = input_byte(in), place = input_byte(in);

    if (kind >= 0xc0) {
        return input_u64(in);
    }
    return kinds[kind % (sizeof(kinds) / sizeof(kinds[0]))] |
           WORD(place == 0xff ? REGISTERS : RAM + place % (PAGES + 1) * PAGE);
}

static void fill(struct input *in)
{
    for (unsigned n = 0; n < PAGES; n++) {
        memset(page_at(n), 0, PAGE);
    }
    while (in->left >= 4) {
        uint8_t n = input_byte(in), index = input_byte(in);
        uint64_t word = input_word(in);

        memcpy(page_at(n % PAGES) + 8u * (index % 4u == 3 ? 511u : index % 4u), &word, 8);
    }
    for (unsigned n = 0; n < PAGES; n++) {
        memcpy(t.before[n], page_at(n), PAGE);
    }
}

/* HPA of a byte of the guest's RAM; 0: it has none there. */
static uint64_t hpa_of(uint64_t gpa)
{
    uint64_t n = (gpa - RAM) / PAGE;

    return gpa >= RAM && n < PAGES ? t.frame[n] + gpa % PAGE : 0;
}

static void check_steps(const struct cordon_gva_ask *a, const struct cordon_gva_walk *w)
{
    unsigned levels = (unsigned)w->mode - 5;
    uint64_t table = (a->satp & ((UINT64_C(1) << 44) - 1)) << 12;

    must(w->step_count <= (w->mode >= 8 && w->mode <= 10 ? levels : 0));
    for (unsigned i = 0; i < w->step_count; i++) {
        const struct cordon_gva_step *s = &w->step[i];
        uint64_t hpa = hpa_of(s->gpa.v), value;

        must(s->level == levels - 1 - i);
        must(s->gpa.v == table + 8 * (a->gva.v >> (12 + 9 * s->level) & 511));
        must(hpa != 0 && hpa == s->hpa.v && s->gpa.v < RAM + (PAGES - 1) * PAGE);
        must(s->hva == (uint64_t)(uintptr_t)t.host + (hpa - HOST));
        memcpy(&value, t.host + (hpa - HOST), 8);
        must(s->value == value);
        table = value >> 10 << 12 & ((UINT64_C(1) << 56) - 1);
    }
}

static void check_end(const struct cordon_gva_ask *a, const struct cordon_gva_walk *w)
{
    uint64_t last = w->step_count != 0 ? w->step[w->step_count - 1].value : 0;
    unsigned shift = w->step_count == 0 ? 0
                     : last >> 63 != 0  ? 16
                                        : 12 + 9 * w->step[w->step_count - 1].level;
    uint64_t inside = (UINT64_C(1) << shift) - 1;
    uint64_t gpa = w->step_count == 0 ? a->gva.v
                                      : ((last >> 10 << 12 & ((UINT64_C(1) << 56) - 1)) & ~inside) |
                                            (a->gva.v & inside);

    must((w->end == CORDON_GVA_LEADS) == (w->cause == 0));
    must(w->end <= CORDON_GVA_NO_PAGE && w->map <= CORDON_GPA_CORRUPT);
    must(w->map != CORDON_GPA_CORRUPT && w->map != CORDON_GPA_ABSENT);
    if (w->end == CORDON_GVA_LEADS || w->end == CORDON_GVA_NO_PAGE) {
        must(w->gpa.v == gpa);
    }
    if (w->end != CORDON_GVA_LEADS) {
        must(w->hva == 0 && w->marks == 0);
    } else if (w->map == CORDON_GPA_MMIO) {
        must(gpa - REGISTERS < PAGE && w->gstage.hit.hpa.v == REGISTERS_HPA + gpa % PAGE);
        must(w->hva == 0);
    } else {
        must(hpa_of(gpa) != 0 && w->gstage.hit.hpa.v == hpa_of(gpa));
        must(w->hva == (uint64_t)(uintptr_t)t.host + (hpa_of(gpa) - HOST));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t accesses[] = {0, CORDON_READ, CORDON_WRITE, CORDON_EXEC};
    struct input in = {data, size};
    uint8_t how = input_byte(&in), mode = input_byte(&in);
    struct cordon_gva_walk w = {.size = sizeof(w)};
    struct cordon_gva_ask a = {.size = sizeof(a),
                               .flags = how & FLAGS,
                               .access = accesses[how >> 6],
                               .gva = {input_u64(&in)}};

    if (t.domain == NULL) {
        open_world();
    }
    a.satp = (uint64_t)(mode < 0xf0 ? 8 + mode % 3 : mode & 15) << 60 |
             (input_byte(&in) < 0xf0 ? RAM >> 12 : input_u64(&in) >> 20);
    fill(&in);
    must(cordon_walk_guest(t.domain, &a, &w) == 0);
    check_steps(&a, &w);
    check_end(&a, &w);
    for (unsigned n = 0; n < PAGES; n++) {
        must(memcmp(t.before[n], page_at(n), PAGE) == 0);
    }
    return 0;
}
