/* What the programs of this folder are called with: --name NUMBER, --name, --help. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct choice {
    const char *name; /* without -- */
    uint64_t *number; /* where its number goes, from FIRST to LAST; else null */
    uint64_t first, last;
    bool *flag; /* becomes true, where there is no number */
};

/* Reads ARGV; a wrong call is told of with HELP and ends the program: exit status 2. So does --help
 * (0). */
void options_read(int argc, char **argv, const struct choice *choices, size_t count,
                  const char *help);

#endif
