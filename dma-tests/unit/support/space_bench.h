/* A space over a domain, and the edits that tests make of it. */
#ifndef UNIT_SUPPORT_SPACE_BENCH_H
#define UNIT_SUPPORT_SPACE_BENCH_H

#include "map_bench.h"

static struct map_bench b;
static cordon_domain *d;
static cordon_space *s;

static inline int space_setup(void **state)
{
    (void)state;
    bench_open(&b, 32 * MIB);
    d = bench_domain(&b);
    assert_int_equal(cordon_space_create(d, &s), 0);
    return 0;
}

static inline int space_teardown(void **state)
{
    (void)state;
    bench_sound(&b);
    assert_int_equal(cordon_domain_destroy(d), -CORDON_EBUSY); /* the space is there */
    assert_int_equal(cordon_space_destroy(s), 0);
    assert_int_equal(cordon_domain_destroy(d), 0);
    bench_close(&b);
    return 0;
}

/* A node of PAGES at OFFSET of the space itself, with all rights. */
static inline struct cordon_edit add_of(uint32_t id, uint32_t kind, uint64_t offset, uint64_t pages)
{
    return (struct cordon_edit){
        .kind = CORDON_TREE_ADD,
        .node = {.size = sizeof(struct cordon_node),
                 .id = id,
                 .kind = kind,
                 .offset = offset,
                 .len = pages * PAGE,
                 .perms = kind == CORDON_NODE_HOLE ? 0 : CORDON_RWX},
    };
}

/* The same, with one run behind it that is the caller's to free. */
static inline struct cordon_edit ram_of(uint32_t id, uint64_t offset, const struct cordon_extent *e)
{
    struct cordon_edit edit = add_of(id, CORDON_NODE_RAM, offset, e->len / PAGE);

    edit.node.flags = CORDON_REGION_KEEP;
    edit.node.extents = e;
    edit.node.extent_count = 1;
    return edit;
}

static inline struct cordon_edit alias_of(uint32_t id, uint64_t offset, uint64_t pages,
                                          uint32_t target, uint64_t target_offset)
{
    struct cordon_edit edit = add_of(id, CORDON_NODE_ALIAS, offset, pages);

    edit.node.target = target;
    edit.node.target_offset = target_offset;
    return edit;
}

/* A node as it stands, to be changed. */
static inline struct cordon_edit set_of(uint32_t id)
{
    struct cordon_edit edit = {.kind = CORDON_TREE_SET};

    assert_int_equal(cordon_node_find(s, id, false, &edit.node), 0);
    edit.node.extent_count = 0;
    edit.node.flags &= ~CORDON_REGION_MMIO;
    return edit;
}

static inline struct cordon_edit remove_of(uint32_t id)
{
    return (struct cordon_edit){.kind = CORDON_TREE_REMOVE,
                                .node = {.size = sizeof(struct cordon_node), .id = id}};
}

static inline int edit_one(struct cordon_edit e)
{
    return cordon_space_update(s, &e, 1);
}

static inline struct cordon_extent held(uint64_t pages)
{
    return (struct cordon_extent){bench_held(&b, pages), pages * PAGE};
}

static inline void free_held(struct cordon_extent e)
{
    assert_int_equal(cordon_run_free(b.ctx, e.hpa, e.len), 0);
}

/* PAGES from GPA on lead to HPA and what follows, in the G-stage. */
static inline void assert_leads(uint64_t gpa, uint64_t pages, uint64_t hpa)
{
    for (uint64_t i = 0; i < pages; i++) {
        assert_int_equal(bench_leads(d, 0, gpa + i * PAGE, CORDON_READ), hpa + i * PAGE);
    }
}

static inline void assert_nothing(uint64_t gpa, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        assert_int_equal(bench_leads(d, 0, gpa + i * PAGE, 0), UINT64_MAX);
    }
}

/* The update is refused with ERR, and nothing has changed: not the map, not the tree. */
static inline void assert_refused(const struct cordon_edit *edits, size_t count, int err)
{
    uint64_t before = bench_state(&b);

    assert_int_equal(cordon_space_update(s, edits, count), err);
    assert_int_equal(bench_state(&b), before);
    bench_sound(&b);
}

#endif
