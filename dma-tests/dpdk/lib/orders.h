/* Orders for a program that is asked one thing after the other: a line in, a line of JSON out. */
#ifndef DPDK_LIB_ORDERS_H
#define DPDK_LIB_ORDERS_H

#include <argp.h>
#include <stdbool.h>

/* argp's parser for such a program: it has no options, and orders do not stand on its line. */
error_t orders_parse(int key, char *arg, struct argp_state *state);

/* Answer each line of the standard input until it ends or says "quit": CARRY_OUT adds to the JSON
 * object of its answer, or returns false if it knows no such order. */
void orders_answer(bool (*carry_out)(const char *order));

#endif
