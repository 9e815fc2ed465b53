/* Orders and answers: see orders.h. */
#include "lib/orders.h"
#include "lib/json.h"
#include "lib/tool.h"
#include <stdio.h>
#include <string.h>

#define ORDER_BYTES 80

error_t orders_parse(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "'%s': orders come on the standard input", arg);
    }
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

static void answer(char *order, bool (*carry_out)(const char *order))
{
    char text[ORDER_BYTES];

    order[strcspn(order, "\r\n")] = '\0';
    json_open(NULL);
    json_text("order", order);
    if (!carry_out(order)) {
        snprintf(text, sizeof(text), "no such order: %s --help lists them", tool_name());
        json_text("error", text);
    }
    json_close();
}

void orders_answer(bool (*carry_out)(const char *order))
{
    char order[ORDER_BYTES];

    while (fgets(order, sizeof(order), stdin) != NULL && strncmp(order, "quit", 4) != 0) {
        answer(order, carry_out);
    }
}
