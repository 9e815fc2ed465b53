/* Work that all harts do together: a number of pieces, each done once by whoever is free. */
#ifndef HYP_CORE_WORK_H
#define HYP_CORE_WORK_H

#include <stdatomic.h>
#include <stdint.h>

struct work {
    void (*run)(void *arg, uint32_t piece);
    void *arg;
    uint32_t count;
    atomic_uint next;
    atomic_uint done;
};

/* Do all pieces of WORK, with the help of the harts that wait; returns when the last is done.
 * Only one work at a time. */
void work_run(struct work *work);

/* Take part if there is work. */
void work_help(void);

/* What a hart does when nobody needs it, and between guests: help, start its vCPU, wait. */
_Noreturn void hart_loop(void);

#endif
