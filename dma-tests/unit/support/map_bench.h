/*
 * What the tests of iommu/map share: a context over RAM of the test's own, with the recording port
 * under it, and snapshots by which "nothing has changed" is shown.
 */
#ifndef MAP_BENCH_H
#define MAP_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/ctx.h"
#include "record.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PAGE UINT64_C(4096)
#define BLOCK (2 * MIB)
#define BENCH_RAM UINT64_C(0x80000000)
#define BENCH_MMIO UINT64_C(0x10000000) /* offered as a resource: BENCH_MMIO_LEN bytes */
#define BENCH_MMIO_LEN (64 * PAGE)
#define RWX CORDON_RWX
#define RW CORDON_RW

struct map_bench {
    void *block;  /* as allocated */
    uint8_t *ram; /* RAM from BASE on */
    uint64_t base, size;
    struct port_record record;
    uint64_t hart_fences;
    cordon_ctx *ctx;
};

/* A context over SIZE bytes at BENCH_RAM, with one MMIO resource; or just as CFG says (its
 * ram_offset and cookie are filled in; its banks lie in [base, base + size)). Fails the test
 * otherwise. */
void bench_open(struct map_bench *b, uint64_t size);
/* The same with CORDON_CTX_* FLAGS; with memory types, the record looks for flushes. */
void bench_open_flags(struct map_bench *b, uint64_t size, uint32_t flags);
void bench_open_as(struct map_bench *b, uint64_t base, uint64_t size, struct cordon_config *cfg);
/* RAM and record alone, for tests of cordon_ctx_create. */
void bench_memory(struct map_bench *b, uint64_t base, uint64_t size);
struct cordon_config bench_config(struct map_bench *b);
/* Everything that the test made is gone; the order was never broken. */
void bench_close(struct map_bench *b);
/* Free the memory whatever stands in it, and say nothing. */
void bench_drop(struct map_bench *b);

/* The audit finds nothing, the order is unbroken. */
void bench_sound(struct map_bench *b);
/* The audit finds a break of this invariant first. */
struct cordon_finding bench_breaks(struct map_bench *b, uint32_t invariant);

/* A number that depends on every count, every frame's owner, every region and every leaf. */
uint64_t bench_state(const struct map_bench *b);
struct cordon_memory_stats bench_stats(const struct map_bench *b);
uint32_t bench_frame(const struct map_bench *b, uint64_t hpa);

/* ---- what usually works, or fails the test ------------------------------------------------- */

/* A domain that hart 0 has run, and remembers. */
cordon_domain *bench_domain(struct map_bench *b);
/* HART runs D for a moment, and remembers it. */
void bench_ran(cordon_domain *d, uint32_t hart);
cordon_hpa bench_held(struct map_bench *b, uint64_t pages);
struct cordon_op op_grant(uint64_t gpa, const struct cordon_extent *e, uint64_t count,
                          uint32_t perms, uint32_t flags);
struct cordon_op op_revoke(uint64_t gpa, uint64_t pages);
struct cordon_op op_protect(uint64_t gpa, uint64_t pages, uint32_t perms);
struct cordon_op op_mark(uint64_t gpa, uint64_t pages, uint32_t flags);
/* Grant PAGES fresh contiguous pages. */
cordon_hpa bench_grant(struct map_bench *b, cordon_domain *d, uint64_t gpa, uint64_t pages,
                       uint32_t perms, uint32_t flags);
int bench_revoke(cordon_domain *d, uint64_t gpa, uint64_t pages);
/* Give back every frame that is HELD. */
void bench_free_held(struct map_bench *b);
/* Where GPA leads in a view; UINT64_MAX: nowhere. */
uint64_t bench_leads(const cordon_domain *d, uint32_t view, uint64_t gpa, uint32_t access);

/* The word at an HPA. */
uint64_t *bench_word(const struct map_bench *b, cordon_hpa hpa);
/* The word that holds the leaf for GPA in a view. */
uint64_t *bench_leaf(const struct map_bench *b, const cordon_domain *d, uint32_t view,
                     uint64_t gpa);

/* Runs FN(ARG) in a child; true if it died of an abort, as broken invariants do. */
bool bench_aborts(void (*fn)(void *arg), void *arg);

uint64_t bench_random(uint64_t *state);

#endif
