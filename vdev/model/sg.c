/* The scatter-gather engine: descriptors, requests, and the ways in which it misbehaves. */
#include "cordon_sg.h"
#include "internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 65536u
#define BUFFER_MAX (16u << 20)

/* A request that was made and is not yet on the bus. */
struct late {
    struct late *next;
    struct cordon_sg_descriptor d;
};

struct cordon_sg {
    cordon_model *model;
    struct cordon_sg_config config;
    uint32_t device_id, mode;
    struct late *first, **last;
    uint8_t buffer[];
};

static_assert(sizeof(struct cordon_sg_descriptor) == 32, "as in guest memory");

int cordon_sg_create(cordon_model *model, const struct cordon_sg_config *config, cordon_sg **out)
{
    struct cordon_sg *sg;

    if (model == NULL || config == NULL || out == NULL || config->size != sizeof(*config) ||
        config->device_id >> 24 != 0 || config->buffer_len == 0 ||
        config->buffer_len > BUFFER_MAX || (config->msi_iova & 3) != 0) {
        return CORDON_MODEL_EINVAL;
    }
    sg = calloc(1, sizeof(*sg) + config->buffer_len);
    if (sg == NULL) {
        return CORDON_MODEL_ENOMEM;
    }
    sg->model = model;
    sg->config = *config;
    sg->device_id = config->device_id;
    sg->last = &sg->first;
    *out = sg;
    return 0;
}

static void forget_late(struct cordon_sg *sg)
{
    while (sg->first != NULL) {
        struct late *gone = sg->first;

        sg->first = gone->next;
        free(gone);
    }
    sg->last = &sg->first;
}

void cordon_sg_reset(cordon_sg *sg, bool survive)
{
    sg->mode = CORDON_SG_AT_ONCE;
    sg->device_id = sg->config.device_id;
    if (survive) {
        return;
    }
    forget_late(sg);
    (void)pthread_mutex_lock(&sg->model->lock);
    dma_drop(sg->model, sg);
    (void)pthread_mutex_unlock(&sg->model->lock);
}

void cordon_sg_destroy(cordon_sg *sg)
{
    if (sg != NULL) {
        cordon_sg_reset(sg, false);
        free(sg);
    }
}

void *cordon_sg_buffer(cordon_sg *sg)
{
    return sg->buffer;
}

int cordon_sg_mode_set(cordon_sg *sg, uint32_t mode)
{
    if (sg == NULL || mode > CORDON_SG_LATE) {
        return CORDON_MODEL_EINVAL;
    }
    sg->mode = mode;
    return 0;
}

int cordon_sg_forge(cordon_sg *sg, uint32_t device_id)
{
    if (sg == NULL || device_id >> 24 != 0) {
        return CORDON_MODEL_EINVAL;
    }
    sg->device_id = device_id;
    return 0;
}

static bool is_sound(const struct cordon_sg *sg, const struct cordon_sg_descriptor *d)
{
    return d->len != 0 && d->len <= 4096 - (d->iova & 4095) && d->write <= 1 && d->reserved == 0 &&
           d->offset < sg->config.buffer_len && d->len <= sg->config.buffer_len - d->offset;
}

static struct cordon_model_request request_of(const struct cordon_sg *sg, uint64_t iova, bool write)
{
    return (struct cordon_model_request){
        .size = sizeof(struct cordon_model_request),
        .device_id = sg->device_id,
        .iova = iova,
        .access = write ? CORDON_MODEL_WRITE : CORDON_MODEL_READ,
    };
}

static int do_now(struct cordon_sg *sg, const struct cordon_sg_descriptor *d)
{
    struct cordon_model_request r = request_of(sg, d->iova, d->write != 0);

    return cordon_model_dma(sg->model, &r, sg->buffer + d->offset, d->len, NULL);
}

static int do_later(struct cordon_sg *sg, const struct cordon_sg_descriptor *d)
{
    struct late *late = calloc(1, sizeof(*late));

    if (late == NULL) {
        return CORDON_MODEL_ENOMEM;
    }
    late->d = *d;
    *sg->last = late;
    sg->last = &late->next;
    return 0;
}

static int do_held(struct cordon_sg *sg, const struct cordon_sg_descriptor *d)
{
    struct cordon_model_request r = request_of(sg, d->iova, d->write != 0);
    int result;

    (void)pthread_mutex_lock(&sg->model->lock);
    result =
        dma_hold(sg->model, &r, sg, sg->mode == CORDON_SG_HELD, sg->buffer + d->offset, d->len);
    (void)pthread_mutex_unlock(&sg->model->lock);
    return result;
}

int cordon_sg_spurious(cordon_sg *sg, const struct cordon_sg_descriptor *d)
{
    if (sg == NULL || d == NULL || !is_sound(sg, d)) {
        return CORDON_MODEL_EINVAL;
    }
    if (sg->mode == CORDON_SG_AT_ONCE) {
        return do_now(sg, d);
    }
    return sg->mode == CORDON_SG_LATE ? do_later(sg, d) : do_held(sg, d);
}

static int message_send(struct cordon_sg *sg)
{
    struct cordon_model_request r = request_of(sg, sg->config.msi_iova, true);
    uint32_t data = sg->config.msi_data;

    if (sg->config.msi_iova == 0 || sg->mode != CORDON_SG_AT_ONCE) {
        return 0;
    }
    return cordon_model_dma(sg->model, &r, &data, 4, NULL);
}

int cordon_sg_run(cordon_sg *sg, uint64_t list, uint32_t count, uint32_t *done)
{
    uint32_t n = 0;
    int result = 0;

    if (sg == NULL || count == 0 || count > LIST_MAX || list % 32 != 0) {
        return CORDON_MODEL_EINVAL;
    }
    for (; n < count; n++) {
        struct cordon_sg_descriptor d;
        struct cordon_model_request r = request_of(sg, list + 32ull * n, false);

        result = cordon_model_dma(sg->model, &r, &d, sizeof(d), NULL);
        if (result == 0) {
            result = cordon_sg_spurious(sg, &d);
        }
        if (result != 0) {
            break;
        }
    }
    if (done != NULL) {
        *done = n;
    }
    return result != 0 ? result : message_send(sg);
}

uint32_t cordon_sg_step(cordon_sg *sg, uint32_t count, uint32_t *failed)
{
    uint32_t done, refused = 0;

    (void)pthread_mutex_lock(&sg->model->lock);
    done = dma_commit(sg->model, sg, count);
    (void)pthread_mutex_unlock(&sg->model->lock);
    for (; done < count && sg->first != NULL; done++) {
        struct late *late = sg->first;

        refused += do_now(sg, &late->d) != 0;
        sg->first = late->next;
        if (sg->first == NULL) {
            sg->last = &sg->first;
        }
        free(late);
    }
    if (failed != NULL) {
        *failed = refused;
    }
    return done;
}
