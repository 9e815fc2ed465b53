/* What the order checker's two files share. */
#ifndef CORDON_PORT_RECORD_ORDER_PARTS_H
#define CORDON_PORT_RECORD_ORDER_PARTS_H

#include "frame.h"
#include "order.h"

#include <cordon/ctx.h>

/* Fields of an ownership word. */
#define OWNER_STATE 7u
#define OWNER_KEEP (UINT64_C(1) << 15)
#define OWNER_DOMAIN(word) ((uint32_t)((word) >> 3) & 0xfffu)
#define OWNER_GFN(word) ((word) >> 16 & ((UINT64_C(1) << 47) - 1))

/* Where a domain runs. */
struct order_run {
    uint16_t vmid;
    uint64_t inside, harts; /* that run it; that may remember it */
};

struct record_order {
    struct frames frames;
    uint64_t now, fence; /* steps so far; that of the last fence */
    uint64_t anew[64];   /* that in which each hart last began to fetch anew */
    unsigned root_level;
    const char *broken;
    bool flushes; /* guests read past the caches */
    size_t owed;  /* tables */
    uint32_t expect[CORDON_MAX_DOMAINS];
    struct order_run run[CORDON_MAX_DOMAINS];
};

#define ORDER_TABLE_LED_TO "a table was freed that a word still leads to"

/* Keep TEXT, if it is the first. */
void order_fail(struct record_order *o, const char *text);

/* A step that frees nothing. */
void order_step(struct record_order *o);

/* A hart runs DOMAIN below ROOT. */
void order_root_runs(struct record_order *o, struct table *root, uint32_t domain);

/* A root is freed, with what it still leads to. */
void order_root_gone(struct record_order *o, struct table *root);

#endif
