/*
 * What the software IOMMU does in a second on one core.
 *
 * usage: bench_model [--count N] [--json]
 *
 *   walk-g, walk-nested      full walks of 4 KiB pages, contexts cached and stages not: Sv39x4
 * alone; Sv39 in the guest's memory, on Sv39x4 cached-g, cached-nested  the same requests with
 * every cache warm case-g, case-nested      a leaf changed, IOTINVAL for it through the command
 * queue, one request
 *
 * Each request goes to another of 1024 pages, in an order that strides over the tables; where it
 * should lead is checked each time.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, aligned_alloc */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/cordon_model.h"

#define RAM_HPA UINT64_C(0x80000000)
#define RAM_LEN UINT64_C(0x4000000)
#define PAGE UINT64_C(4096)
#define PAGES UINT64_C(1024)
#define STRIDE 389u /* has no factor in common with PAGES */
#define GPA UINT64_C(0x40000000)
#define IOVA UINT64_C(0x1234567000)
#define DEVICE 5u
#define GSCID UINT64_C(7)
#define CQ_LOG2 8u
#define LEAF UINT64_C(0xdf) /* D A U X W R V */
#define TOLD_HPA (RAM_HPA + 0x2000000)

/* Registers [IOMMU 5]. */
enum { R_DDTP = 0x10, R_CQB = 0x18, R_CQT = 0x24, R_FQB = 0x28, R_CQCSR = 0x48, R_FQCSR = 0x4c };

struct bench {
    uint64_t *ram, *cq;
    uint64_t used; /* bytes of RAM that tables and queues took */
    uint64_t groot, sroot, guest_used;
    uint64_t *gleaf[PAGES];
    uint32_t tail;
    cordon_model *m;
};

static void must(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "bench_model: %s\n", what);
        exit(2);
    }
}

static uint64_t *word_at(struct bench *b, uint64_t hpa)
{
    return b->ram + (hpa - RAM_HPA) / 8;
}

static uint64_t take(struct bench *b, uint64_t len)
{
    uint64_t hpa = RAM_HPA + ((b->used + len - 1) & ~(len - 1));

    b->used = hpa - RAM_HPA + len;
    must(hpa + len <= TOLD_HPA, "no room for tables");
    return hpa;
}

/* The word for ADDRESS at LEVEL of a table that is entered at ROOT; tables on the way are made by
 * NEXT, which answers with the address that the words hold. HPA tells where such a table stands. */
static uint64_t *descend(struct bench *b, uint64_t root, uint64_t address, unsigned root_bits,
                         uint64_t (*next)(struct bench *b), uint64_t (*hpa)(uint64_t table))
{
    uint64_t *word = word_at(b, root) + (address >> 30 & ((1u << root_bits) - 1));

    for (unsigned shift = 21; shift >= 12; shift -= 9) {
        if (*word == 0) {
            *word = next(b) >> 2 | 1;
        }
        word = word_at(b, hpa(*word >> 10 << 12)) + (address >> shift & 0x1ff);
    }
    return word;
}

static uint64_t next_g(struct bench *b)
{
    return take(b, PAGE);
}

static uint64_t hpa_g(uint64_t table)
{
    return table;
}

static uint64_t *map_g(struct bench *b, uint64_t gpa, uint64_t hpa)
{
    uint64_t *leaf = descend(b, b->groot, gpa, 11, next_g, hpa_g);

    *leaf = hpa >> 2 | LEAF;
    return leaf;
}

/* The guest's own tables stand GUEST_SHIFT below where it believes. */
#define GUEST_SHIFT UINT64_C(0x1000000000)

static uint64_t next_s(struct bench *b)
{
    uint64_t hpa = take(b, PAGE);

    map_g(b, hpa + GUEST_SHIFT, hpa);
    return hpa + GUEST_SHIFT;
}

static uint64_t hpa_s(uint64_t table)
{
    return table - GUEST_SHIFT;
}

static void build(struct bench *b)
{
    b->groot = take(b, 4 * PAGE);
    b->sroot = hpa_s(next_s(b));
    for (uint64_t i = 0; i < PAGES; i++) {
        b->gleaf[i] = map_g(b, GPA + i * PAGE, TOLD_HPA + (PAGES - i) * PAGE);
        *descend(b, b->sroot, IOVA + i * PAGE, 9, next_s, hpa_s) = (GPA + i * PAGE) >> 2 | LEAF;
    }
}

