/* The order checker, told of each step by the recording port. */
#ifndef CORDON_PORT_RECORD_ORDER_H
#define CORDON_PORT_RECORD_ORDER_H

#include "record.h"

struct record_order *order_new(void);
void order_free(struct record_order *o);

/* Before the store is done: WORD still reads the old value. */
void order_store(struct record_order *o, const uint64_t *word, uint64_t hpa, uint64_t value);
/* After an atomic step has been: BEFORE became VALUE. */
void order_swap(struct record_order *o, const uint64_t *word, uint64_t hpa, uint64_t before,
                uint64_t value);
void order_fence(struct record_order *o);
void order_hart_fence(struct record_order *o, uint64_t harts, uint16_t vmid, uint64_t gpa,
                      uint64_t len);
void order_hart_fence_all(struct record_order *o, uint64_t harts);
void order_code_fence(struct record_order *o, uint64_t harts);
void order_flush(struct record_order *o, uint64_t hpa, uint64_t len);
void order_note(struct record_order *o, enum port_note note, uint64_t a, uint64_t b);
void order_expect(struct record_order *o, uint32_t domain, uint32_t views);
void order_expect_flushes(struct record_order *o);
void order_levels(struct record_order *o, unsigned levels);

/* What was found first, or null. */
const char *order_broken(const struct record_order *o);
/* A table was freed, and a root that leads to it was not yet: broken unless that comes next. */
bool order_owed(const struct record_order *o);

/* The port's other steps, for the log. */
void record_hart_fence(void *cookie, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len);
void record_hart_fence_all(void *cookie, uint64_t harts);
void record_code_fence(void *cookie, uint64_t harts);
void record_flush(void *cookie, uint64_t hpa, uint64_t len);
void record_mmio_write(void *cookie, uint64_t hpa, uint64_t value);

#endif
