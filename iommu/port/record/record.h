/*
 * What tests see of the recording port.
 *
 * A test gives a struct port_record as the context's cookie. Without one (a plain struct
 * cordon_port_ops, or null) the port behaves as the host's.
 */
#ifndef CORDON_PORT_RECORD_H
#define CORDON_PORT_RECORD_H

#include "port_word.h"

struct port_record {
    struct cordon_port_ops ops; /* ops.size is sizeof(struct port_record): how the port knows it */
    uint64_t allocations;       /* asked for so far */
    uint64_t fail_at;           /* this allocation fails, counted from 1; 0: none */
};

/* An empty record over OPS (may be null). */
void record_init(struct port_record *r, const struct cordon_port_ops *ops);

#endif
