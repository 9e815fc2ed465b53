/* Data on its way: page by page through the translation, at once or held in flight. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

uint32_t dma_move(struct cordon_model *m, const struct cordon_model_request *r, void *data,
                  size_t len, size_t *done)
{
    struct cordon_model_request part = *r;
    bool write = (r->access & CORDON_MODEL_WRITE) != 0;

    *done = 0;
    while (*done < len) {
        struct cordon_model_target t;
        size_t room = 4096 - (part.iova & 4095);
        uint32_t count = (uint32_t)(len - *done < room ? len - *done : room);
        uint32_t cause = translate(m, &part, false, &t);

        if (cause == 0 && !mem_move(m, t.hpa, (uint8_t *)data + *done, count, write)) {
            cause = access_refused(m, &part);
        }
        if (cause != 0) {
            return cause;
        }
        *done += count;
        part.iova += count;
    }
    return 0;
}

/* Put FLIGHT at the end of the line. */
static void line_up(struct cordon_model *m, struct flight *flight)
{
    struct flight **at = &m->flights;

    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = flight;
}

int dma_hold(struct cordon_model *m, const struct cordon_model_request *r, const void *owner,
             bool fenced, void *data, uint32_t len)
{
    bool write = (r->access & CORDON_MODEL_WRITE) != 0;
    struct cordon_model_target t;
    struct flight *flight;
    uint32_t cause;

    if (len == 0 || len > 4096 - (r->iova & 4095)) {
        return CORDON_MODEL_EINVAL;
    }
    cause = translate(m, r, false, &t);
    if (cause != 0) {
        return (int)cause;
    }
    flight = calloc(1, sizeof(*flight) + (write ? len : 0));
    if (flight == NULL) {
        return CORDON_MODEL_ENOMEM;
    }
    *flight = (struct flight){.owner = owner, .hpa = t.hpa, .len = len, .write = write};
    flight->fenced = fenced;
    flight->data = write ? (uint8_t *)(flight + 1) : data;
    if (write) {
        memcpy(flight->data, data, len);
    }
    line_up(m, flight);
    return 0;
}

/* End flights of OWNER (NULL: anybody's), or those an IOFENCE waits for; COMMIT moves the data. */
static uint32_t end_flights(struct cordon_model *m, const void *owner, uint32_t count, bool commit,
                            bool fence, bool reads, bool writes)
{
    struct flight **at = &m->flights;
    uint32_t ended = 0;

    while (*at != NULL && ended < count) {
        struct flight *f = *at;

        if ((owner != NULL && f->owner != owner) || (fence && !f->fenced) ||
            !(f->write ? writes : reads)) {
            at = &f->next;
            continue;
        }
        if (commit) {
            (void)mem_move(m, f->hpa, f->data, f->len, f->write);
        }
        *at = f->next;
        free(f);
        ended++;
    }
    return ended;
}

uint32_t dma_commit(struct cordon_model *m, const void *owner, uint32_t count)
{
    return end_flights(m, owner, count, true, false, true, true);
}

void dma_drop(struct cordon_model *m, const void *owner)
{
    (void)end_flights(m, owner, UINT32_MAX, false, false, true, true);
}

void dma_fence(struct cordon_model *m, bool reads, bool writes)
{
    (void)end_flights(m, NULL, UINT32_MAX, true, true, reads, writes);
}
