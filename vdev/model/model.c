/* The calls of the model: each checks its arguments, takes the lock and does one thing. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static bool config_is_sound(const struct cordon_model_config *c)
{
    uint32_t n = c->cache_entries;

    return c->size == sizeof(*c) && c->reserved == 0 && c->flags <= 7 && c->ram != NULL &&
           (uintptr_t)c->ram % 8 == 0 && c->ram_len != 0 &&
           ((c->ram_len | c->ram_hpa) & 4095) == 0 && c->ram_hpa + c->ram_len > c->ram_hpa &&
           (n == 0 || (n >= 64 && n <= 65536 && (n & (n - 1)) == 0));
}

static void model_reset(struct cordon_model *m)
{
    dma_drop(m, NULL);
    cache_flush(&m->stage1);
    cache_flush(&m->stage2);
    cache_flush(&m->tables2);
    cache_flush(&m->msi_cache);
    ddt_forget_all(m);
    m->hold = m->late = m->late_left = m->fail_fences = m->fail_fetches = 0;
    m->ipsr = 0;
    m->ddtp = m->ddtp_next = m->ddtp_high = m->icvec = 0;
    m->tr_iova = m->tr_ctl = m->tr_response = 0;
    m->cq = m->fq = (struct queue){0};
    memset(m->msi, 0, sizeof(m->msi));
    m->hpm = (struct hpm){0};
    m->fctl = CAP_IGS(m->cap) == 1 ? FCTL_WSI : 0;
    memset(&m->stats, 0, sizeof(m->stats));
    irq_update(m, 0);
}

int cordon_model_create(const struct cordon_model_config *config, cordon_model **out)
{
    struct cordon_model *m;
    uint64_t cap;
    uint32_t entries;

    if (config == NULL || out == NULL || !config_is_sound(config)) {
        return CORDON_MODEL_EINVAL;
    }
    cap = config->capabilities != 0 ? config->capabilities : CORDON_MODEL_CAPABILITIES;
    entries = config->cache_entries != 0 ? config->cache_entries : 4096;
    if ((cap & ~CAP_KNOWN) != 0 || FIELD(cap, 7, 0) != 0x10 || CAP_IGS(cap) == 3 ||
        CAP_PAS(cap) < 32 || CAP_PAS(cap) > 56) {
        return CORDON_MODEL_ENOTSUP;
    }
    m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return CORDON_MODEL_ENOMEM;
    }
    m->contexts = calloc(DC_SLOTS, sizeof(*m->contexts));
    m->config = *config;
    m->cap = cap;
    m->ram = config->ram;
    m->ram_hpa = config->ram_hpa;
    m->ram_len = config->ram_len;
    if (m->contexts == NULL || cache_create(&m->stage1, entries) != 0 ||
        cache_create(&m->stage2, entries) != 0 || cache_create(&m->tables2, 256) != 0 ||
        cache_create(&m->msi_cache, 64) != 0 || pthread_mutex_init(&m->lock, NULL) != 0) {
        cache_destroy(&m->stage1);
        cache_destroy(&m->stage2);
        cache_destroy(&m->tables2);
        cache_destroy(&m->msi_cache);
        free(m->contexts);
        free(m);
        return CORDON_MODEL_ENOMEM;
    }
    model_reset(m);
    *out = m;
    return 0;
}

void cordon_model_destroy(cordon_model *m)
{
    if (m == NULL) {
        return;
    }
    dma_drop(m, NULL);
    (void)pthread_mutex_destroy(&m->lock);
    cache_destroy(&m->stage1);
    cache_destroy(&m->stage2);
    cache_destroy(&m->tables2);
    cache_destroy(&m->msi_cache);
    free(m->contexts);
    free(m);
}

static void lock(cordon_model *m)
{
    (void)pthread_mutex_lock(&m->lock);
}

static void unlock(cordon_model *m)
{
    (void)pthread_mutex_unlock(&m->lock);
}

void cordon_model_reset(cordon_model *m)
{
    lock(m);
    model_reset(m);
    unlock(m);
}

uint64_t cordon_model_read(cordon_model *m, uint32_t offset, uint32_t width)
{
    uint64_t value;

    lock(m);
    value = regs_read(m, offset, width);
    unlock(m);
    return value;
}

void cordon_model_write(cordon_model *m, uint32_t offset, uint32_t width, uint64_t value)
{
    lock(m);
    regs_write(m, offset, width, value);
    unlock(m);
}

static bool request_is_sound(const struct cordon_model_request *r)
{
    return r != NULL && r->size == sizeof(*r) && r->reserved == 0 && r->device_id >> 24 == 0 &&
           r->process_id >> 20 == 0 && r->access != 0 && r->access <= CORDON_MODEL_EXEC;
}

int cordon_model_translate(cordon_model *m, const struct cordon_model_request *r,
                           struct cordon_model_target *out)
{
    struct cordon_model_target t;
    uint32_t cause;

    if (m == NULL || out == NULL || !request_is_sound(r)) {
        return CORDON_MODEL_EINVAL;
    }
    lock(m);
    cause = translate(m, r, false, &t);
    unlock(m);
    if (cause == 0) {
        *out = t;
    }
    return (int)cause;
}

int cordon_model_dma(cordon_model *m, const struct cordon_model_request *r, void *data, size_t len,
                     size_t *done)
{
    size_t moved = 0;
    uint32_t cause;

    if (m == NULL || data == NULL || !request_is_sound(r) ||
        r->access == (CORDON_MODEL_READ | CORDON_MODEL_WRITE)) {
        return CORDON_MODEL_EINVAL;
    }
    lock(m);
    cause = dma_move(m, r, data, len, &moved);
    unlock(m);
    if (done != NULL) {
        *done = moved;
    }
    return (int)cause;
}

void cordon_model_hold(cordon_model *m, uint32_t mask)
{
    lock(m);
    m->hold = mask & 7;
    m->late_left = 0;
    regs_complete(m);
    unlock(m);
}

uint32_t cordon_model_step(cordon_model *m, uint32_t count)
{
    uint32_t done;

    lock(m);
    done = cq_run(m, count);
    unlock(m);
    return done;
}

void cordon_model_late(cordon_model *m, uint32_t reads)
{
    lock(m);
    m->late = reads;
    m->hold = reads != 0 ? 7 : 0;
    m->late_left = 0;
    regs_complete(m);
    unlock(m);
}

void cordon_model_fail_fences(cordon_model *m, uint32_t count)
{
    lock(m);
    m->fail_fences = count;
    unlock(m);
}

void cordon_model_fail_fetches(cordon_model *m, uint32_t count)
{
    lock(m);
    m->fail_fetches = count;
    unlock(m);
}

int cordon_model_stats_get(cordon_model *m, struct cordon_model_stats *stats)
{
    if (m == NULL || stats == NULL || stats->size != sizeof(*stats)) {
        return CORDON_MODEL_EINVAL;
    }
    lock(m);
    *stats = m->stats;
    unlock(m);
    stats->size = sizeof(*stats);
    return 0;
}
