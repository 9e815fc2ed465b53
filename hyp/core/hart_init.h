/* The first thing that each hart does once it runs under our tables. */
#ifndef HYP_CORE_HART_INIT_H
#define HYP_CORE_HART_INIT_H

#include "core/hart.h"

/* Find out what this hart can do and set it to a known state. False (and said why) if no guest
 * can run on it. */
bool hart_init_here(struct hart *hart);

#endif
