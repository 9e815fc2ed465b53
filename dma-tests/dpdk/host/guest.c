/* See guest.h. */
#include "guest.h"
#include "lib/tool.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_malloc.h>
#include <rte_memory.h>

#define VA_ALIGN (2 * PAGE_2M)
#define GPA_LIMIT (UINT64_C(1) << 40)

/* ---- DPDK ---------------------------------------------------------------------------------- */

static char runtime[256];

static void remove_runtime(void)
{
    static const char *const parts[] = {"/dpdk/cordon", "/dpdk", ""};
    char path[sizeof(runtime) + 16];

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", runtime, parts[i]);
        (void)rmdir(path);
    }
}

/* DPDK makes folders even where it is told to keep no files: in one of ours, gone once it has
 * started, or not. */
void dpdk_start(const struct argp *argp, int argc, char **argv, void *settings)
{
    static char lcores[32];
    static char *const own[] = {"--no-huge", "--no-pci", "--no-shconf",         "-m",
                                "8",         lcores,     "--file-prefix=cordon"};
    const char *temporary = getenv("TMPDIR");
    char **all = calloc((size_t)argc + 1 + sizeof(own) / sizeof(own[0]), sizeof(*all));
    int count = argc;

    must(all != NULL, "no memory", 0);
    /* DPDK ties the thread to one processor: to that on which it may run now. */
    (void)snprintf(lcores, sizeof(lcores), "--lcores=0@%d", sched_getcpu());
    memcpy(all, argv, (size_t)argc * sizeof(*all));
    all[count++] = "--";
    memcpy(all + count, own, sizeof(own));
    count += (int)(sizeof(own) / sizeof(own[0]));
    (void)snprintf(runtime, sizeof(runtime), "%s/cordon-dpdk-XXXXXX",
                   temporary != NULL ? temporary : "/tmp");
    must(mkdtemp(runtime) != NULL, "no temporary folder", 0);
    (void)atexit(remove_runtime);
    (void)setenv("RUNTIME_DIRECTORY", runtime, 1);
    tool_start(argp, count, all, settings);
    remove_runtime();
    free(all);
}

uint64_t iova_of(const void *va)
{
    const struct rte_memseg *page = rte_mem_virt2memseg(va, NULL);

    must(page != NULL, "an address is in no heap of DPDK", 0);
    return page->iova + (uint64_t)((const uint8_t *)va - (const uint8_t *)page->addr);
}

/* ---- an area ------------------------------------------------------------------------------- */

static void take_frames(struct guest *g, struct area *a)
{
    uint32_t piece = (uint32_t)(a->page / PAGE_4K); /* 2^n pages is bit n */
    int err;

    a->extent_count = a->len / a->page;
    a->extents = calloc(a->extent_count, sizeof(*a->extents));
    must(a->extents != NULL, "no memory", 0);
    err = cordon_scatter_alloc(g->m->ctx, a->len, piece, machine_random(g->m), a->extents,
                               &a->extent_count);
    must(err == 0, "no frames for a guest", err);
}

/* The order in which user space sees the pages of A: random, and pairs of large ones together. */
static uint64_t *shuffled(struct guest *g, const struct area *a)
{
    uint32_t group = a->page == PAGE_2M ? 2 : 1;
    uint32_t groups = (uint32_t)(a->len / a->page) / group;
    uint64_t *order = calloc(groups * group, sizeof(*order));

    must(order != NULL, "no memory", 0);
    for (uint32_t i = 0; i < groups; i++) {
        uint32_t k = machine_between(g->m, 0, i);

        order[i * group] = order[k * group];
        order[k * group] = i * group;
    }
    for (uint32_t i = 0; group == 2 && i < groups; i++) {
        order[2 * i + 1] = order[2 * i] + 1;
    }
    return order;
}

static uint64_t translated(const struct guest *g, uint64_t gpa)
{
    struct cordon_hit hit;
    int err = cordon_translate(g->d, 0, cordon_gpa_make(gpa), 0, &hit);

    must(err == 0, "a page of a guest leads nowhere", err);
    return hit.hpa.v;
}

uint64_t hpa_of(const struct guest *g, const void *va)
{
    uint64_t iova = iova_of(va);

    return g->m->confined ? translated(g, iova) : iova;
}

