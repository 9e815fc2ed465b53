/* The recording port: words, fences and notes. */
#include "record.h"

#include <stdatomic.h>
#include <string.h>

static struct port_record *record_of(void *cookie)
{
    const struct cordon_port_ops *ops = cookie;

    return ops != NULL && ops->size == sizeof(struct port_record) ? cookie : NULL;
}

void record_init(struct port_record *r, const struct cordon_port_ops *ops)
{
    memset(r, 0, sizeof(*r));
    if (ops != NULL) {
        r->ops = *ops;
    }
    r->ops.size = sizeof(*r);
}

void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value)
{
    (void)cookie;
    (void)hpa;
    *(volatile uint64_t *)word = value;
}

void port_fence(void *cookie)
{
    (void)cookie;
    atomic_thread_fence(memory_order_seq_cst);
}

void port_note(void *cookie, enum port_note note, uint64_t a, uint64_t b)
{
    (void)cookie;
    (void)note;
    (void)a;
    (void)b;
}

bool port_may_alloc(void *cookie)
{
    struct port_record *r = record_of(cookie);

    return r == NULL || ++r->allocations != r->fail_at;
}
