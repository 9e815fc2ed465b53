/* Work that all harts do together: a number of pieces, each done once by whoever is free. */
#ifndef HYP_CORE_WORK_H
#define HYP_CORE_WORK_H

#include <stdint.h>

/* Call RUN(ARG, 0) to RUN(ARG, COUNT - 1), each once, with the help of the harts that wait;
 * returns when the last has returned. One work at a time, from a hart that runs no guest. */
void work_run(void (*run)(void *arg, uint32_t piece), void *arg, uint32_t count);

/* Take part if there is work. */
void work_help(void);

/* What a hart does when nobody needs it, and between guests: help, start its vCPU, wait. */
_Noreturn void hart_loop(void);

#endif
