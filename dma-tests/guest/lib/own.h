/* Cordon's own PCI function, as docs/own-function.md describes it. */
#ifndef GUEST_OWN_H
#define GUEST_OWN_H

#include <stdint.h>

#define OWN_PENDING 14u /* ERROR of a command that is done, its frames still on their way */

struct own {
    volatile uint8_t *bar;
};

/* What a command came to: ERROR as the function gives it, RESULT of a QUERY. */
struct own_answer {
    uint32_t error;
    uint64_t result;
};

/* Open it. Exits with a message when this guest has none, or one of another kind. */
struct own own_open(void);

struct own_answer own_give(const struct own *o, uint64_t gpa, uint64_t len);
struct own_answer own_take(const struct own *o, uint64_t gpa, uint64_t len);
struct own_answer own_query(const struct own *o, uint64_t gpa, uint64_t len);

#endif
