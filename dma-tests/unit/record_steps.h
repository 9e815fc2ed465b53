/* Steps of a builder and a driver, done by hand, for tests of the recording port's order checker.
 */
#ifndef RECORD_STEPS_H
#define RECORD_STEPS_H

#include "map_bench.h"

#define ROOT UINT64_C(0x10) /* frame numbers */
#define MIDDLE UINT64_C(0x20)
#define LEAVES UINT64_C(0x21)
#define COPY UINT64_C(0x22)
#define RAM UINT64_C(0x1000)
#define DOMAIN 3u
#define VMID 77u
#define HARTS UINT64_C(0x8000000000000005) /* that run it */
#define GFN UINT64_C(0x80000)

#define IOTINVAL (UINT64_C(0x81) | BIT64(33))
#define IOTINVAL_PAGE (IOTINVAL | BIT64(10))
#define IOFENCE UINT64_C(2)

static struct port_record r;
static uint64_t memory[64][512]; /* frames 0x00 to 0x3f */

static inline void store(uint64_t hfn, unsigned index, uint64_t value)
{
    port_store64(&r, &memory[hfn][index], cordon_hpa_make(hfn * PAGE + index * 8), value);
}

static inline uint64_t leaf(uint64_t hfn, uint64_t perms)
{
    return 0xd1 | perms << 1 | hfn << 10;
}

static inline uint64_t table(uint64_t hfn)
{
    return 1 | hfn << 10;
}

static inline void claim(uint64_t hfn, uint64_t pages, uint64_t word)
{
    port_note(&r, PORT_NOTE_CLAIM, hfn * PAGE | (pages - 1), word);
}

static inline void release(uint64_t hfn, uint64_t pages)
{
    port_note(&r, PORT_NOTE_FREE, hfn * PAGE | (pages - 1), 0);
}

static inline uint64_t owned(uint64_t gfn)
{
    return CORDON_FRAME_OWNED | DOMAIN << 3 | gfn << 16;
}

static inline void harts(uint64_t gpa, uint64_t len)
{
    cordon_port_hart_fence(&r, HARTS, VMID, cordon_gpa_make(gpa), len);
}

/* Harts run a domain. */
static inline void enter(uint32_t domain, uint32_t vmid, uint64_t which, uint64_t root)
{
    for (uint64_t h = 0; h < 64; h++) {
        if ((which >> h & 1) != 0) {
            port_note(&r, PORT_NOTE_ENTER, domain | h << 16 | (uint64_t)vmid << 32, root * PAGE);
        }
    }
}

static inline void command(uint64_t word, uint32_t gscid, uint64_t page)
{
    port_note(&r, PORT_NOTE_COMMAND, word | (uint64_t)gscid << 44, page << 10);
}

static inline void done(void)
{
    port_note(&r, PORT_NOTE_DRAIN, DOMAIN, 0);
}

/* A root, a middle table, a leaf table with two leaves, all in order. */
static inline int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof(memory));
    record_init(&r, NULL);
    claim(ROOT, 4, CORDON_FRAME_TABLE);
    claim(MIDDLE, 1, CORDON_FRAME_TABLE);
    claim(LEAVES, 1, CORDON_FRAME_TABLE);
    claim(COPY, 1, CORDON_FRAME_TABLE);
    claim(RAM, 8, owned(GFN));
    enter(DOMAIN, VMID, HARTS, ROOT);
    store(LEAVES, 0, leaf(RAM, 3));
    store(LEAVES, 1, leaf(RAM + 1, 3));
    store(MIDDLE, 0, table(LEAVES));
    port_fence(&r);
    store(ROOT, 2, table(MIDDLE));
    port_fence(&r);
    assert_null(record_broken(&r));
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    record_end(&r);
    return 0;
}

static inline void broken(const char *text)
{
    assert_non_null(record_broken(&r));
    assert_string_equal(record_broken(&r), text);
    assert_int_not_equal(record_broken_at(&r), 0);
    assert_true(record_broken_at(&r) <= r.sequence);
}

#endif
