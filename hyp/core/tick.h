/* What is looked at now and then, on one hart only: the console's input, lines that wait, faults of
 * devices, leaves that can be large again. */
#ifndef HYP_CORE_TICK_H
#define HYP_CORE_TICK_H

#include <stdint.h>

#define TICK_US 20000u

struct hart;

/* Make HART the one that ticks, from its next look on. */
void tick_assign(const struct hart *hart);

/* Called when this hart's timer has fired, or might have. */
void tick(void);

/* Microseconds as ticks of the time CSR; time since boot in microseconds. */
uint64_t time_from_us(uint64_t us);
uint64_t time_us(void);

#endif
