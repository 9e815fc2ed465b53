/* A writer of JSON that keeps only what is open. Numbers are of 64 bits without a sign, as
 * addresses are; libjansson's end at 2^63 - 1. */
#include "lib/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX 8u

static char ends[DEPTH_MAX]; /* what closes each level */
static unsigned depth;
static bool more; /* a value stands before the next one */

static void put_text(const char *s)
{
    putchar('"');
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (c < ' ') {
            printf("\\u%04x", c);
        } else {
            printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    putchar('"');
}

static void begin(const char *name)
{
    if (more) {
        fputs(", ", stdout);
    }
    if (name != NULL) {
        put_text(name);
        fputs(": ", stdout);
    }
    more = true;
}

static void open_level(const char *name, char start, char end)
{
    if (depth == DEPTH_MAX) {
        abort();
    }
    begin(name);
    putchar(start);
    ends[depth++] = end;
    more = false;
}

void json_open(const char *name)
{
    open_level(name, '{', '}');
}

void json_list(const char *name)
{
    open_level(name, '[', ']');
}

void json_close(void)
{
    putchar(ends[--depth]);
    more = depth != 0;
    if (depth == 0) {
        putchar('\n');
        fflush(stdout);
    }
}

void json_number(const char *name, uint64_t value)
{
    begin(name);
    printf("%" PRIu64, value);
}

void json_bool(const char *name, bool value)
{
    begin(name);
    fputs(value ? "true" : "false", stdout);
}

void json_text(const char *name, const char *value)
{
    begin(name);
    put_text(value);
}
