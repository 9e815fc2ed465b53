/*
 * contig: zones of memory with contiguous bus addresses, as large as this guest's huge pages give
 * them, and the guest's own pool; a network card fetches from each and stores into each, at its
 * begin, across its middle and up to its end.
 */
#include "contig/zone.h"
#include "lib/json.h"
#include "lib/line.h"
#include "lib/tool.h"
#include <string.h>

#define LEAST 4096u
#define MOST (UINT64_C(1) << 40)

static const char doc[] =
    "Have port 0 send out of memory whose bus addresses are contiguous, and port 1 receive into "
    "it: zones from 4 KiB up to what the huge pages give, and the pool that the device tree "
    "reserves."
    "\vOptions behind -- are EAL's.";

static struct line line;

/* A piece of a packet is fetched from z->at + OFFSET. */
static bool fetch(const struct zone *z, uint64_t offset)
{
    struct line_packet came;

    line_fill(z->at + offset, LINE_MIDDLE);
    line_send(&line, LINE_MIDDLE, z->iova + offset);
    line_take(&line, &came);
    memset(z->at + offset, 0, LINE_PIECE);
    return line_rest_right(&came, LINE_NONE);
}

/* A packet is stored there. (It has one piece: virtio's driver looks for the count of others where
 * the first one should have been.) */
static bool store(const struct zone *z, uint64_t offset)
{
    struct line_packet came;
    uint8_t want[LINE_PIECE];

    memset(z->at + offset, 0, LINE_PIECE);
    line_fill(want, LINE_FIRST);
    line_aim(&line, LINE_FIRST, z->iova + offset);
    line_send_one(&line);
    line_take(&line, &came);
    return came.len == LINE_PIECE && memcmp(z->at + offset, want, LINE_PIECE) == 0;
}

/* Use a zone, and say so. (A virtio card stores a header before the piece.) */
static bool use(const struct zone *z)
{
    const uint64_t offset[] = {64, z->len / 2 - LINE_PIECE / 2, z->len - LINE_PIECE};
    unsigned fetched = 0, stored = 0;

    for (unsigned i = 0; i < 3; i++) {
        fetched += fetch(z, offset[i]);
        stored += store(z, offset[i]);
    }
    json_open(NULL);
    json_number("bytes", z->len);
    json_number("iova", z->iova);
    json_number("fetched", fetched);
    json_number("stored", stored);
    json_close();
    return fetched == 3 && stored == 3;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "'%s': there is nothing to choose", arg);
    }
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.parser = parse, .args_doc = "[-- EAL-OPTION...]", .doc = doc};
    bool right = true;
    struct zone z;

    tool_start(&argp, argc, argv, NULL);
    line_open(&line, NULL);
    json_open(NULL);
    json_text("program", tool_name());
    json_list("zones");
    for (uint64_t len = LEAST; len <= MOST && zone_get(&z, len); len *= 2) {
        right = use(&z) && right;
        zone_put(&z);
    }
    json_close();
    json_list("pool");
    if (zone_of_pool(&z)) {
        right = use(&z) && right;
    }
    json_close();
    json_bool("passed", right);
    json_close();
    line_close(&line);
    tool_end(right ? TOOL_PASSED : TOOL_FAILED);
}
