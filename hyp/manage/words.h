/* What commands of management are made of, for those that live in files of their own. */
#ifndef HYP_MANAGE_WORDS_H
#define HYP_MANAGE_WORDS_H

#include "vm/vm.h"

/* Cut the first word off *REST; null when there is none. */
char *manage_cut_word(char **rest);

/* The running VM that the first word of *REST names; an error is sent when there is none. */
struct vm *manage_find_vm(char **rest);

/* A whole word that is a number of 64 bits, as C writes it. */
bool manage_number(const char *word, uint64_t *out);

/* Answer with an event "error": WHY, and the part of the command that it is about. */
void manage_send_error(const char *why, const char *what);

extern const char manage_not_running[];

#endif
