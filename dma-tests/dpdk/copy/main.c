/*
 * copy: a DMA engine (rte_dmadev) moves blocks of memory, each byte checked, and those beside them.
 */
#include "copy/block.h"
#include "lib/json.h"
#include "lib/stall.h"
#include "lib/tool.h"
#include <inttypes.h>
#include <rte_cycles.h>
#include <stdio.h>

#define STALL_MS 3000u
#define LOOK_MS 10u
#define LEAST 2048u /* blocks of a run that is not told how many */

const char *argp_program_bug_address = NULL;

struct settings {
    const char *engine; /* null: the first */
    uint32_t blocks;    /* 0: as many as it takes */
    uint16_t ring;
    struct shape_limits limits;
};

static const struct argp_option options[] = {
    {"engine", 'd', "NAME", 0, "the DMA engine (default: the first that DPDK finds)", 0},
    {"blocks", 'n', "N", 0, "to move (default: all sizes, each in 1 to 40 pieces, in every way)",
     0},
    {"every-size", 'e', NULL, 0, "every size from 1 to 16384, not only those beside powers of two",
     0},
    {"size", 's', "BYTES", 0, "every block is so long (40 to 16384), in pieces of equal length", 0},
    {"pieces", 'g', "N", 0, "of a block, at most (default: 40)", 0},
    {"ring", 'r', "N", 0, "descriptors of the engine's ring (default: 256)", 0},
    {0},
};

