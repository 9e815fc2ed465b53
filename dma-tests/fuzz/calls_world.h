/* A machine for the target of public calls: RAM, the software IOMMU, and handles, good and bad. */
#ifndef DMA_TESTS_FUZZ_CALLS_WORLD_H
#define DMA_TESTS_FUZZ_CALLS_WORLD_H

#include <cordon/cordon.h>

#include "fuzz.h"
#include "model/cordon_model.h"

#define PAGE CORDON_PAGE_SIZE
#define BLOCK (UINT64_C(2) << 20)
#define RAM_HPA UINT64_C(0x40000000)
#define RAM_LEN (4 * BLOCK)
#define REGISTERS UINT64_C(0x10000000) /* resources may stand there */
#define GPA BLOCK                      /* most ranges begin near there */
#define GPA_LIMIT (UINT64_C(1) << 32)
#define DOMAINS 2u
#define DEVICES 3u
#define HELD 8u
#define PLACES 8u
#define OPS 3u        /* of one call */
#define MAP_WORDS 16u /* of a harvest: so many pages at most are asked for */

struct world {
    uint8_t *ram;
    cordon_model *model;
    struct cordon_port_ops port;
    uint64_t now_us;
    cordon_ctx *ctx;
    cordon_iommu *iommu;
    cordon_domain *domain[DOMAINS], *closed;
    cordon_space *space[DOMAINS]; /* null: there is none */
    cordon_device *device[DEVICES];
    bool attached[DEVICES];
    uint32_t listener[DOMAINS]; /* 0: there is none */
    bool refuses;               /* the listeners do */
    bool inside[DOMAINS];       /* hart N runs domain N */
    uint32_t holds[DOMAINS];
    struct cordon_extent held[HELD];
    uint32_t held_count;
    struct range {
        cordon_gpa gpa;
        uint64_t len;
    } place[PLACES]; /* where something was put */
    uint32_t places;
};

extern struct world w;

/* Everything is there, and nothing in a map. FLAGS: CORDON_CTX_*. */
void world_open(uint32_t flags);
/* All is taken back: nothing of any domain's is left, and the layer lets go of the machine. */
void world_close(void);
/* No invariant is broken. */
void world_check(void);

int world_domain(unsigned n);
int world_device(unsigned n);
/* Something was put there. */
void world_put(cordon_gpa gpa, uint64_t len);
/* A run that is HELD is offered to later calls, if there is room, or freed. */
void world_hold(struct cordon_extent e);
/* What is HELD no more is not offered any longer. */
void world_forget_given(void);
/* As a caller who did everything right. */
void world_end_domain(unsigned n);

/* What a caller may pass, mostly something that makes sense. */
uint64_t input_u64(struct input *in);
uint64_t input_len(struct input *in);
cordon_gpa input_gpa(struct input *in);
/* Mostly a place, or a part of one. */
struct range input_range(struct input *in);
uint32_t input_perms(struct input *in);
uint32_t input_flags(struct input *in);
uint32_t input_size(struct input *in, size_t right); /* of a structure */
cordon_hpa input_hpa(struct input *in);
cordon_domain *input_domain(struct input *in);
cordon_device *input_device(struct input *in, unsigned *n); /* N: which; DEVICES: none */
/* Extents in LIST, which has room for EXTENTS; their number. */
#define EXTENTS 3u
uint64_t input_extents(struct input *in, struct cordon_extent *list);
uint64_t extents_len(const struct cordon_extent *list, uint64_t count);

#endif
