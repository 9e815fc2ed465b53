/* Patterns: a word is a mark, a port, a sequence number and an index, mixed by a bijection. */
#include "lib/pattern.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* mark (12 bits) | port (6) | sequence (26) | index of the word (20) */
#define MARK UINT64_C(0xc0d)
#define MARK_SHIFT 52u
#define PORT_SHIFT 46u
#define SEQUENCE_SHIFT 20u
#define SEQUENCE_MASK ((UINT64_C(1) << PATTERN_SEQUENCE_BITS) - 1)
#define INDEX_MASK ((UINT64_C(1) << SEQUENCE_SHIFT) - 1)

/* Odd, and its inverse modulo 2^64. */
#define TIMES UINT64_C(0xbf58476d1ce4e5b9)
#define TIMES_BACK UINT64_C(0x96de1b173f119089)

static uint64_t mix(uint64_t v)
{
    v ^= v >> 32;
    v *= TIMES;
    return v ^ v >> 32;
}

static uint64_t unmix(uint64_t v)
{
    v ^= v >> 32;
    v *= TIMES_BACK;
    return v ^ v >> 32;
}

static uint64_t word_base(struct pattern p)
{
    return MARK << MARK_SHIFT | (uint64_t)(p.port & PATTERN_PORT_MAX) << PORT_SHIFT |
           (p.sequence & SEQUENCE_MASK) << SEQUENCE_SHIFT;
}

/* The 8 bytes from OFFSET (a multiple of 8) on, as they stand in little-endian memory. */
static uint64_t word_at(uint64_t base, uint64_t offset)
{
    return mix(base | ((offset / PATTERN_WORD) & INDEX_MASK));
}

void pattern_fill(struct pattern p, uint64_t offset, void *to, size_t len)
{
    uint64_t base = word_base(p);
    uint8_t *out = to;

    while (len != 0) {
        size_t skip = offset % PATTERN_WORD;
        size_t n = len < PATTERN_WORD - skip ? len : PATTERN_WORD - skip;
        uint64_t word = word_at(base, offset - skip);

        memcpy(out, (const uint8_t *)&word + skip, n);
        out += n;
        offset += n;
        len -= n;
    }
}

bool pattern_name(const void *at, struct pattern *p, uint64_t *offset)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    word = unmix(word);
    if (word >> MARK_SHIFT != MARK) {
        return false;
    }
    p->port = word >> PORT_SHIFT & PATTERN_PORT_MAX;
    p->sequence = (uint32_t)(word >> SEQUENCE_SHIFT & SEQUENCE_MASK);
    *offset = (word & INDEX_MASK) * PATTERN_WORD;
    return true;
}

/* The first of the LEN bytes at AT as one of another place, if one of the words that begin within 8
 * bytes is. What is mostly as it was WANTED is here by right, whatever it can be taken for. */
static bool tell_place(const uint8_t *at, const uint8_t *wanted, size_t len,
                       struct pattern_wrong *w)
{
    for (size_t s = 0; s < PATTERN_WORD && s + PATTERN_WORD <= len; s++) {
        unsigned right = 0;
        uint64_t place;

        for (size_t k = s; k < s + PATTERN_WORD; k++) {
            right += at[k] == wanted[k];
        }
        if (right <= 1 && pattern_name(at + s, &w->whose, &place) && place >= s) {
            w->place = place - s;
            return true;
        }
    }
    return false;
}

/* The first wrong byte: the first of the LEN at AT, which should be packet P's from OFFSET on. */
static void tell_first(struct pattern p, uint64_t offset, const uint8_t *at, size_t len,
                       struct pattern_wrong *w)
{
    uint8_t wanted[2 * PATTERN_WORD - 1];
    bool zeros = true;

    len = len < sizeof wanted ? len : sizeof wanted;
    pattern_fill(p, offset, wanted, len);
    for (size_t k = 0; k < len && k < PATTERN_WORD; k++) {
        zeros = zeros && (at[k] == 0 || at[k] == wanted[k]);
    }
    w->offset = offset;
    w->wanted = wanted[0];
    w->found = at[0];
    w->kind = PATTERN_UNKNOWN;
    if (zeros) {
        w->kind = PATTERN_ZEROS;
    } else if (tell_place(at, wanted, len, w)) {
        w->kind = PATTERN_ELSE;
    }
}

bool pattern_check(struct pattern p, uint64_t offset, const void *at, size_t len,
                   struct pattern_wrong *wrong)
{
    uint64_t base = word_base(p);
    uint64_t before = wrong->count;
    const uint8_t *in = at;

    for (size_t i = 0; i < len;) {
        size_t skip = (offset + i) % PATTERN_WORD;
        size_t n = len - i < PATTERN_WORD - skip ? len - i : PATTERN_WORD - skip;
        uint64_t word = word_at(base, offset + i - skip);
        const uint8_t *wanted = (const uint8_t *)&word + skip;

        for (size_t k = 0; memcmp(in + i, wanted, n) != 0 && k < n; k++) {
            if (in[i + k] != wanted[k] && wrong->count++ == 0) {
                tell_first(p, offset + i + k, in + i + k, len - i - k, wrong);
            }
        }
        i += n;
    }
    return wrong->count == before;
}

const char *pattern_say(const struct pattern_wrong *w, char *text, size_t size)
{
    int n =
        snprintf(text, size,
                 "%" PRIu64 " wrong bytes; the first at %" PRIu64 ": wanted 0x%02x, found 0x%02x, ",
                 w->count, w->offset, w->wanted, w->found);

    if (n < 0 || (size_t)n >= size) {
        return text;
    }
    if (w->kind == PATTERN_ELSE) {
        snprintf(text + n, size - (size_t)n, "of port %u, packet %u, byte %" PRIu64, w->whose.port,
                 w->whose.sequence, w->place);
    } else {
        snprintf(text + n, size - (size_t)n, "%s",
                 w->kind == PATTERN_ZEROS ? "zeros: nothing came" : "which is no pattern's");
    }
    return text;
}
