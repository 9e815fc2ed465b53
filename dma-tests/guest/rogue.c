/*
 * rogue: drives edu functions at bus addresses that somebody outside names, and says what came
 * back.
 *
 * Reads orders from standard input, one a line; numbers are hexadecimal. "go" carries out those
 * read so far, as many side by side as there are edu functions, then answers a line each and
 * CORDON-ROGUE done. "quit" ends.
 *   read NAME IOVA LEN        fetch from the bus address; the answer counts bytes that are not zero
 *   write NAME IOVA LEN       store the marker there; whether it landed is for others to judge
 *   message NAME ADDR DATA    point edu's MSI there and raise it
 *   own NAME                  a page of our own: there and back must work (answers good or bad)
 * A refused fetch leaves edu's buffer zero; the buffer holds another pattern before, so that an edu
 * that did nothing at all is seen too. These are carried out at once, each with an answer:
 *   hole NAME GPA             give the page of ours that stands at GPA back
 *   giveback NAME             give a page back while DMA to it is going on
 *   take GPA                  take such a page again
 *   pool GPA LEN              sample the contiguous pool
 *   mark                      fill the pages that edu n works with: CORDON-PAGE-nn-F and -T
 *   bus N FROM TO             those pages of edu N stand there on the bus: for machines whose
 *                             devices do not go by guest addresses
 */
#include "lib/holes.h"
#include "lib/pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ORDERS_MAX 1024u
#define LINE_BYTES 128u

static struct {
    struct worker worker[EDU_MAX];
    size_t workers;
    struct own own;
    struct order order[ORDERS_MAX];
    size_t pending;
} rogue;

/* An order for later: true if LINE is one. */
static bool take_order(const char *line)
{
    static const char *const words[KIND_COUNT] = {"read", "write", "message", "own"};
    struct order o = {.kind = KIND_COUNT};
    char word[16];
    int n = sscanf(line, "%15s %39s %" SCNx64 " %" SCNx32, word, o.name, &o.iova, &o.len);

    for (unsigned k = 0; k < KIND_COUNT && n >= 2; k++) {
        if (strcmp(word, words[k]) == 0) {
            o.kind = (enum kind)k;
        }
    }
    if (o.kind == KIND_COUNT || (n != 4 && o.kind != KIND_OWN) || rogue.pending == ORDERS_MAX) {
        return false;
    }
    if (o.kind != KIND_MESSAGE && o.kind != KIND_OWN && (o.len == 0 || o.len > PAGE_BYTES)) {
        return false;
    }
    rogue.order[rogue.pending++] = o;
    return true;
}

static void mark(void)
{
    char pattern[PATTERN_BYTES + 1];

    for (size_t i = 0; i < rogue.workers; i++) {
        snprintf(pattern, sizeof(pattern), "CORDON-PAGE-%02zu-F", i % EDU_MAX);
        pattern_fill(rogue.worker[i].from.at, pattern);
        snprintf(pattern, sizeof(pattern), "CORDON-PAGE-%02zu-T", i % EDU_MAX);
        pattern_fill(rogue.worker[i].to.at, pattern);
    }
    printf("CORDON-ROGUE mark edus=%zu.\n", rogue.workers);
}

/* True if there is such an edu. */
static bool set_bus(size_t number, uint64_t from, uint64_t to)
{
    if (number >= rogue.workers) {
        return false;
    }
    rogue.worker[number].from.gpa = from;
    rogue.worker[number].to.gpa = to;
    printf("CORDON-ROGUE bus by=%zu.\n", number);
    return true;
}

/* An order for now: true if LINE is one, and it was carried out. */
static bool carry_out(const char *line)
{
    char name[NAME_BYTES];
    uint64_t at, len;
    size_t number;

    if (sscanf(line, "hole %39s %" SCNx64, name, &at) == 2) {
        hole_make(&rogue.own, name, at);
    } else if (sscanf(line, "giveback %39s", name) == 1) {
        hole_giveback(&rogue.own, rogue.worker, rogue.workers, name);
    } else if (sscanf(line, "take %" SCNx64, &at) == 1) {
        hole_take(&rogue.own, rogue.worker, at);
    } else if (sscanf(line, "pool %" SCNx64 " %" SCNx64, &at, &len) == 2) {
        pool_sample(&rogue.own, rogue.worker, rogue.workers, at, len);
    } else if (strncmp(line, "mark", 4) == 0) {
        mark();
    } else if (sscanf(line, "bus %zx %" SCNx64 " %" SCNx64, &number, &at, &len) == 3) {
        return set_bus(number, at, len);
    } else {
        return false;
    }
    return true;
}

static void go(void)
{
    waves_run(rogue.worker, rogue.workers, rogue.order, rogue.pending);
    printf("CORDON-ROGUE done orders=%zu.\n", rogue.pending);
    rogue.pending = 0;
}

int main(void)
{
    struct edu edu[EDU_MAX];
    char line[LINE_BYTES];

    setvbuf(stdout, NULL, _IOLBF, 0);
    rogue.workers = edu_open(edu, EDU_MAX);
    rogue.own = own_open();
    for (size_t i = 0; i < rogue.workers; i++) {
        rogue.worker[i] = (struct worker){.edu = edu[i], .from = page_get(), .to = page_get()};
    }
    printf("CORDON-ROGUE ready edus=%zu\n", rogue.workers);
    while (fgets(line, sizeof(line), stdin) != NULL && strncmp(line, "quit", 4) != 0) {
        if (strncmp(line, "go", 2) == 0) {
            go();
        } else if (!carry_out(line) && !take_order(line)) {
            printf("CORDON-ROGUE refused %s", line);
        }
    }
    hole_take_all(&rogue.own);
    return 0;
}
