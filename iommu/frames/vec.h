/* Lists that grow, in frames of the layer's own, which nobody can be granted. */
#ifndef CORDON_FRAMES_VEC_H
#define CORDON_FRAMES_VEC_H

#include <cordon/ctx.h>

struct vec {
    struct cordon_ctx *ctx;
    void *at; /* null: no room yet */
    uint64_t count, room;
    uint64_t each; /* bytes of one */
    cordon_hpa frames;
    unsigned order;
};

static inline struct vec vec_make(struct cordon_ctx *ctx, uint64_t each)
{
    return (struct vec){.ctx = ctx, .each = each};
}

/* Have room for COUNT in all. What is new reads as zero. ENOMEM: nothing changed. */
CORDON_MUST_CHECK int vec_reserve(struct vec *v, uint64_t count);
/* One more, zeroed or as it was left by one that was dropped; null: ENOMEM. */
void *vec_push(struct vec *v);
/* Give the frames back; V is empty and can be used again. */
void vec_free(struct vec *v);

#endif