static void open_bench(struct bench *b, uint32_t flags, bool nested)
{
    struct cordon_model_config c = {
        .size = sizeof(c), .flags = flags, .ram_hpa = RAM_HPA, .ram_len = RAM_LEN};
    uint64_t ddt, cq;

    *b = (struct bench){.ram = aligned_alloc(PAGE, RAM_LEN)};
    must(b->ram != NULL, "no memory");
    memset(b->ram, 0, RAM_LEN);
    c.ram = b->ram;
    must(cordon_model_create(&c, &b->m) == 0, "no model");
    build(b);
    ddt = take(b, PAGE);
    cq = take(b, PAGE);
    b->cq = word_at(b, cq);
    word_at(b, ddt)[DEVICE * 8] = 1;
    word_at(b, ddt)[DEVICE * 8 + 1] = UINT64_C(8) << 60 | GSCID << 44 | b->groot >> 12;
    word_at(b, ddt)[DEVICE * 8 + 3] =
        nested ? UINT64_C(8) << 60 | (b->sroot + GUEST_SHIFT) >> 12 : 0;
    cordon_model_write(b->m, R_CQB, 8, cq >> 2 | (CQ_LOG2 - 1));
    cordon_model_write(b->m, R_FQB, 8, take(b, PAGE) >> 2 | 6);
    cordon_model_write(b->m, R_CQCSR, 4, 1);
    cordon_model_write(b->m, R_FQCSR, 4, 1);
    cordon_model_write(b->m, R_DDTP, 8, ddt >> 2 | 2);
}

static void close_bench(struct bench *b)
{
    cordon_model_destroy(b->m);
    free(b->ram);
}

/* Page PAGE_NUMBER is read, and must lead to HPA. */
static void ask(struct bench *b, bool nested, uint64_t page, uint64_t hpa)
{
    struct cordon_model_request r = {.size = sizeof(r),
                                     .device_id = DEVICE,
                                     .iova = (nested ? IOVA : GPA) + page * PAGE,
                                     .access = CORDON_MODEL_READ};
    struct cordon_model_target t;

    must(cordon_model_translate(b->m, &r, &t) == 0 && t.hpa == hpa, "a request went astray");
}

static void requests(struct bench *b, bool nested, uint64_t count)
{
    for (uint64_t i = 0, page = 0; i < count; i++, page = (page + STRIDE) % PAGES) {
        ask(b, nested, page, TOLD_HPA + (PAGES - page) * PAGE);
    }
}

/* IOTINVAL.GVMA with AV and GV for GPA; and with a first stage IOTINVAL.VMA of the guest [IOMMU
 * 4.1.1]. */
static void invalidate(struct bench *b, uint64_t gpa, bool nested)
{
    for (unsigned i = 0; i <= nested; i++) {
        uint64_t *command = b->cq + 2 * b->tail;

        command[0] = i == 0 ? 1 | 1u << 7 | 1u << 10 | UINT64_C(1) << 33 | GSCID << 44
                            : 1 | UINT64_C(1) << 33 | GSCID << 44;
        command[1] = i == 0 ? gpa >> 2 : 0;
        b->tail = (b->tail + 1) & ((1u << CQ_LOG2) - 1);
    }
    cordon_model_write(b->m, R_CQT, 4, b->tail);
}

static void cases(struct bench *b, bool nested, uint64_t count)
{
    for (uint64_t i = 0, page = 0; i < count; i++, page = (page + STRIDE) % PAGES) {
        uint64_t hpa = TOLD_HPA + (i * 7 % PAGES) * PAGE;

        *(volatile uint64_t *)b->gleaf[page] = hpa >> 2 | LEAF;
        invalidate(b, GPA + page * PAGE, nested);
        ask(b, nested, page, hpa);
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const struct row {
    const char *name;
    uint32_t flags;
    bool nested;
    void (*run)(struct bench *b, bool nested, uint64_t count);
} rows[] = {
    {"walk-g", CORDON_MODEL_NO_STAGE_CACHE, false, requests},
    {"walk-nested", CORDON_MODEL_NO_STAGE_CACHE, true, requests},
    {"cached-g", 0, false, requests},
    {"cached-nested", 0, true, requests},
    {"case-g", 0, false, cases},
    {"case-nested", 0, true, cases},
};

static void measure(const struct row *row, uint64_t count, bool json)
{
    static struct bench b;
    double best = 0;

    for (unsigned turn = 0; turn < 3; turn++) {
        open_bench(&b, row->flags, row->nested);
        row->run(&b, row->nested, PAGES);
        double start = now();

        row->run(&b, row->nested, count);
        double rate = (double)count / (now() - start);

        best = rate > best ? rate : best;
        close_bench(&b);
    }
    printf(json ? "{\"bench\": \"model\", \"op\": \"%s\", \"per_second\": %.0f}\n"
                : "%-14s %12.0f a second\n",
           row->name, best);
}

int main(int argc, char **argv)
{
    uint64_t count = 4000000;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--count") == 0 && i + 1 < argc) {
            count = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_model [--count N] [--json]\n");
            return 2;
        }
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        measure(&rows[i], count, json);
    }
    return 0;
}
