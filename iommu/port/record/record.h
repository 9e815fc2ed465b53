/*
 * What tests see of the recording port.
 *
 * A test gives a struct port_record as the context's cookie. Without one (a plain struct
 * cordon_port_ops, or null) the port behaves as the host's. With one, each step is logged, and an
 * order checker follows it: it keeps a picture of all tables from the stores alone, and of each
 * frame whether a leaf leads to it, and notes the first step that breaks one of these:
 *
 *   INV 7  a table becomes reachable only when what it holds has been stored, by logged stores, and
 *          fenced; it is not empty; a leaf that gives way to a table gives way to the same frames
 *   INV 7  a table gives way to a leaf only if that says what each of its words said; a leaf whose
 *          A or D hardware may set is changed by an atomic step, never by a plain store
 *   INV 7  nothing valid is stored into a table that has been taken out and not been freed yet
 *   INV 4  a leaf leads only to frames that are OWNED
 *   INV 4  a frame or table is freed only when no leaf or word leads to it, and after that all
 * harts that may remember its domain were fenced for its GPA, and, where devices are expected, each
 * of their views was invalidated, a fence command followed, and the driver said that it was over
 *   INV 4  a borrowed frame is given back only after the same was done for the borrower's view of
 *          it, and freed only when nobody borrows it
 *   INV 4  a leaf leads to a frame that was free only after it was scrubbed, or copied to whole
 *   INV 4  a frame is copied only when no leaf leads to it, and after that harts were fenced
 *   INV 9  a leaf that lets harts fetch leads to a copy only after they were told to fetch anew
 *   INV 4  where guests read past the caches, a leaf leads only to frames that were flushed since
 *          they were taken, lent or copied to; and a frame is flushed before it is copied
 *   INV 4  a frame is led to from another GPA only after harts were fenced for the one before
 *   INV 2  a hart runs a domain only under a VMID that it remembers of no other
 */
#ifndef CORDON_PORT_RECORD_H
#define CORDON_PORT_RECORD_H

#include "port_word.h"

enum record_kind {
    RECORD_STORE,      /* a: HPA, b: value, c: value before */
    RECORD_FENCE,      /* */
    RECORD_HART_FENCE, /* a: VMID, b: GPA, c: length */
    RECORD_CLAIM,      /* a, b: as port_note; the others too */
    RECORD_FREE,
    RECORD_DRAIN,
    RECORD_COMMAND,
    RECORD_LEND,
    RECORD_RECALL,
    RECORD_RETURN,
    RECORD_COPY,
    RECORD_SCRUB,
    RECORD_CODE_FENCE, /* a: harts */
    RECORD_ENTER,
    RECORD_LEAVE,
    RECORD_HART_FENCE_ALL, /* a: harts */
    RECORD_MMIO_WRITE,     /* a: HPA, b: value */
    RECORD_FLUSH           /* a: HPA, b: length */
};

struct record_event {
    uint64_t sequence; /* from 1 */
    enum record_kind kind;
    uint64_t a, b, c;
};

#define RECORD_EVENTS 4096u

struct record_order;

struct port_record {
    struct cordon_port_ops ops; /* ops.size is sizeof(struct port_record): how the port knows it */
    uint64_t allocations;       /* asked for so far */
    uint64_t fail_at;           /* this allocation fails, counted from 1; 0: none */
    uint64_t sequence;          /* events so far */
    uint64_t broken_at;         /* the event that broke the order first; 0: none */
    struct record_event event[RECORD_EVENTS]; /* the latest ones, around the end */
    struct record_order *order;               /* null: not checked */
    /* Called right behind each load of a foreign word; it may change the word. Null: nothing. */
    void (*on_load)(void *arg, uint64_t *word);
    void *on_load_arg;
};

/* An empty record over OPS (may be null), with the order checker on. Ends with record_end. */
void record_init(struct port_record *r, const struct cordon_port_ops *ops);
void record_end(struct port_record *r);

/* The first step that broke the order, in words, or null. Static. */
const char *record_broken(const struct port_record *r);
/* Its sequence number; 0: none. */
uint64_t record_broken_at(const struct port_record *r);

/* From now on, frames of DOMAIN are freed only after these device views (bit v: view v) were
 * invalidated and drained. 0: it has no devices. */
void record_expect_views(struct port_record *r, uint32_t domain, uint32_t views);

/* From now on, guests read past the caches: CORDON_CTX_PBMT. Before the first domain. */
void record_expect_flushes(struct port_record *r);

/* Levels of the second-stage tables of every domain: 3 unless said. Before the first domain. */
void record_levels(struct port_record *r, unsigned levels);

/* Event number SEQUENCE, or null if it is not kept any more. */
const struct record_event *record_at(const struct port_record *r, uint64_t sequence);
/* The first event of KIND after AFTER whose a is A (any: UINT64_MAX); null: none is kept. */
const struct record_event *record_find(const struct port_record *r, uint64_t after,
                                       enum record_kind kind, uint64_t a);

#endif
