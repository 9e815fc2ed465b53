/* The recording port: words, fences and notes. */
#include "order_parts.h"

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
    r->order = order_new();
}

void record_end(struct port_record *r)
{
    order_free(r->order);
    r->order = NULL;
}

static void log_event(struct port_record *r, enum record_kind kind, uint64_t a, uint64_t b,
                      uint64_t c)
{
    r->sequence++;
    r->event[r->sequence % RECORD_EVENTS] =
        (struct record_event){.sequence = r->sequence, .kind = kind, .a = a, .b = b, .c = c};
}

/* After a step: remember when the first break was. */
static void look(struct port_record *r)
{
    if (r->broken_at == 0 && order_broken(r->order) != NULL) {
        r->broken_at = r->sequence;
    }
}

const char *record_broken(const struct port_record *r)
{
    if (order_broken(r->order) == NULL && order_owed(r->order)) {
        return ORDER_TABLE_LED_TO;
    }
    return order_broken(r->order);
}

uint64_t record_broken_at(const struct port_record *r)
{
    return r->broken_at;
}

void record_expect_views(struct port_record *r, uint32_t domain, uint32_t views)
{
    order_expect(r->order, domain, views);
}

void record_expect_flushes(struct port_record *r)
{
    order_expect_flushes(r->order);
}

void record_levels(struct port_record *r, unsigned levels)
{
    order_levels(r->order, levels);
}

const struct record_event *record_at(const struct port_record *r, uint64_t sequence)
{
    const struct record_event *e = &r->event[sequence % RECORD_EVENTS];

    return sequence != 0 && e->sequence == sequence ? e : NULL;
}

const struct record_event *record_find(const struct port_record *r, uint64_t after,
                                       enum record_kind kind, uint64_t a)
{
    uint64_t first = r->sequence > RECORD_EVENTS ? r->sequence - RECORD_EVENTS + 1 : 1;

    for (uint64_t s = after + 1 > first ? after + 1 : first; s <= r->sequence; s++) {
        const struct record_event *e = record_at(r, s);

        if (e->kind == kind && (a == UINT64_MAX || e->a == a)) {
            return e;
        }
    }
    return NULL;
}

/* ---- the port ----------------------------------------------------------------------------- */

void port_store64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t value)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_STORE, hpa.v, value, *word);
        order_store(r->order, word, hpa.v, value);
        look(r);
    }
    *(volatile uint64_t *)word = value;
}

/* An atomic step has been: BEFORE became VALUE. */
static void swapped(void *cookie, const uint64_t *word, cordon_hpa hpa, uint64_t before,
                    uint64_t value)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_STORE, hpa.v, value, before);
        order_swap(r->order, word, hpa.v, before, value);
        look(r);
    }
}

uint64_t port_clear64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits)
{
    uint64_t before = __atomic_fetch_and(word, ~bits, __ATOMIC_ACQ_REL);

    swapped(cookie, word, hpa, before, before & ~bits);
    return before;
}

uint64_t port_set64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t bits)
{
    uint64_t before = __atomic_fetch_or(word, bits, __ATOMIC_ACQ_REL);

    swapped(cookie, word, hpa, before, before | bits);
    return before;
}

bool port_swap64(void *cookie, uint64_t *word, cordon_hpa hpa, uint64_t old, uint64_t value)
{
    uint64_t before = old;
    bool done = __atomic_compare_exchange_n(word, &before, value, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_RELAXED);

    if (done) {
        swapped(cookie, word, hpa, old, value);
    }
    return done;
}

uint64_t port_load_foreign(void *cookie, const uint64_t *word)
{
    struct port_record *r = record_of(cookie);
    uint64_t value = __atomic_load_n(word, __ATOMIC_RELAXED);

    if (r != NULL && r->on_load != NULL) {
        r->on_load(r->on_load_arg, (uint64_t *)(uintptr_t)word);
    }
    return value;
}

void port_fence(void *cookie)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_FENCE, 0, 0, 0);
        order_fence(r->order);
        look(r);
    }
    atomic_thread_fence(memory_order_seq_cst);
}

void port_note(void *cookie, enum port_note note, uint64_t a, uint64_t b)
{
    static const enum record_kind kinds[] = {
        [PORT_NOTE_CLAIM] = RECORD_CLAIM,   [PORT_NOTE_FREE] = RECORD_FREE,
        [PORT_NOTE_DRAIN] = RECORD_DRAIN,   [PORT_NOTE_COMMAND] = RECORD_COMMAND,
        [PORT_NOTE_LEND] = RECORD_LEND,     [PORT_NOTE_RECALL] = RECORD_RECALL,
        [PORT_NOTE_RETURN] = RECORD_RETURN, [PORT_NOTE_COPY] = RECORD_COPY,
        [PORT_NOTE_SCRUB] = RECORD_SCRUB,   [PORT_NOTE_ENTER] = RECORD_ENTER,
        [PORT_NOTE_LEAVE] = RECORD_LEAVE,
    };
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, kinds[note], a, b, 0);
        order_note(r->order, note, a, b);
        look(r);
    }
}

bool port_may_alloc(void *cookie)
{
    struct port_record *r = record_of(cookie);

    return r == NULL || ++r->allocations != r->fail_at;
}

void record_hart_fence(void *cookie, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_HART_FENCE, vmid, gpa, len);
        order_hart_fence(r->order, harts, vmid, gpa, len);
        look(r);
    }
}

void record_hart_fence_all(void *cookie, uint64_t harts)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_HART_FENCE_ALL, harts, 0, 0);
        order_hart_fence_all(r->order, harts);
        look(r);
    }
}

void record_code_fence(void *cookie, uint64_t harts)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_CODE_FENCE, harts, 0, 0);
        order_code_fence(r->order, harts);
        look(r);
    }
}

void record_flush(void *cookie, uint64_t hpa, uint64_t len)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_FLUSH, hpa, len, 0);
        order_flush(r->order, hpa, len);
        look(r);
    }
}

void record_mmio_write(void *cookie, uint64_t hpa, uint64_t value)
{
    struct port_record *r = record_of(cookie);

    if (r != NULL) {
        log_event(r, RECORD_MMIO_WRITE, hpa, value, 0);
    }
}
