/* A bounded JSON writer: see json.h. */
#include "channel/json.h"

#include <string.h>

static const char digits[] = "0123456789abcdef";

static void put(struct json *j, char c)
{
    if (j->len < j->size) {
        j->text[j->len++] = c;
    } else {
        j->overflow = true;
    }
}

static void put_escaped(struct json *j, const char *s, size_t limit)
{
    put(j, '"');
    for (size_t i = 0; i < limit && s[i] != '\0'; i++) {
        uint8_t c = (uint8_t)s[i];

        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            put(j, (char)c);
            continue;
        }
        put(j, '\\');
        put(j, 'u');
        put(j, '0');
        put(j, '0');
        put(j, digits[c >> 4]);
        put(j, digits[c & 15]);
    }
    put(j, '"');
}

static void lead(struct json *j, const char *key)
{
    if (j->comma) {
        put(j, ',');
    }
    j->comma = true;
    if (key != NULL) {
        put_escaped(j, key, SIZE_MAX);
        put(j, ':');
    }
}

void json_begin(struct json *j, char *text, size_t size)
{
    *j = (struct json){.text = text, .size = size};
}

static void open(struct json *j, const char *key, char bracket)
{
    lead(j, key);
    put(j, bracket);
    j->comma = false;
}

static void shut(struct json *j, char bracket)
{
    put(j, bracket);
    j->comma = true;
}

void json_object(struct json *j, const char *key)
{
    open(j, key, '{');
}

void json_object_end(struct json *j)
{
    shut(j, '}');
}

void json_array(struct json *j, const char *key)
{
    open(j, key, '[');
}

void json_array_end(struct json *j)
{
    shut(j, ']');
}

static void put_number(struct json *j, uint64_t value, unsigned base)
{
    char back[20];
    size_t n = 0;

    do {
        back[n++] = digits[value % base];
        value /= base;
    } while (value != 0);
    while (n > 0) {
        put(j, back[--n]);
    }
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
    lead(j, key);
    put_number(j, value, 10);
}

void json_hex(struct json *j, const char *key, uint64_t value)
{
    lead(j, key);
    put(j, '"');
    put(j, '0');
    put(j, 'x');
    put_number(j, value, 16);
    put(j, '"');
}

void json_bool(struct json *j, const char *key, bool value)
{
    const char *word = value ? "true" : "false";

    lead(j, key);
    for (; *word != '\0'; word++) {
        put(j, *word);
    }
}

void json_text(struct json *j, const char *key, const char *value, size_t limit)
{
    lead(j, key);
    put_escaped(j, value, limit);
}
