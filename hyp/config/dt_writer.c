/* A thin layer over libfdt's sequential writer. */
#include "config/dt_writer.h"

#include <libfdt.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>
#include <cordon/port.h>

static void dt_note(struct dt_writer *w, int status)
{
    if (w->status == 0) {
        w->status = status;
    }
}

void dt_start(struct dt_writer *w, void *buf, uint32_t size)
{
    w->tree = buf;
    w->status = size > INT32_MAX ? -FDT_ERR_NOSPACE : fdt_create(buf, (int)size);
    if (w->status == 0) {
        w->status = fdt_finish_reservemap(buf);
    }
    dt_open(w, "");
}

/* All that can go wrong for a tree of ours is a buffer that is too small. */
int dt_finish(struct dt_writer *w)
{
    dt_close(w);
    if (w->status == 0) {
        w->status = fdt_finish(w->tree);
    }
    cordon_assert(w->status == 0 || w->status == -FDT_ERR_NOSPACE);
    return w->status == 0 ? 0 : -CORDON_ELIMIT;
}

void dt_open(struct dt_writer *w, const char *name)
{
    if (w->status == 0) {
        dt_note(w, fdt_begin_node(w->tree, name));
    }
}

void dt_open_at(struct dt_writer *w, const char *name, uint64_t address)
{
    char full[48];

    snprintf(full, sizeof full, "%s@%lx", name, (unsigned long)address);
    dt_open(w, full);
}

void dt_close(struct dt_writer *w)
{
    if (w->status == 0) {
        dt_note(w, fdt_end_node(w->tree));
    }
}

void dt_bytes(struct dt_writer *w, const char *name, const void *bytes, size_t len)
{
    cordon_assert(len <= INT32_MAX);
    if (w->status == 0) {
        dt_note(w, fdt_property(w->tree, name, bytes, (int)len));
    }
}

void dt_flag(struct dt_writer *w, const char *name)
{
    dt_bytes(w, name, NULL, 0);
}

void dt_u32(struct dt_writer *w, const char *name, uint32_t value)
{
    dt_cells(w, name, &value, 1);
}

void dt_u64(struct dt_writer *w, const char *name, uint64_t value)
{
    uint32_t cells[2] = {(uint32_t)(value >> 32), (uint32_t)value};

    dt_cells(w, name, cells, 2);
}

void dt_text(struct dt_writer *w, const char *name, const char *text)
{
    dt_bytes(w, name, text, strlen(text) + 1);
}

void dt_cells(struct dt_writer *w, const char *name, const uint32_t *cells, size_t count)
{
    fdt32_t stored[DT_MAX_CELLS];

    cordon_assert(count <= DT_MAX_CELLS);
    for (size_t i = 0; i < count; i++) {
        stored[i] = cpu_to_fdt32(cells[i]);
    }
    dt_bytes(w, name, stored, count * sizeof stored[0]);
}

void dt_reg(struct dt_writer *w, uint64_t address, uint64_t len)
{
    uint32_t cells[4] = {(uint32_t)(address >> 32), (uint32_t)address, (uint32_t)(len >> 32),
                         (uint32_t)len};

    dt_cells(w, "reg", cells, 4);
}
