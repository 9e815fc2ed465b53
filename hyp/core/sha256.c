/* SHA-256 [FIPS 180-4, 4.2.2, 5.1.1, 6.2]. */
#include "core/sha256.h"

#include <string.h>

#define BLOCK 64u

static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, unsigned by)
{
    return word >> by | word << (32 - by);
}

static uint32_t load_big(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

struct state {
    uint32_t a, b, c, d, e, f, g, h;
};

/* One round; the names of the eight words move, not the words: see the calls. */
static inline void round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f,
                         uint32_t g, uint32_t *h, uint32_t kw)
{
    uint32_t s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    uint32_t s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    uint32_t t1 = *h + s1 + (g ^ (e & (f ^ g))) + kw;

    *d += t1;
    *h = t1 + s0 + ((a & b) | (c & (a | b)));
}

/* The schedule's next sixteen words, each in the place of the one that it replaces. */
static inline void schedule(uint32_t w[16])
{
#pragma GCC unroll 16
    for (unsigned t = 0; t < 16; t++) {
        uint32_t w1 = w[(t + 14) & 15];
        uint32_t w0 = w[(t + 1) & 15];
        uint32_t s1 = rotate(w1, 17) ^ rotate(w1, 19) ^ w1 >> 10;
        uint32_t s0 = rotate(w0, 7) ^ rotate(w0, 18) ^ w0 >> 3;

        w[t] += s1 + w[(t + 9) & 15] + s0;
    }
}

/* Eight rounds, after which every word has its own name again. */
static void eight_rounds(struct state *s, const uint32_t w[8], const uint32_t k[8])
{
    uint32_t a = s->a, b = s->b, c = s->c, d = s->d, e = s->e, f = s->f, g = s->g, h = s->h;

    round(a, b, c, &d, e, f, g, &h, k[0] + w[0]);
    round(h, a, b, &c, d, e, f, &g, k[1] + w[1]);
    round(g, h, a, &b, c, d, e, &f, k[2] + w[2]);
    round(f, g, h, &a, b, c, d, &e, k[3] + w[3]);
    round(e, f, g, &h, a, b, c, &d, k[4] + w[4]);
    round(d, e, f, &g, h, a, b, &c, k[5] + w[5]);
    round(c, d, e, &f, g, h, a, &b, k[6] + w[6]);
    round(b, c, d, &e, f, g, h, &a, k[7] + w[7]);
    *s = (struct state){a, b, c, d, e, f, g, h};
}

static void compress(struct state *sum, const uint8_t *block)
{
    struct state s = *sum;
    uint32_t w[16];

    for (unsigned t = 0; t < 16; t++) {
        w[t] = load_big(block + 4 * t);
    }
    for (unsigned t = 0; t < 64; t += 16) {
        if (t != 0) {
            schedule(w);
        }
        eight_rounds(&s, w, round_constant + t);
        eight_rounds(&s, w + 8, round_constant + t + 8);
    }
    *sum = (struct state){sum->a + s.a, sum->b + s.b, sum->c + s.c, sum->d + s.d,
                          sum->e + s.e, sum->f + s.f, sum->g + s.g, sum->h + s.h};
}

static void put_big(uint8_t digest[32], const struct state *s)
{
    const uint32_t word[8] = {s->a, s->b, s->c, s->d, s->e, s->f, s->g, s->h};

    for (unsigned i = 0; i < 32; i++) {
        digest[i] = (uint8_t)(word[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void sha256(const void *bytes, size_t len, uint8_t digest[32])
{
    struct state state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *at = bytes;
    uint8_t tail[2 * BLOCK] = {0};
    size_t left = len % BLOCK;
    size_t tail_len = left < BLOCK - 8 ? BLOCK : 2 * BLOCK;

    for (size_t i = 0; i < len / BLOCK; i++) {
        compress(&state, at);
        at += BLOCK;
    }
    if (left != 0) {
        memcpy(tail, at, left);
    }
    tail[left] = 0x80;
    for (unsigned i = 0; i < 8; i++) {
        tail[tail_len - 1 - i] = (uint8_t)((uint64_t)len * 8 >> (8 * i));
    }
    for (size_t i = 0; i < tail_len; i += BLOCK) {
        compress(&state, tail + i);
    }
    put_big(digest, &state);
}
