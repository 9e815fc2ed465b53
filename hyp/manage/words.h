/* What commands of management are made of, for those that live in files of their own. */
#ifndef HYP_MANAGE_WORDS_H
#define HYP_MANAGE_WORDS_H

#include "vm/vm.h"

/* Cut the first word off *REST; null when there is none. */
char *manage_cut_word(char **rest);

/* The running VM that the first word of *REST names; an error is sent when there is none. */
struct vm *manage_find_vm(char **rest);

/* TEXT is numbers of 64 bits, digits or 0x and hexadecimal ones, with one blank between them, LEAST
 * to MOST of them; those that are not there stay. False: it is not, and OUT may have changed. */
bool manage_numbers(const char *text, uint64_t *out, uint32_t least, uint32_t most);

/* Answer with an event "error": WHY, and the part of the command that it is about. */
void manage_send_error(const char *why, const char *what);

extern const char manage_not_running[];

#endif
