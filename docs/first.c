/* A guest of two host pages, far apart, that stand side by side for it. */
#include <cordon/cordon.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define RAM_BASE UINT64_C(0x80000000)
#define RAM_LEN (16u << 20)

int main(void)
{
    void *ram = aligned_alloc(CORDON_PAGE_SIZE, RAM_LEN);
    struct cordon_extent bank = {{RAM_BASE}, RAM_LEN}, page[2];
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .banks = &bank,
                                .bank_count = 1,
                                .ram_offset = (uintptr_t)ram - RAM_BASE,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14};
    struct cordon_domain_config guest = {.size = sizeof(guest), .gpa_limit = UINT64_C(1) << 40};
    struct cordon_walk walk = {.size = sizeof(walk)};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .gpa = {0x1000},
                           .len = 2 * CORDON_PAGE_SIZE,
                           .perms = CORDON_RW,
                           .extents = page,
                           .extent_count = 2};
    size_t pages = 2;
    cordon_ctx *ctx;
    cordon_domain *blue;

    if (cordon_ctx_create(&cfg, &ctx) != 0 || cordon_domain_create(ctx, &guest, &blue) != 0 ||
        cordon_scatter_alloc(ctx, op.len, 1, 7, page, &pages) != 0 ||
        cordon_change(blue, &op, 1) != 0 ||
        cordon_walk(blue, 0, (cordon_gpa){0x2008}, 0, &walk) != 0)
        return 1;
    for (uint32_t i = 0; i < walk.step_count; i++)
        printf("level %u: %#018jx\n", walk.step[i].level, (uintmax_t)walk.step[i].value);
    printf("GPA 0x2008 stands at HPA %#jx\n", (uintmax_t)walk.hit.hpa.v);
    return cordon_domain_destroy(blue) != 0 || cordon_ctx_destroy(ctx) != 0;
}
