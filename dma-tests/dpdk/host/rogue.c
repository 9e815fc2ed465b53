/*
 * One segment of a chain has a wrong IOVA: nothing of it lands, and the fault names it.
 *
 * Every kind of wrong address, in the first, a middle and the last segment, for reads and writes.
 * Two guests, red and blue; red's port is the one that is wrong. All of the machine's RAM is
 * compared with what it should be after each case. In the control nothing confines the port, and
 * what is aimed at another's memory must be seen to leak.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "chain.h"
#include "lib/json.h"
#include "lib/tool.h"
#include "port.h"

#define DEVICE 0x10u
#define BLUE 33u     /* the pattern of blue's memory */
#define FIRMWARE 44u /* of what firmware left */
#define LONG 64u     /* bytes of a segment: no wrong one crosses a page */
#define POISON 0xee

struct world {
    struct machine m;
    struct guest red, blue;
    struct port port;
    struct stock stock;
    uint8_t *before;          /* RAM, before a case */
    uint8_t *secret, *own;    /* a page of blue's, and of red's */
    struct area quiet, fixed; /* of red: not for devices, and not to be written */
};

/* ---- where a wrong segment leads ----------------------------------------------------------- */

static uint64_t to_a_hole(struct world *w)
{
    return w->red.small.gpa + w->red.small.len + 0x123440;
}

static uint64_t beyond_the_width(struct world *w)
{
    (void)w;
    return UINT64_C(1) << 45 | 0x40;
}

static uint64_t to_blue_as_it_says(struct world *w)
{
    return iova_of(w->secret) + 0x40;
}

static uint64_t to_blue(struct world *w)
{
    return hpa_of(&w->blue, w->secret) + 0x40;
}

/* Red's own memory, by an address that only the machine knows. */
static uint64_t to_itself(struct world *w)
{
    return hpa_of(&w->red, w->own) + 0x80;
}

static uint64_t to_a_table(struct world *w)
{
    struct cordon_walk walk = {.size = sizeof(walk)};
    int err = cordon_walk(w->blue.d, 0, cordon_gpa_make(w->blue.small.gpa), 0, &walk);

    must(err == 0 && walk.step_count != 0, "blue has no tables", err);
    return walk.step[walk.step_count - 1].word.v & ~(PAGE_4K - 1);
}

static uint64_t to_firmware(struct world *w)
{
    (void)w;
    return RAM_HPA + 0x2080;
}

static uint64_t to_the_iommu(struct world *w)
{
    (void)w;
    return IOMMU_HPA;
}

static uint64_t to_quiet_memory(struct world *w)
{
    return w->quiet.iova[0] + 0x40;
}

static uint64_t to_fixed_memory(struct world *w)
{
    return w->fixed.iova[0] + 0x40;
}

