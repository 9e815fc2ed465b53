/* What became of each guest: lines for people, frames for the host channel. */
#ifndef HYP_VM_REPORT_H
#define HYP_VM_REPORT_H

#include "vm/vm.h"

/* Look for the host channel; without one, lines are all there is. */
void report_open(void);

/* The channel, open or not, for others who have something to say on it. */
struct channel *report_channel(void);

void report_refused(const char *name, const char *why);
void report_started(const struct vm *vm);
/* It has ended, and what it had has come back, save what lines before say. */
void report_ended(const struct vm *vm);

/* All guests have ended. FAILED counts those that were refused or did not end by their own will. */
void report_all_ended(uint32_t ended, uint32_t failed);

#endif
