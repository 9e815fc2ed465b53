/* What the order checker knows of frames and tables. Host memory, by frame number. */
#ifndef CORDON_PORT_RECORD_FRAME_H
#define CORDON_PORT_RECORD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_WORDS 512u

struct frame;

/* Taken away and not freed: what has been proven since then. */
struct waiting {
    bool active;
    uint64_t untold; /* harts that may remember it and were not fenced */
    uint64_t since;
    uint32_t invalidated, fenced, drained; /* views */
    struct frame *frame;
    const uint64_t *who; /* domain and GPA, as an ownership word; null: a table, of nobody known */
    struct waiting *next, *prev;
};

struct table {
    uint64_t word[TABLE_WORDS]; /* as stored so far */
    uint64_t links;             /* words of live tables that lead here */
    uint64_t stored;            /* when last stored to */
    const uint64_t *place;      /* its words in memory, once known */
    unsigned level;             /* while live or dead */
    uint32_t domain;            /* whose G-stage has it, 0: none that a hart ever ran */
    bool root, live, dead;
    bool owed; /* freed, and the root that leads here has to be next */
    struct waiting waiting;
};

/* A frame that another domain than its owner may reach. */
struct loan {
    uint64_t who;
    bool recalled; /* its leaves go */
    struct waiting waiting;
    struct loan *next;
};

struct frame {
    uint64_t hfn;
    uint64_t owner;            /* ownership word at its last claim */
    uint64_t mapped;           /* leaves of live tables that lead here */
    uint64_t copied;           /* when it got another's contents; 0: not, or freed since */
    uint64_t flushed, written; /* when caches were; and when it was last taken, lent or copied to */
    bool claimed;
    bool stale; /* it was free, and what it held is there still */
    struct table *table;
    struct loan *loans;
    struct waiting waiting;
};

struct frames {
    struct frame **slot; /* hash, open addressing */
    size_t slots, used;
    struct waiting *waiting;
};

void frames_init(struct frames *s);
void frames_end(struct frames *s);
struct frame *frame_find(const struct frames *s, uint64_t hfn);
struct frame *frame_get(struct frames *s, uint64_t hfn);
/* The frame is an empty table now; or none any more. */
void frame_table(struct frame *f);
void frame_no_table(struct frame *f);

/* Enter the list of what waits, unless it is there; or leave it. */
void waiting_list(struct frames *s, struct waiting *w);
void waiting_done(struct frames *s, struct waiting *w);

#endif
