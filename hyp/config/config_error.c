/* Sentences about a bundle. Names in it come from the bundle: only printable ASCII leaves here. */
#include "config/config_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cordon/error.h>

static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            *text = '?';
        }
    }
}

/* The length of NAME, at most MAX. */
static size_t bounded_len(const char *name, size_t max)
{
    size_t len = 0;

    while (len < max && name[len] != '\0') {
        len++;
    }
    return len;
}

int config_refuse(struct config_error *why, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    make_printable(why->text);
    return -CORDON_EINVAL;
}

void config_printable(char *text, size_t size, const char *name)
{
    size_t len = bounded_len(name, size - 1);

    memcpy(text, name, len);
    text[len] = '\0';
    make_printable(text);
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool config_name_ok(const char *name)
{
    size_t len = bounded_len(name, VM_NAME_BYTES);

    for (size_t i = 0; i < len; i++) {
        if (!is_name_character(name[i])) {
            return false;
        }
    }
    return len >= 1 && len < VM_NAME_BYTES;
}
