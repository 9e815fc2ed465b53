/* A model over a small memory, and tables built word by word from the specification. */
#ifndef MODEL_BENCH_H
#define MODEL_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cordon_model.h"

#define RAM_HPA 0x80000000ull
#define RAM_LEN 0x400000ull
/* where things are, as offsets */
#define AT_CQ 0x1000u
#define AT_FQ 0x2000u
#define AT_DDT 0x3000u /* three levels: +0, +0x1000, +0x2000 */
#define AT_G 0x8000u   /* root 16 KiB, then a page a level */
#define AT_S 0x10000u
#define AT_MSI 0x20000u
#define AT_PAGE 0x100000u
#define GPA 0x40201000ull
#define DID 0x10203u
#define GSCID 7ull
#define LEAF 0xdfull /* D A U X W R V */
#define IR 1u        /* read */
#define IW 2u        /* write */
#define IX 4u        /* exec */

struct bench {
    uint64_t *ram;
    cordon_model *m;
    uint32_t tail;
};

static inline uint64_t *at(struct bench *b, uint64_t offset)
{
    return b->ram + offset / 8;
}

static inline uint64_t rd(struct bench *b, uint32_t reg)
{
    return cordon_model_read(b->m, reg, 4);
}

static inline void wr(struct bench *b, uint32_t reg, uint64_t value)
{
    cordon_model_write(b->m, reg, 4, value);
}

static inline void wr8(struct bench *b, uint32_t reg, uint64_t value)
{
    cordon_model_write(b->m, reg, 8, value);
}

static inline uint64_t ppn(uint64_t offset)
{
    return (RAM_HPA + offset) >> 12;
}

static inline void bench_open(struct bench *b, uint64_t cap, uint32_t flags)
{
    struct cordon_model_config c = {.size = sizeof(c),
                                    .flags = flags,
                                    .ram_hpa = RAM_HPA,
                                    .ram_len = RAM_LEN,
                                    .capabilities = cap};

    b->ram = calloc(1, RAM_LEN);
    b->tail = 0;
    c.ram = b->ram;
    assert_int_equal(cordon_model_create(&c, &b->m), 0);
    wr8(b, 0x18, ppn(AT_CQ) << 10 | 3); /* 16 commands */
    wr8(b, 0x28, ppn(AT_FQ) << 10 | 2); /* 8 records */
    wr(b, 0x48, 1);
    wr(b, 0x4c, 1);
    /* DID through three levels of an extended directory: 0, 0x10203 >> 15 = 2, ... */
    *at(b, AT_DDT + 8 * (DID >> 15)) = ppn(AT_DDT + 0x1000) << 10 | 1;
    *at(b, AT_DDT + 0x1000 + 8 * (DID >> 6 & 0x1ff)) = ppn(AT_DDT + 0x2000) << 10 | 1;
    wr8(b, 0x10, ppn(AT_DDT) << 10 | 4);
}

static inline uint64_t *context(struct bench *b)
{
    return at(b, AT_DDT + 0x2000 + 64 * (DID & 0x3f));
}

/* Second stage of Sv39x4: GPA goes to AT_PAGE. */
static inline uint64_t *second_stage(struct bench *b)
{
    uint64_t *leaf = at(b, AT_G + 0x5000 + 8 * (GPA >> 12 & 0x1ff));

    *at(b, AT_G + 8 * (GPA >> 30)) = ppn(AT_G + 0x4000) << 10 | 1;
    *at(b, AT_G + 0x4000 + 8 * (GPA >> 21 & 0x1ff)) = ppn(AT_G + 0x5000) << 10 | 1;
    *leaf = ppn(AT_PAGE) << 10 | LEAF;
    context(b)[1] = 8ull << 60 | GSCID << 44 | ppn(AT_G);
    context(b)[0] = 1;
    return leaf;
}

static inline int go(struct bench *b, uint32_t did, uint64_t iova, uint32_t access, uint64_t *hpa)
{
    struct cordon_model_request r = {
        .size = sizeof(r), .device_id = did, .iova = iova, .access = access};
    struct cordon_model_target t;
    int cause = cordon_model_translate(b->m, &r, &t);

    if (cause == 0 && hpa != NULL) {
        *hpa = t.hpa;
    }
    return cause;
}

/* Where GPA goes for a read, or minus the cause. */
static inline int64_t goes(struct bench *b, uint64_t iova)
{
    uint64_t hpa = 0;
    int cause = go(b, DID, iova, IR, &hpa);

    return cause == 0 ? (int64_t)hpa : -cause;
}

static inline void command(struct bench *b, uint64_t d0, uint64_t d1)
{
    at(b, AT_CQ)[2 * b->tail] = d0;
    at(b, AT_CQ)[2 * b->tail + 1] = d1;
    b->tail = (b->tail + 1) % 16;
    wr(b, 0x24, b->tail);
}

static inline void bench_close(struct bench *b)
{
    cordon_model_destroy(b->m);
    free(b->ram);
}

#endif