static const struct kind {
    const char *name;
    uint64_t (*iova)(struct world *w);
    bool only_write; /* reading it is right */
} kinds[] = {
    {"hole", to_a_hole, false},
    {"width", beyond_the_width, false},
    {"other-guest-gpa", to_blue_as_it_says, false},
    {"other-guest", to_blue, false},
    {"own-frame", to_itself, false},
    {"table", to_a_table, false},
    {"firmware", to_firmware, false},
    {"iommu-registers", to_the_iommu, false},
    {"no-dma", to_quiet_memory, false},
    {"read-only", to_fixed_memory, true},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const struct place {
    const char *name;
    uint32_t of, index; /* of OF segments */
} places[] = {
    {"only", 1, 0}, {"first", 40, 0}, {"middle", 40, 20}, {"last", 40, 39}, {"second", 2, 1},
};

#define PLACES (sizeof(places) / sizeof(places[0]))

/* ---- one case ------------------------------------------------------------------------------ */

struct result {
    bool stopped;    /* the IOMMU refused the wrong segment */
    uint64_t landed; /* bytes of RAM that are not as they should be */
    uint64_t leaked; /* bytes of the wrong segment that came over the wire */
    uint64_t wrong;  /* bytes of the right segments that did not come */
    bool named;      /* one report, with device, guest, address and access */
    struct cordon_fault fault;
};

/* Bytes of RAM that changed, but for the fault queue's. Afterwards RAM is as it was. */
static uint64_t strays(struct world *w)
{
    uint64_t count = 0;

    for (uint64_t at = 0; at < RAM_LEN; at += PAGE_4K) {
        uint8_t *is = w->m.ram + at, *was = w->before + at;

        if (memcmp(is, was, PAGE_4K) == 0) {
            continue;
        }
        if (machine_is_fault_queue(&w->m, RAM_HPA + at)) {
            memcpy(was, is, PAGE_4K);
            continue;
        }
        for (uint64_t i = 0; i < PAGE_4K; i++) {
            count += is[i] != was[i];
        }
        memcpy(is, was, PAGE_4K);
    }
    return count;
}

static struct rte_mbuf *make_chain(struct world *w, const struct place *place)
{
    struct shape shapes[CHAIN_SEGMENTS];
    struct rte_mbuf *chain;

    for (uint32_t i = 0; i < place->of; i++) {
        shapes[i] = (struct shape){.len = LONG, .at = 64 * i};
    }
    chain = chain_make(&w->stock, shapes, place->of, CHAIN_SEGMENTS);
    chain_fill(chain, (struct pattern){DEVICE, 1});
    return chain;
}

/* The port does what the chain says, and after a fault the rest of it. */
static bool go(struct world *w, const struct rte_mbuf *chain, bool write)
{
    uint32_t count, done = 0;

    (void)port_put_chain(&w->port, chain, write, 0);
    count = w->port.used;
    if (port_kick(&w->port, &done) == 0) {
        return false;
    }
    if (done + 1 < count) {
        (void)cordon_sg_run(w->port.sg, w->port.ring_iova + 32ull * (done + 1), count - done - 1,
                            NULL);
    }
    return true;
}

static void take_fault(struct world *w, uint64_t iova, bool write, struct result *r)
{
    const struct cordon_fault *f = &r->fault;
    struct cordon_fault more;

    r->named = machine_fault(&w->m, &r->fault) && !machine_fault(&w->m, &more) && f->count == 1 &&
               f->device_id == DEVICE && strcmp(f->device, "red.0") == 0 &&
               f->domain == cordon_domain_number(w->red.d) && f->iova.v == iova &&
               f->access == (write ? CORDON_WRITE : CORDON_READ);
}

/* What the right segments write is what stands there already: whatever changes in RAM is wrong. */
static struct result do_case(struct world *w, const struct kind *kind, const struct place *place,
                             bool write)
{
    const struct pattern right = {DEVICE, 1};
    uint64_t iova = kind->iova(w), wrong = LONG * place->index, behind = wrong + LONG;
    struct rte_mbuf *chain = make_chain(w, place), *segment = chain;
    uint64_t own_iova;
    struct pattern_wrong bytes = {0};
    struct result r = {0};

    for (uint32_t i = 0; i < place->index; i++) {
        segment = segment->next;
    }
    own_iova = segment->buf_iova;
    segment->buf_iova = iova - segment->data_off;
    if (write) {
        pattern_fill(right, 0, w->port.wire, LONG * place->of);
        memset(w->port.wire + wrong, POISON, LONG);
    } else {
        memset(w->port.wire, POISON, LONG * place->of);
    }
    w->port.used = 0;
    (void)port_put_chain(&w->port, chain, write, 0); /* the ring is RAM, too */
    w->port.used = 0;
    memcpy(w->before, w->m.ram, RAM_LEN);
    r.stopped = go(w, chain, write);
    r.landed = strays(w);
    for (uint32_t i = 0; i < LONG; i++) {
        r.leaked += w->port.wire[wrong + i] != POISON;
    }
    (void)pattern_check(right, 0, w->port.wire, wrong, &bytes);
    (void)pattern_check(right, behind, w->port.wire + behind, LONG * place->of - behind, &bytes);
    r.wrong = bytes.count;
    take_fault(w, iova, write, &r);
    segment->buf_iova = own_iova; /* it goes back to its pool */
    chain_free(chain);
    return r;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static void open_own(struct world *w, struct area *a, const char *heap, uint32_t perms,
                     uint32_t flags)
{
    uint64_t gpa = w->red.small.gpa + (UINT64_C(32) << 20) + (a == &w->fixed ? PAGE_2M : 0);
    int err;

    *a = (struct area){.gpa = gpa,
                       .len = 16 * PAGE_4K,
                       .page = PAGE_4K,
                       .perms = perms,
                       .flags = flags,
                       .heap = heap};
    err = area_open(&w->red, a);
    must(err == 0, "red's memory", err);
}

/* A page that DPDK of a guest has filled. */
static uint8_t *page_of(struct guest *g, uint32_t port)
{
    uint8_t *page = rte_malloc_socket("page", PAGE_4K, PAGE_4K, g->small.socket);

    must(page != NULL, "no page of a guest", 0);
    pattern_fill((struct pattern){port, 1}, 0, page, PAGE_4K);
    return page;
}

static void open_world(struct world *w, bool confined, uint64_t seed)
{
    const struct pattern firmware = {FIRMWARE, 1};

    machine_open(&w->m, confined, seed);
    guest_open(&w->red, &w->m, "red", UINT64_C(0x1000000000));
    guest_open(&w->blue, &w->m, "blue", UINT64_C(0x2000000000));
    open_own(w, &w->quiet, "red.quiet", CORDON_RW, CORDON_REGION_NODMA);
    open_own(w, &w->fixed, "red.fixed", CORDON_READ, 0);
    port_open(&w->port, &w->red, DEVICE, "red.0", CORDON_DRAIN_IOMMU);
    stock_open(&w->stock, &w->red, "stock");
    w->own = page_of(&w->red, DEVICE);
    w->secret = page_of(&w->blue, BLUE);
    pattern_fill(firmware, 0, w->m.ram, FIRMWARE_LEN);
    w->before = malloc(RAM_LEN);
    must(w->before != NULL, "no memory", 0);
    machine_open_up(&w->m);
}

static void close_world(struct world *w)
{
    struct area *own[] = {&w->quiet, &w->fixed};

    free(w->before);
    rte_free(w->secret);
    rte_free(w->own);
    stock_close(&w->stock);
    port_close(&w->port);
    for (size_t i = 0; i < 2; i++) {
        area_forget(&w->red, own[i]);
        free(own[i]->extents);
    }
    guest_close(&w->blue);
    guest_close(&w->red);
    machine_close(&w->m);
}

static void tell_case(const struct kind *kind, const struct place *place, bool write,
                      const struct result *r)
{
    json_open(NULL);
    json_text("kind", kind->name);
    json_text("segment", place->name);
    json_text("access", write ? "write" : "read");
    json_bool("stopped", r->stopped);
    json_number("landed", r->landed);
    json_number("leaked", r->leaked);
    json_number("wrong_bytes", r->wrong);
    json_bool("named", r->named);
    json_text("device", r->fault.device);
    json_number("iova", r->fault.iova.v);
    json_number("cause", r->fault.cause);
    json_close();
}

/* Whether all cases were confined and told. */
static bool do_all(struct world *w)
{
    uint64_t cases = 0, good = 0;

    json_open(NULL);
    json_text("program", tool_name());
    json_bool("confined", w->m.confined);
    json_list("cases");
    for (size_t i = 0; i < 2 * KINDS * PLACES; i++) {
        const struct kind *kind = &kinds[i / 2 / PLACES];
        const struct place *place = &places[i / 2 % PLACES];
        bool write = i % 2 != 0;

        if (kind->only_write && !write) {
            continue;
        }
        struct result r = do_case(w, kind, place, write);

        cases++;
        good += r.stopped && r.landed == 0 && r.leaked == 0 && r.wrong == 0 && r.named;
        tell_case(kind, place, write, &r);
    }
    json_close();
    json_number("good", good);
    json_bool("passed", good == cases);
    json_close();
    return good == cases;
}

static const char doc[] =
    "Sends and receives chains of mbufs in which one segment has a wrong IOVA, of every "
    "kind and at every place, through a DMA engine behind the software IOMMU, and looks at "
    "all of RAM.\v"
    "Prints one line of JSON. Exit status: 0 all was confined and told, 1 not, 3 it could "
    "not run, 64 a wrong command line.";

int main(int argc, char **argv)
{
    static const struct argp_child children[] = {{&machine_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {NULL, NULL, NULL, doc, children, NULL, NULL};
    static struct world w;
    struct machine_options s = {.seed = 1};
    bool good;

    dpdk_start(&argp, argc, argv, &s);
    open_world(&w, !s.control, s.seed);
    good = do_all(&w);
    close_world(&w);
    tool_end(good ? TOOL_PASSED : TOOL_FAILED);
}
