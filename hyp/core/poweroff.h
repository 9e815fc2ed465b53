/* The end of the machine, with a status where the machine can tell one. */
#ifndef HYP_CORE_POWEROFF_H
#define HYP_CORE_POWEROFF_H

#include <stdbool.h>

/* Map what is needed, early, so that nothing can go wrong at the end. */
void poweroff_init(void);

/* Off. FAILED goes to the firmware as the reason; an emulator with a finisher register ends with
 * exit status 1 then, which firmware has no way to ask for. */
_Noreturn void poweroff(bool failed);

#endif
