/*
 * Writing a device tree from its first node to its last, on libfdt's sequential interface. The
 * first error sticks: later calls do nothing, and dt_finish reports it.
 */
#ifndef HYP_CONFIG_DT_WRITER_H
#define HYP_CONFIG_DT_WRITER_H

#include <cordon/types.h>

struct dt_writer {
    void *tree;
    int status; /* of libfdt */
};

/* Start a tree in SIZE bytes at BUF, with its root node open. */
void dt_start(struct dt_writer *w, void *buf, uint32_t size);

/* Close the root node and finish. Errors: ELIMIT (the buffer is too small). */
CORDON_MUST_CHECK int dt_finish(struct dt_writer *w);

void dt_open(struct dt_writer *w, const char *name);
/* A node NAME@ADDRESS, in hexadecimal. */
void dt_open_at(struct dt_writer *w, const char *name, uint64_t address);
void dt_close(struct dt_writer *w);

void dt_flag(struct dt_writer *w, const char *name);
void dt_u32(struct dt_writer *w, const char *name, uint32_t value);
void dt_u64(struct dt_writer *w, const char *name, uint64_t value);
void dt_text(struct dt_writer *w, const char *name, const char *text);
void dt_bytes(struct dt_writer *w, const char *name, const void *bytes, size_t len);
/* COUNT 32-bit cells; at most DT_MAX_CELLS. */
#define DT_MAX_CELLS 32u
void dt_cells(struct dt_writer *w, const char *name, const uint32_t *cells, size_t count);
/* A reg of one range, two cells each for address and length. */
void dt_reg(struct dt_writer *w, uint64_t address, uint64_t len);

#endif
