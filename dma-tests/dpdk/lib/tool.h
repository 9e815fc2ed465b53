/*
 * What each of our programs over DPDK begins with: options by argp, the rest of the line for EAL,
 * and an end that says in words and in JSON why it could not run.
 */
#ifndef DPDK_LIB_TOOL_H
#define DPDK_LIB_TOOL_H

#include <argp.h>
#include <stdint.h>

/* Exit statuses; a wrong command line is EX_USAGE (64), from argp. */
enum tool_status {
    TOOL_PASSED = 0,
    TOOL_FAILED = 1,     /* a check has failed: something is wrong with DMA */
    TOOL_CANNOT_RUN = 3, /* no huge pages, no port, no link: nothing was checked */
};

/* Read the options of a program; behind "--" stand options for EAL. Then start EAL: huge pages are
 * there and free, or the program ends with TOOL_CANNOT_RUN; it takes all of them, in the order of
 * their addresses, or as many as EAL's -m says. SETTINGS is argp's input. */
void tool_start(const struct argp *argp, int argc, char **argv, void *settings);

/* The number that option KEY was given, FIRST..LAST; else argp's error, which ends the program. */
uint64_t tool_number(const char *text, uint64_t first, uint64_t last, struct argp_state *state);

/* End with TOOL_CANNOT_RUN: one sentence on standard error, and as "error" in JSON. */
__attribute__((format(printf, 1, 2))) _Noreturn void tool_cannot(const char *format, ...);

/* The program's name in messages and JSON. */
const char *tool_name(void);

/* Close EAL and exit. */
_Noreturn void tool_end(enum tool_status status);

#endif
