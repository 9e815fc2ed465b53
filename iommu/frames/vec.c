/* Lists in frames: see vec.h. */
#include "frames/vec.h"
#include "core/ctx.h"

#include <string.h>

int vec_reserve(struct vec *v, uint64_t count)
{
    cordon_hpa frames;
    unsigned order = 0;

    if (count <= v->room) {
        return 0;
    }
    while (order < MAX_ORDER && (CORDON_PAGE_SIZE << order) / v->each < count) {
        order++;
    }
    if ((CORDON_PAGE_SIZE << order) / v->each < count ||
        frames_alloc_table(v->ctx, order, &frames) != 0) {
        return -CORDON_ENOMEM;
    }
    void *at = frames_ptr(v->ctx, frames);
    uint64_t used = v->count;

    if (v->at != NULL) {
        memcpy(at, v->at, used * v->each);
        vec_free(v);
    }
    v->at = at;
    v->count = used;
    v->room = (CORDON_PAGE_SIZE << order) / v->each;
    v->frames = frames;
    v->order = order;
    return 0;
}

void *vec_push(struct vec *v)
{
    if (v->count == v->room && vec_reserve(v, v->count + 1) != 0) {
        return NULL;
    }
    return (uint8_t *)v->at + v->count++ * v->each;
}

void vec_free(struct vec *v)
{
    if (v->at != NULL) {
        frames_free(v->ctx, v->frames, v->order);
    }
    v->at = NULL;
    v->count = 0;
    v->room = 0;
}
