/* Shapes: one segment of interest, whose size goes through all; others of any small size with it.
 * Or packets of one size, cut evenly. */
#include "lib/shape.h"
#include <stddef.h>

/* Beside powers of two, of the sizes of headers, frames and pages. */
static const uint16_t sizes[] = {
    1,    2,    3,    4,    5,    7,    8,    9,    14,    15,    16,    17,    31,   32,
    33,   47,   48,   59,   60,   61,   63,   64,   65,    127,   128,   129,   255,  256,
    257,  511,  512,  513,  1023, 1024, 1025, 1499, 1500,  1514,  1518,  2047,  2048, 2049,
    4095, 4096, 4097, 8191, 8192, 8193, 9000, 9014, 12288, 16000, 16383, 16384,
};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* Other segments are of 1 to this many bytes. */
#define BESIDE_MAX 200u

#define OF_ONE_SIZE 64u /* packets with each count of segments */

static uint32_t scatter(uint32_t a, uint32_t b)
{
    uint64_t v = ((uint64_t)a << 32 | b) * UINT64_C(0x9e3779b97f4a7c15);

    v ^= v >> 29;
    v *= UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(v >> 32);
}

static uint32_t size_count(const struct shape_limits *l)
{
    uint32_t count = 0;

    if (l->every_size) {
        return l->frame_max < SHAPE_SIZE_MAX ? l->frame_max : SHAPE_SIZE_MAX;
    }
    while (count < SIZES && sizes[count] <= l->frame_max) {
        count++;
    }
    return count;
}

uint32_t shape_sizes_skipped(const struct shape_limits *l, uint32_t *first)
{
    uint32_t count = size_count(l);
    uint32_t all = l->every_size ? SHAPE_SIZE_MAX : SIZES;

    if (l->size != 0) {
        return 0;
    }
    if (count < all) {
        *first = l->every_size ? count + 1 : sizes[count];
    }
    return all - count;
}

static uint32_t segments_most(const struct shape_limits *l)
{
    return l->segments_max < SHAPE_SEGMENTS_MAX ? l->segments_max : SHAPE_SEGMENTS_MAX;
}

uint32_t shape_round(const struct shape_limits *l)
{
    if (l->size != 0) {
        return OF_ONE_SIZE * segments_most(l);
    }
    return size_count(l) * (l->every_size ? 1 : segments_most(l));
}

static void cut_evenly(uint32_t size, struct shape *s)
{
    s->total = size;
    for (unsigned k = 0; k < s->count; k++) {
        s->len[k] = (uint16_t)(size / s->count + (k < size % s->count));
    }
}

/* The sizes of the segments; a packet too short for the wire grows beside the one of interest. */
static void choose_sizes(const struct shape_limits *l, uint32_t number, struct shape *s)
{
    uint32_t most = segments_most(l), count = size_count(l);
    uint32_t size = l->every_size ? 1 + number % count : sizes[number / most % count];
    uint32_t left = l->frame_max - size; /* for all others */

    if (s->count - 1 > left) {
        s->count = 1 + left;
    }
    s->of_interest = scatter(number, 64) % s->count;
    s->total = 0;
    for (unsigned k = 0; k < s->count; k++) {
        uint32_t len = size;

        if (k != s->of_interest) {
            uint32_t after = s->count - 1 - k - (k < s->of_interest); /* each has a byte */
            uint32_t room = left - after < BESIDE_MAX ? left - after : BESIDE_MAX;

            len = 1 + scatter(number, k) % room;
            left -= len;
        }
        s->len[k] = (uint16_t)len;
        s->total += len;
    }
    if (s->total < l->frame_min) {
        unsigned k = s->count == 1 ? 0 : (s->of_interest + 1) % s->count;

        s->len[k] = (uint16_t)(s->len[k] + l->frame_min - s->total);
        s->total = l->frame_min;
    }
}

void shape_of(const struct shape_limits *l, uint32_t number, struct shape *s)
{
    s->count = 1 + number % segments_most(l);
    if (l->size != 0) {
        s->of_interest = scatter(number, 64) % s->count;
        cut_evenly(l->size, s);
    } else {
        choose_sizes(l, number, s);
    }
    for (unsigned k = 0; k < s->count; k++) {
        s->align[k] = (uint8_t)((number + k * 11 + number / 64) % 64);
    }
    uint32_t size = s->len[s->of_interest];

    s->border = SHAPE_NO_BORDER;
    if (size > 1 && number % SHAPE_EVERY_2M == 0) {
        s->border = SHAPE_2M;
    } else if (size > 1 && scatter(number, 65) % 2 == 0) {
        s->border = SHAPE_4K;
    }
    s->cut = s->border == SHAPE_NO_BORDER ? 0 : 1 + scatter(number, 66) % (size - 1);
}
