/* An APLIC under test, with a record of the messages it sent. */
#ifndef UNIT_SUPPORT_APLIC_BENCH_H
#define UNIT_SUPPORT_APLIC_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "aplic/aplic.h"

/* Offsets from the specification, written out again. */
#define DOMAINCFG 0x0000
#define SOURCECFG(i) (4 * (uint64_t)(i))
#define SETIP 0x1C00
#define SETIPNUM 0x1CDC
#define IN_CLRIP 0x1D00
#define CLRIPNUM 0x1DDC
#define SETIE 0x1E00
#define SETIENUM 0x1EDC
#define CLRIE 0x1F00
#define CLRIENUM 0x1FDC
#define SETIPNUM_LE 0x2000
#define SETIPNUM_BE 0x2004
#define GENMSI 0x3000
#define TARGET(i) (0x3000 + 4 * (uint64_t)(i))
enum { INACTIVE = 0, DETACHED = 1, EDGE1 = 4, EDGE0 = 5, LEVEL1 = 6, LEVEL0 = 7 };

static struct {
    struct aplic aplic;
    struct {
        uint32_t vcpu, identity;
    } sent[64];
    unsigned count;
} t;

static inline void sent(void *arg, uint32_t vcpu, uint32_t identity)
{
    assert_ptr_equal(arg, &t);
    assert_true(t.count < 64);
    t.sent[t.count].vcpu = vcpu;
    t.sent[t.count++].identity = identity;
}

static inline int start(void **state)
{
    struct vdev_msi msi = {.arg = &t, .send = sent};

    (void)state;
    memset(&t, 0, sizeof t);
    aplic_init(&t.aplic, 4, &msi);
    return 0;
}

static inline uint32_t rd(uint64_t offset)
{
    return (uint32_t)aplic_read(&t.aplic, offset, 4);
}

static inline void wr(uint64_t offset, uint32_t value)
{
    aplic_write(&t.aplic, offset, 4, value);
}

static inline void wire(uint32_t source, bool level)
{
    aplic_wire_set(&t.aplic, source, level);
}

static inline uint32_t target(uint32_t hart, uint32_t identity)
{
    return hart << 18 | identity;
}

/* Source I in MODE, enabled, to hart 2 as identity 40+I; the domain enabled if IE. */
static inline void arm(uint32_t i, uint32_t mode, bool ie)
{
    wr(SOURCECFG(i), mode);
    wr(TARGET(i), target(2, 40 + i));
    wr(SETIENUM, i);
    wr(DOMAINCFG, ie ? 0x104 : 0x004);
    assert_int_equal(rd(SOURCECFG(i)), mode);
}

static inline void expect_one(uint32_t identity)
{
    assert_int_equal(t.count, 1);
    assert_int_equal(t.sent[0].vcpu, 2);
    assert_int_equal(t.sent[0].identity, identity);
    t.count = 0;
}

#endif
