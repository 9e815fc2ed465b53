/*
 * Faults of devices, as people and programs are told of them: lines on the console, events on the
 * host channel.
 *
 * Both have a budget, so that a device which its guest lets fault as fast as it can takes neither
 * from the others: FAULT_LINES a second for the devices of one domain, FAULT_EVENTS a second for
 * each device. What is beyond it is counted, and the count is said: nothing is lost silently.
 */
#ifndef HYP_VM_FAULT_REPORT_H
#define HYP_VM_FAULT_REPORT_H

#include <cordon/device.h>

#define FAULT_LINES 8u
#define FAULT_EVENTS 64u

/* Tell of F, or count it. Any hart. */
void fault_report(const struct cordon_fault *f);

/* Say how many found no line and no event, where the second that they belong to is over; with NOW
 * at once. Any hart. */
void fault_report_left_out(bool now);

#endif
