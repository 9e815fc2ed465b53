/*
 * rogue: drives edu functions at bus addresses that somebody outside names, and says what came
 * back.
 *
 * Reads orders from standard input, one a line; "go" carries out those read so far, as many side by
 * side as there are edu functions, then answers a line each and CORDON-ROGUE done. "quit" ends.
 *   read NAME IOVA LEN        fetch from the bus address; the answer counts bytes that are not zero
 *   write NAME IOVA LEN       store the marker there; whether it landed is for others to judge
 *   message NAME ADDR DATA    point edu's MSI there and raise it
 *   own NAME                  a page of our own: there and back must work (answers good or bad)
 * A refused fetch leaves edu's buffer zero; the buffer holds another pattern before, so that an edu
 * that did nothing at all is seen too.
 */
#include "lib/edu.h"
#include "lib/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ORDERS_MAX 512u
#define NAME_BYTES 40u
#define MARKER "ROGUE-DMA-MARKER" /* what attacks write */
#define IDLE "EDU-DID-NOTHING!"   /* what its buffer holds before it reads */
#define PATTERN_BYTES 16u

enum kind { KIND_READ, KIND_WRITE, KIND_MESSAGE, KIND_OWN };

struct order {
    enum kind kind;
    char name[NAME_BYTES];
    uint64_t iova;
    uint32_t len; /* or the data of a message */
};

/* An edu function with the pages that it needs. */
struct worker {
    struct edu edu;
    struct page from; /* what its buffer is loaded with */
    struct page to;   /* where its buffer is looked at */
};

static void fill(uint8_t *at, const char *pattern)
{
    for (unsigned i = 0; i < PAGE_BYTES; i++) {
        at[i] = (uint8_t)pattern[i % PATTERN_BYTES];
    }
}

static bool parse(const char *line, struct order *o)
{
    static const char *const words[] = {"read", "write", "message", "own"};
    char word[16];
    int n = sscanf(line, "%15s %39s %" SCNi64 " %" SCNi32, word, o->name, (int64_t *)&o->iova,
                   (int32_t *)&o->len);

    for (unsigned k = 0; k < sizeof(words) / sizeof(words[0]); k++) {
        if (n >= 2 && strcmp(word, words[k]) == 0) {
            o->kind = (enum kind)k;
            return n == 4 || o->kind == KIND_OWN;
        }
    }
    return false;
}

static void load(struct worker *w, const struct order *o)
{
    fill(w->from.at, o->kind == KIND_READ ? IDLE : MARKER);
    edu_fetch(&w->edu, w->from.gpa, PAGE_BYTES);
}

static void act(struct worker *w, const struct order *o)
{
    switch (o->kind) {
    case KIND_READ:
        edu_fetch(&w->edu, o->iova, o->len);
        break;
    case KIND_WRITE:
        edu_store(&w->edu, o->iova, o->len);
        break;
    case KIND_MESSAGE:
        edu_wait(&w->edu);
        edu_message(&w->edu, o->iova, (uint16_t)o->len);
        break;
    case KIND_OWN:
        break; /* the buffer holds the marker; looking at it is the way back */
    }
}

static void look(struct worker *w)
{
    memset(w->to.at, 0xff, PAGE_BYTES);
    edu_store(&w->edu, w->to.gpa, PAGE_BYTES);
}

static unsigned count_nonzero(const uint8_t *at, uint32_t len)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < len; i++) {
        n += at[i] != 0;
    }
    return n;
}

static void answer(const struct worker *w, const struct order *o)
{
    if (o->kind == KIND_READ) {
        uint32_t part = o->len < PATTERN_BYTES ? o->len : PATTERN_BYTES;
        bool idle = memcmp(w->to.at, IDLE, part) == 0;

        printf("CORDON-ROGUE read %s %#" PRIx64 " leaked=%u%s first=", o->name, o->iova,
               count_nonzero(w->to.at, o->len), idle ? " idle" : "");
        for (unsigned i = 0; i < 8 && i < o->len; i++) {
            printf("%02x", w->to.at[i]);
        }
        printf("\n");
    } else if (o->kind == KIND_OWN) {
        printf("CORDON-ROGUE own %s %s\n", o->name,
               memcmp(w->from.at, w->to.at, PAGE_BYTES) == 0 ? "good" : "bad");
    } else {
        printf("CORDON-ROGUE %s %s %#" PRIx64 " sent\n",
               o->kind == KIND_WRITE ? "write" : "message", o->name, o->iova);
    }
}

/* One order a worker, step by step: load, act, look, answer. */
static void run_wave(struct worker *w, const struct order *o, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        load(&w[i], &o[i]);
    }
    for (size_t i = 0; i < count; i++) {
        act(&w[i], &o[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (o[i].kind == KIND_READ || o[i].kind == KIND_OWN) {
            look(&w[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        edu_wait(&w[i].edu);
        answer(&w[i], &o[i]);
    }
}

static void run_all(struct worker *w, size_t workers, const struct order *o, size_t count)
{
    for (size_t at = 0; at < count; at += workers) {
        run_wave(w, &o[at], count - at < workers ? count - at : workers);
    }
    printf("CORDON-ROGUE done orders=%zu\n", count);
}

int main(void)
{
    static struct order orders[ORDERS_MAX];
    struct worker workers[EDU_MAX];
    struct edu edu[EDU_MAX];
    size_t count = edu_open(edu, EDU_MAX), pending = 0;
    char line[128];

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){.edu = edu[i], .from = page_get(), .to = page_get()};
    }
    printf("CORDON-ROGUE ready edus=%zu\n", count);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (strncmp(line, "quit", 4) == 0) {
            return 0;
        }
        if (strncmp(line, "go", 2) == 0) {
            run_all(workers, count, orders, pending);
            pending = 0;
        } else if (pending == ORDERS_MAX || !parse(line, &orders[pending])) {
            printf("CORDON-ROGUE refused %s", line);
        } else if (orders[pending].len == 0 || orders[pending].len > PAGE_BYTES) {
            orders[pending].len = orders[pending].kind == KIND_MESSAGE ? orders[pending].len : 64;
            pending++;
        } else {
            pending++;
        }
    }
    return 0;
}
