/* A guest device tree under test: a VM, a hart, and questions asked of the tree through libfdt. */
#ifndef UNIT_SUPPORT_GUEST_TREE_H
#define UNIT_SUPPORT_GUEST_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "config/guest_dt.h"
#include "config/isa.h"

struct tree {
    struct vm_config vm;
    struct guest_dt in;
    void *dt; /* GUEST_DT_BYTES */
    struct config_error why;
};

static inline int tree_setup(void **state)
{
    struct tree *t = calloc(1, sizeof *t);

    assert_non_null(t);
    t->dt = malloc(GUEST_DT_BYTES);
    assert_non_null(t->dt);
    strcpy(t->vm.name, "red");
    t->vm.vcpus = 2;
    t->vm.ram_base = cordon_gpa_make(0x80000000);
    t->vm.ram_len = 0x20000000;
    t->in.vm = &t->vm;
    t->in.timebase_hz = 10000000;
    t->in.imsic_ids = 255;
    t->in.cpu.mmu = HOST_MMU_SV57;
    t->in.cpu.cbom_bytes = 64;
    assert_int_equal(isa_parse("rv64imac_zicbom_ssaia_sstc", &t->in.cpu.isa), 0);
    *state = t;
    return 0;
}

static inline int tree_teardown(void **state)
{
    struct tree *t = *state;

    free(t->dt);
    free(t);
    return 0;
}

static inline int tree_node(const struct tree *t, const char *path)
{
    int node = fdt_path_offset(t->dt, path);

    if (node < 0) {
        fail_msg("%s: %s", path, fdt_strerror(node));
    }
    return node;
}

static inline bool tree_has(const struct tree *t, const char *path)
{
    return fdt_path_offset(t->dt, path) >= 0;
}

static inline void expect_cells(const struct tree *t, const char *path, const char *prop,
                                const uint32_t *cells, int count)
{
    int len = 0;
    const uint8_t *value = fdt_getprop(t->dt, tree_node(t, path), prop, &len);

    assert_non_null(value);
    assert_int_equal(len, count * 4);
    for (int i = 0; i < count; i++) {
        assert_int_equal(fdt32_ld((const fdt32_t *)(value + (size_t)i * 4)), cells[i]);
    }
}

#define EXPECT_CELLS(t, path, prop, ...)                         \
    expect_cells(t, path, prop, (const uint32_t[]){__VA_ARGS__}, \
                 sizeof((const uint32_t[]){__VA_ARGS__}) / 4)

static inline void expect_text(const struct tree *t, const char *path, const char *prop,
                               const char *text)
{
    int len = 0;
    const char *value = fdt_getprop(t->dt, tree_node(t, path), prop, &len);

    assert_non_null(value);
    assert_int_equal(len, strlen(text) + 1);
    assert_string_equal(value, text);
}

static inline bool tree_has_prop(const struct tree *t, const char *path, const char *prop)
{
    return fdt_getprop(t->dt, tree_node(t, path), prop, NULL) != NULL;
}

static inline uint32_t tree_phandle(const struct tree *t, const char *path)
{
    return fdt_get_phandle(t->dt, tree_node(t, path));
}

#endif
