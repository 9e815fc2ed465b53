/* Refusing a bundle, in words: one sentence, safe to print. */
#ifndef HYP_CONFIG_CONFIG_ERROR_H
#define HYP_CONFIG_CONFIG_ERROR_H

#include "config/vm_config.h"

/* Writes the sentence to WHY, with whatever a bundle put into it made printable and cut to fit;
 * returns -CORDON_EINVAL. */
__attribute__((format(printf, 2, 3))) int config_refuse(struct config_error *why,
                                                        const char *format, ...);

/* Copies NAME to TEXT of SIZE bytes, printable and cut to fit. */
void config_printable(char *text, size_t size, const char *name);

/* True if NAME has 1 to VM_NAME_BYTES - 1 characters, all letters, digits, - or _. */
bool config_name_ok(const char *name);

#endif
