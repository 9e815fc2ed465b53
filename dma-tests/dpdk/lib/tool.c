/* Options, EAL, and how a program ends. */
#include "lib/tool.h"
#include "lib/json.h"
#include <errno.h>
#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EAL_ARGS_MAX 32
#define FREE_2M "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
#define FREE_1G "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages"

const char *tool_name(void)
{
    return program_invocation_short_name;
}

void tool_cannot(const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "%s: %s\n", tool_name(), text);
    json_open(NULL);
    json_text("program", tool_name());
    json_bool("passed", false);
    json_text("error", text);
    json_close();
    exit(TOOL_CANNOT_RUN);
}

void tool_end(enum tool_status status)
{
    rte_eal_cleanup();
    exit((int)status);
}

uint64_t tool_number(const char *text, uint64_t first, uint64_t last, struct argp_state *state)
{
    char *end;

    errno = 0;
    uint64_t value = strtoull(text, &end, 0);

    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < first ||
        value > last) {
        argp_error(state, "'%s' is no number from %" PRIu64 " to %" PRIu64, text, first, last);
    }
    return value;
}

static unsigned long number_in(const char *path)
{
    FILE *f = fopen(path, "r");
    unsigned long value = 0;

    if (f != NULL) {
        if (fscanf(f, "%lu", &value) != 1) {
            value = 0;
        }
        fclose(f);
    }
    return value;
}

/* EAL's own words for this are a page long, and name other causes first. */
static void need_huge_pages(void)
{
    if (number_in(FREE_2M) == 0 && number_in(FREE_1G) == 0) {
        tool_cannot("no huge page is free: 'echo 64 > /sys/kernel/mm/hugepages/"
                    "hugepages-2048kB/nr_hugepages' asks for 128 MiB of them; a program that runs "
                    "has all of them, or 64 MiB with -- -m 64");
    }
}

static bool has(int count, char **arguments, const char *option)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(arguments[i], option) == 0) {
            return true;
        }
    }
    return false;
}

void tool_start(const struct argp *argp, int argc, char **argv, void *settings)
{
    char *eal[EAL_ARGS_MAX] = {argv[0], "--log-level=lib.eal:error", "--no-telemetry"};
    int own = 1, count = 3;

    while (own < argc && strcmp(argv[own], "--") != 0) {
        own++;
    }
    argp_parse(argp, own, argv, 0, NULL, settings);
    for (int i = own + 1; i < argc; i++) {
        if (count == EAL_ARGS_MAX - 3) {
            tool_cannot("more than %d options for EAL", EAL_ARGS_MAX - 6);
        }
        eal[count++] = argv[i];
    }
    if (!has(count, eal, "--no-huge")) {
        need_huge_pages();
        eal[count++] = "--huge-unlink=always"; /* free again however the program ends */
        eal[count++] = "--legacy-mem";         /* sorted: the kernel gives them in any order */
    }
    rte_delay_us_callback_register(rte_delay_us_sleep); /* who waits leaves its hart to others */
    if (rte_eal_init(count, eal) < 0) {
        tool_cannot("EAL does not start%s%s; it has said why above, or does with "
                    "-- --log-level=lib.eal:debug",
                    rte_errno != 0 ? ": " : "", rte_errno != 0 ? rte_strerror(rte_errno) : "");
    }
    /* Its thread for interrupts finds none to read of a card that has no line. */
    rte_log_set_level_pattern("lib.eal", RTE_LOG_CRIT);
}
