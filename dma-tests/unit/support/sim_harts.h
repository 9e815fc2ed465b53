/*
 * Simulated harts, whose TLBs forget nothing by themselves.
 *
 * Each keeps every translation that it ever made, of both stages, by VMID, until it is told
 * otherwise. Whatever a hart would use is held against the tables as they stand, and everything
 * that it remembers against the owner of the frame.
 */
#ifndef SIM_HARTS_H
#define SIM_HARTS_H

#include "map_bench.h"

#define HARTS 6u
#define SIM_LINES 1024u

struct sim_line {
    bool valid, first; /* FIRST: of the guest's own tables */
    uint16_t vmid;
    uint64_t page, leads; /* frame numbers */
    cordon_domain *whose; /* whom it ran when it learned this; never looked at by the hart */
};

struct sim_hart {
    cordon_domain *runs;
    uint64_t hgatp;
    struct sim_line line[SIM_LINES];
    uint32_t used;
};

struct sim {
    struct map_bench b;
    struct sim_hart hart[HARTS];
    uint64_t told, told_all; /* harts, by the last call of the port */
    uint32_t calls, calls_all;
};

extern struct sim sim;

/* A context of 16 MiB whose harts are these. bench_close(&sim.b) ends it. */
void sim_open(uint32_t vmid_bits);
/* A domain that nobody has run yet. */
cordon_domain *sim_domain(void);

/* As cordon_domain_enter and leave; the hart does what it is told. */
int sim_enter(uint32_t hart, cordon_domain *d);
void sim_leave(uint32_t hart);

/* The hart reads what stands at GPA, and at an address of the guest's own that leads there: fails
 * the test where it would use what is stale. */
void sim_read(struct sim_hart *h, uint64_t gpa);

/* What harts remember of the second stage leads to frames that still are whose it says, there. */
void sim_sound(void);

static inline uint16_t vmid_of(uint64_t hgatp)
{
    return hgatp >> 44 & 0x3fff;
}

#endif
