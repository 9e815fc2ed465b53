/* See options.h. */
#include "options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void refuse(const char *program, const char *why, const char *help)
{
    fprintf(stderr, "%s: %s\n%s", program, why, help);
    exit(2);
}

static void read_number(const char *program, const struct choice *c, const char *text,
                        const char *help)
{
    char *end, why[128];
    uint64_t value = text != NULL ? strtoull(text, &end, 0) : 0;

    if (text == NULL || *text < '0' || *text > '9' || *end != '\0' || value < c->first ||
        value > c->last) {
        (void)snprintf(why, sizeof(why), "--%s is %" PRIu64 " to %" PRIu64, c->name, c->first,
                       c->last);
        refuse(program, why, help);
    }
    *c->number = value;
}

void options_read(int argc, char **argv, const struct choice *choices, size_t count,
                  const char *help)
{
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash != NULL ? slash + 1 : argv[0];

    for (int i = 1; i < argc; i++) {
        size_t k = 0;

        if (strcmp(argv[i], "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        }
        while (k < count &&
               (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, choices[k].name) != 0)) {
            k++;
        }
        if (k == count) {
            refuse(program, "there is no such option", help);
        } else if (choices[k].number == NULL) {
            *choices[k].flag = true;
        } else {
            i++;
            read_number(program, &choices[k], i < argc ? argv[i] : NULL, help);
        }
    }
}
