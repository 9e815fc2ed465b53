/* A bounded JSON writer: no allocation, no nesting state but a comma flag; overflow is
 * remembered. */
#ifndef HYP_CHANNEL_JSON_H
#define HYP_CHANNEL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
    char *text;
    size_t size;
    size_t len;
    bool comma;    /* a value stands before */
    bool overflow; /* something did not fit; the text is of no use */
};

void json_begin(struct json *j, char *text, size_t size);

/* KEY null inside arrays. */
void json_object(struct json *j, const char *key);
void json_object_end(struct json *j);
void json_array(struct json *j, const char *key);
void json_array_end(struct json *j);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_hex(struct json *j, const char *key, uint64_t value); /* a string "0x..." */
void json_bool(struct json *j, const char *key, bool value);
/* At most LIMIT bytes of VALUE, up to its NUL; quotes, controls and non-ASCII bytes are escaped. */
void json_text(struct json *j, const char *key, const char *value, size_t limit);

#endif
