/* Words and numbers of a command: see words.h. */
#include "manage/words.h"

#include <string.h>

char *manage_cut_word(char **rest)
{
    char *word = *rest;
    char *end = strchr(word, ' ');

    if (end != NULL) {
        *end = '\0';
        *rest = end + 1;
    } else {
        *rest = word + strlen(word);
    }
    return *word != '\0' ? word : NULL;
}

/* What C says as a digit; more than any base allows for anything else. */
static uint64_t digit(char c)
{
    if (c >= '0' && c <= '9') {
        return (uint64_t)(c - '0');
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a') + 10 : UINT64_MAX;
}

/* The number from AT to a blank or the end, where it returns; null if that is none. */
static const char *number_at(const char *at, uint64_t *out)
{
    const bool hex = at[0] == '0' && at[1] == 'x';
    const uint64_t base = hex ? 16 : 10;
    uint64_t value = 0;

    at += hex ? 2 : 0;
    do {
        uint64_t d = digit(*at++);

        if (d >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, d, &value)) {
            return NULL;
        }
    } while (*at != '\0' && *at != ' ');
    *out = value;
    return at;
}

bool manage_numbers(const char *text, uint64_t *out, uint32_t least, uint32_t most)
{
    uint32_t count = 0;

    if (*text == '\0') {
        return least == 0;
    }
    do {
        text = count < most ? number_at(text, &out[count]) : NULL;
        if (text == NULL) {
            return false;
        }
        count++;
    } while (*text++ == ' ');
    return count >= least;
}