/* User space of the guest: each page is the frame that the map leads to. */
static void show(struct guest *g, struct area *a)
{
    uint64_t *order = shuffled(g, a);
    uint8_t *room = mmap(NULL, a->len + VA_ALIGN, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(room != MAP_FAILED, "no address space", 0);
    a->va = room + (-(uintptr_t)room & (VA_ALIGN - 1));
    (void)munmap(room, (size_t)(a->va - room));
    (void)munmap(a->va + a->len, (size_t)(room + VA_ALIGN - a->va));
    a->iova = calloc(a->len / a->page, sizeof(*a->iova));
    must(a->iova != NULL, "no memory", 0);
    for (uint64_t i = 0; i < a->len / a->page; i++) {
        uint64_t gpa = a->gpa + order[i] * a->page, hpa = translated(g, gpa);
        void *at = mmap(a->va + i * a->page, a->page, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED, g->m->ram_fd, (off_t)(hpa - RAM_HPA));

        must(at != MAP_FAILED, "a page cannot be mapped", 0);
        a->iova[i] = g->m->confined ? gpa : hpa;
    }
    free(order);
}

int area_open(struct guest *g, struct area *a)
{
    struct cordon_op op = {
        .kind = CORDON_OP_GRANT, .flags = a->flags, .gpa = {a->gpa}, .len = a->len};
    int err;

    if (a->extents == NULL) {
        take_frames(g, a);
    }
    op.perms = a->perms;
    op.extents = a->extents;
    op.extent_count = a->extent_count;
    err = cordon_change(g->d, &op, 1);
    if (err != 0) {
        return err;
    }
    show(g, a);
    must(rte_malloc_heap_create(a->heap) == 0 &&
             rte_malloc_heap_memory_add(a->heap, a->va, a->len, a->iova,
                                        (unsigned)(a->len / a->page), a->page) == 0,
         "DPDK does not take a guest's memory", 0);
    a->socket = rte_malloc_heap_get_socket(a->heap);
    return 0;
}

void area_forget(struct guest *g, struct area *a)
{
    (void)g;
    must(rte_malloc_heap_memory_remove(a->heap, a->va, a->len) == 0 &&
             rte_malloc_heap_destroy(a->heap) == 0,
         "DPDK does not let go of a guest's memory", 0);
    (void)munmap(a->va, a->len);
    free(a->iova);
    a->va = NULL;
    a->iova = NULL;
}

int area_revoke(struct guest *g, struct area *a)
{
    const struct cordon_op op = {.kind = CORDON_OP_REVOKE, .gpa = {a->gpa}, .len = a->len};

    return cordon_change(g->d, &op, 1);
}

/* ---- a guest ------------------------------------------------------------------------------- */

static const struct {
    const char *guest, *small, *large;
} heaps[] = {{"red", "red.4K", "red.2M"}, {"blue", "blue.4K", "blue.2M"}};

void guest_open(struct guest *g, struct machine *m, const char *name, uint64_t gpa_base)
{
    const struct cordon_domain_config cfg = {.size = sizeof(cfg), .gpa_limit = GPA_LIMIT};
    size_t who = strcmp(name, heaps[0].guest) == 0 ? 0 : 1;
    int err;

    *g = (struct guest){.m = m};
    g->small = (struct area){.gpa = gpa_base,
                             .len = UINT64_C(8) << 20,
                             .page = PAGE_4K,
                             .perms = CORDON_RWX,
                             .heap = heaps[who].small};
    g->large = (struct area){.gpa = gpa_base + (UINT64_C(64) << 20),
                             .len = UINT64_C(32) << 20,
                             .page = PAGE_2M,
                             .perms = CORDON_RWX,
                             .heap = heaps[who].large};
    err = cordon_domain_create(m->ctx, &cfg, &g->d);
    must(err == 0, "no domain", err);
    err = area_open(g, &g->small);
    must(err == 0, "a guest's memory", err);
    err = area_open(g, &g->large);
    must(err == 0, "a guest's memory", err);
}

/* Pools of it must be freed before. */
void guest_close(struct guest *g)
{
    struct area *areas[] = {&g->small, &g->large};

    for (size_t i = 0; i < 2; i++) {
        area_forget(g, areas[i]);
        free(areas[i]->extents);
    }
}
