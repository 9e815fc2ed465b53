/* A broken invariant of ours stops a fuzz target. */
#include <cordon/port.h>

#include "fuzz.h"

void cordon_port_panic(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, what);
    abort();
}