static const char doc[] =
    "Have a DMA engine (rte_dmadev) copy, gather, scatter and fill memory, every byte checked.\v"
    "A block has a piece whose size, alignment and place (across a border of 4 KiB or 2 MiB) the "
    "program goes through; others stand before and behind it. The engine brings them to one "
    "place, or to other pieces. What stands beside where it writes must stay.\n\n"
    "The result is one line of JSON; what the engine cannot do stands in \"skipped\". Exit status: "
    "0 all right, 1 something was wrong, 3 it could not run.\n\n"
    "  copy                                 the first engine of this guest\n"
    "  copy --size 4096 --pieces 1          how many are moved and checked a second\n"
    "  copy -- --vdev=dma_skeleton --iova-mode=va --no-pci\n"
    "                                       DPDK's own software, where there is none";

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct settings *s = state->input;

    switch (key) {
    case 'd':
        s->engine = text;
        break;
    case 'n':
        s->blocks = (uint32_t)tool_number(text, 1, (1u << PATTERN_SEQUENCE_BITS) - 1, state);
        break;
    case 'e':
        s->limits.every_size = true;
        break;
    case 's':
        s->limits.size = (uint32_t)tool_number(text, SHAPE_SEGMENTS_MAX, SHAPE_SIZE_MAX, state);
        break;
    case 'g':
        s->limits.segments_max = (uint32_t)tool_number(text, 1, SHAPE_SEGMENTS_MAX, state);
        break;
    case 'r':
        s->ring = (uint16_t)tool_number(text, 2, 32768, state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

struct run {
    struct engine engine;
    struct shape_limits limits;
    struct arena from, to;
    struct block block[BLOCKS_AHEAD];
    uint32_t count, made, begun, done;
    uint64_t of_kind[BLOCK_KINDS], bytes;
    uint32_t bad;    /* blocks with wrong bytes, or with changed ones beside them */
    uint32_t failed; /* blocks that the engine itself reports */
    struct block_wrong wrong;
};

/* Give the engine what there is room for; how many that were. */
static uint32_t begin(struct run *r)
{
    uint32_t before = r->begun;

    while (r->begun < r->count && r->begun - r->done < BLOCKS_AHEAD) {
        struct block *b = &r->block[r->begun % BLOCKS_AHEAD];

        if (r->made == r->begun) {
            block_make(b, r->made++, &r->limits, r->engine.fills, &r->from, &r->to);
        }
        if (!block_start(b, &r->engine)) {
            break;
        }
        r->begun++;
    }
    if (r->begun != before) {
        engine_go(&r->engine);
    }
    return r->begun - before;
}

static void say_bad(const struct run *r, const struct block *b)
{
    char text[160];

    if (r->wrong.bytes.count != 0) {
        fprintf(stderr, "%s: block %u (%s, %u pieces to %u): %s\n", tool_name(), b->number,
                block_kind_name(b->kind), b->from_count, b->to_count,
                pattern_say(&r->wrong.bytes, text, sizeof text));
    } else {
        fprintf(stderr,
                "%s: block %u (%s, %u pieces to %u): %" PRIu64 " bytes beside it have changed\n",
                tool_name(), b->number, block_kind_name(b->kind), b->from_count, b->to_count,
                r->wrong.beside);
    }
}

static void take(struct run *r, bool right)
{
    const struct block *b = &r->block[r->done++ % BLOCKS_AHEAD];

    r->of_kind[b->kind]++;
    if (!right && r->failed++ == 0) {
        fprintf(stderr, "%s: block %u: the engine itself reports an error\n", tool_name(),
                b->number);
    }
    for (unsigned k = 0; k < b->to_count; k++) {
        r->bytes += b->to[k].len;
    }
    if (!block_check(b, &r->wrong) && r->bad++ == 0) {
        say_bad(r, b);
    }
}

/* True: all was done. False: nothing is any more. */
static bool run(struct run *r)
{
    uint64_t ms = rte_get_timer_hz() / 1000;
    struct stall stall = {ms * STALL_MS, ms * LOOK_MS, rte_get_timer_cycles(), 0};
    bool right[ENGINE_BURST];

    while (r->done < r->count) {
        uint32_t moved = begin(r);
        unsigned done = engine_done(&r->engine, right);

        if (done > r->begun - r->done) {
            fprintf(stderr, "%s: the engine reports %u blocks as done, %u are under way\n",
                    tool_name(), done, r->begun - r->done);
            return false;
        }
        for (unsigned i = 0; i < done; i++) {
            take(r, right[i]);
        }
        if (stall_look(&stall, rte_get_timer_cycles(), moved + done != 0)) {
            fprintf(stderr,
                    "%s: nothing has been done for %u ms; %u of %u blocks are under way%s\n",
                    tool_name(), STALL_MS, r->begun - r->done, r->count,
                    r->begun == r->done ? ": the ring is too small for one" : "");
            return false;
        }
    }
    return true;
}

/* ---- the result ----------------------------------------------------------------------------- */

static void say_engine(const struct engine *e)
{
    json_open("engine");
    json_text("name", e->name);
    json_number("ring", e->ring);
    json_number("pieces", e->pieces);
    json_bool("fills", e->fills);
    json_bool("takes_pointers", e->takes_pointers);
    json_close();
}

static void say_skipped(const struct run *r, const struct settings *s)
{
    json_list("skipped");
    if (r->engine.pieces == 1 && s->limits.segments_max > 1) {
        json_text(NULL, "blocks of several pieces: the engine neither gathers nor scatters");
    } else if (r->limits.segments_max < s->limits.segments_max) {
        char text[64];

        snprintf(text, sizeof text, "more than %u pieces: the engine takes no more",
                 r->engine.pieces);
        json_text(NULL, text);
    }
    if (!r->engine.fills) {
        json_text(NULL, "fills: the engine has none");
    }
    json_close();
}

static void say(const struct run *r, const struct settings *s, bool passed, uint64_t us)
{
    json_open(NULL);
    json_text("program", tool_name());
    json_bool("passed", passed);
    say_engine(&r->engine);
    json_number("blocks", r->count);
    json_number("done", r->done);
    for (unsigned kind = 0; kind < BLOCK_KINDS; kind++) {
        json_number(block_kind_name(kind), r->of_kind[kind]);
    }
    json_number("bytes", r->bytes);
    json_number("bad", r->bad);
    json_number("wrong", r->wrong.bytes.count);
    json_number("beside", r->wrong.beside);
    json_number("failed", r->failed);
    json_number("refused", r->engine.refused);
    json_number("ring_wraps", r->begun / r->engine.ring);
    arena_say(&r->to.seen);
    say_skipped(r, s);
    json_number("us", us);
    json_number("blocks_per_second", us == 0 ? 0 : r->done * UINT64_C(1000000) / us);
    json_close();
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, take_option, "[-- EAL-OPTION...]", doc, 0, 0, 0};
    struct settings s = {.ring = 256, .limits = {SHAPE_SIZE_MAX, SHAPE_SEGMENTS_MAX, false, 0, 1}};
    static struct run r;

    tool_start(&argp, argc, argv, &s);
    engine_open(&r.engine, s.engine, s.ring);
    r.limits = s.limits;
    if (r.limits.segments_max > r.engine.pieces) {
        r.limits.segments_max = r.engine.pieces;
    }
    arena_make(&r.from, "from");
    arena_make(&r.to, "to");
    r.count = block_round(&r.limits, r.engine.fills);
    r.count = s.blocks != 0 ? s.blocks : r.count < LEAST ? LEAST : r.count;

    uint64_t start = rte_get_timer_cycles();
    bool passed = run(&r);
    uint64_t us = (rte_get_timer_cycles() - start) * 1000000 / rte_get_timer_hz();

    passed = passed && r.bad + r.failed == 0;
    engine_close(&r.engine);
    say(&r, &s, passed, us);
    tool_end(passed ? TOOL_PASSED : TOOL_FAILED);
}
