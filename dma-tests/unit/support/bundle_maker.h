/*
 * A bundle in memory, good until a test spoils it: one or two VMs that share a kernel and an
 * initramfs, which lie behind the tree.
 */
#ifndef UNIT_SUPPORT_BUNDLE_MAKER_H
#define UNIT_SUPPORT_BUNDLE_MAKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <libfdt.h>

#include "config/bundle.h"

#define TREE_BYTES 0x2000
#define KERNEL_AT 0x2000
#define KERNEL_BYTES 0x100
#define INITRD_AT 0x3000
#define INITRD_BYTES 0x55
#define BUNDLE_BYTES (INITRD_AT + INITRD_BYTES)

struct made {
    uint8_t *bytes; /* TREE_BYTES for the tree, then the images; BUNDLE_BYTES long */
    struct bundle bundle;
    struct config_error why;
};

static inline void must(int status)
{
    if (status < 0) {
        fail_msg("libfdt: %s", fdt_strerror(status));
    }
}

static inline int node_at(struct made *m, const char *path)
{
    int node = fdt_path_offset(m->bytes, path);

    must(node);
    return node;
}

/* The node PATH/NAME, made. */
static inline void add_node(struct made *m, const char *path, const char *name)
{
    must(fdt_add_subnode(m->bytes, node_at(m, path), name));
}

static inline void set_bytes(struct made *m, const char *path, const char *prop, const void *bytes,
                             int len)
{
    must(fdt_setprop(m->bytes, node_at(m, path), prop, bytes, len));
}

static inline void set_text(struct made *m, const char *path, const char *prop, const char *text)
{
    set_bytes(m, path, prop, text, (int)strlen(text) + 1);
}

static inline void set_u32(struct made *m, const char *path, const char *prop, uint32_t value)
{
    must(fdt_setprop_u32(m->bytes, node_at(m, path), prop, value));
}

static inline void set_u64(struct made *m, const char *path, const char *prop, uint64_t value)
{
    must(fdt_setprop_u64(m->bytes, node_at(m, path), prop, value));
}

static inline void add_image(struct made *m, const char *name, uint32_t position, uint32_t size)
{
    char path[64], hash[80];
    uint8_t value[32];

    memset(value, name[0], sizeof value);
    snprintf(path, sizeof path, "/images/%s", name);
    snprintf(hash, sizeof hash, "%s/hash-1", path);
    add_node(m, "/images", name);
    set_u32(m, path, "data-position", position);
    set_u32(m, path, "data-size", size);
    add_node(m, path, "hash-1");
    set_text(m, hash, "algo", "sha256");
    set_bytes(m, hash, "value", value, sizeof value);
}

static inline void add_vm(struct made *m, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/vms/%s", name);
    add_node(m, "/vms", name);
    set_u32(m, path, "vcpus", 2);
    set_u64(m, path, "memory", 0x8000000);
    set_text(m, path, "kernel", "kernel");
    set_text(m, path, "ramdisk", "initramfs");
}

static inline void add_device(struct made *m, const char *vm, const char *name, const char *pci)
{
    char path[64];

    snprintf(path, sizeof path, "/vms/%s", vm);
    if (fdt_subnode_offset(m->bytes, node_at(m, path), "devices") < 0) {
        add_node(m, path, "devices");
    }
    snprintf(path, sizeof path, "/vms/%s/devices", vm);
    add_node(m, path, name);
    snprintf(path, sizeof path, "/vms/%s/devices/%s", vm, name);
    set_text(m, path, "pci", pci);
}

/* The header of a kernel: TEXT_OFFSET and IMAGE_SIZE, little-endian, and its magic. */
static inline void put_kernel(struct made *m, uint64_t text_offset, uint64_t image_size)
{
    uint8_t *header = m->bytes + KERNEL_AT;

    memset(header, 0, KERNEL_BYTES);
    memcpy(header + 8, &text_offset, 8);
    memcpy(header + 16, &image_size, 8);
    memcpy(header + 48, "RISCV\0\0\0RSC\x05", 12);
}

/* Exactly as many bytes as the bundle has, so that the sanitizer sees a read behind its end. */
static inline int make(void **state)
{
    struct made *m = calloc(1, sizeof *m);

    assert_non_null(m);
    m->bytes = malloc(BUNDLE_BYTES);
    assert_non_null(m->bytes);
    memset(m->bytes, 0xE5, BUNDLE_BYTES);
    must(fdt_create_empty_tree(m->bytes, TREE_BYTES));
    put_kernel(m, 0x200000, 0x1000000);
    add_node(m, "/", "images");
    add_node(m, "/", "vms");
    add_image(m, "kernel", KERNEL_AT, KERNEL_BYTES);
    add_image(m, "initramfs", INITRD_AT, INITRD_BYTES);
    add_vm(m, "red");
    *state = m;
    return 0;
}

static inline int unmake(void **state)
{
    struct made *m = *state;

    free(m->bytes);
    free(m);
    return 0;
}

static inline int parse(struct made *m)
{
    memset(&m->bundle, 0xA5, sizeof m->bundle);
    memset(&m->why, 0, sizeof m->why);
    return bundle_parse(m->bytes, BUNDLE_BYTES, &m->bundle, &m->why);
}

#endif
