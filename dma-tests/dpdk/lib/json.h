/* One JSON object on one line of the standard output: what a program has found. */
#ifndef DPDK_LIB_JSON_H
#define DPDK_LIB_JSON_H

#include <stdbool.h>
#include <stdint.h>

/* Values belong to the object or list that was opened last; NAME is null in a list. */
void json_open(const char *name); /* { */
void json_list(const char *name); /* [ */
void json_close(void);            /* whichever it is; the outermost ends the line */
void json_number(const char *name, uint64_t value);
void json_bool(const char *name, bool value);
void json_text(const char *name, const char *value);

#endif
