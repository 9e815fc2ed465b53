/*
 * The APLIC under any sequence of accesses and wires, beside a second account of it that goes
 * source by source through the words of the specification [AIA 4.5.2, 4.7, 4.9].
 */
#include <string.h>

#include "aplic/aplic.h"
#include "fuzz.h"

#define VCPUS 3

struct source {
    bool wire, pending, enabled;
    uint32_t mode, target;
};

static struct {
    struct aplic aplic;
    struct source source[32];
    bool ie;
    uint32_t sent, expected;         /* messages in this step */
    uint32_t sum_sent, sum_expected; /* of their contents, whatever the order */
} t;

static uint32_t mix(uint32_t vcpu, uint32_t identity)
{
    return (vcpu + 1) * 2654435761u ^ identity * 40503u;
}

static void on_send(void *arg, uint32_t vcpu, uint32_t identity)
{
    (void)arg;
    must(vcpu < VCPUS);
    must(identity >= 1 && identity <= 2047);
    t.sent++;
    t.sum_sent += mix(vcpu, identity);
}

static void expect_message(uint32_t target)
{
    uint32_t vcpu = target >> 18, identity = target & 0x7FF;

    if (vcpu < VCPUS && identity != 0) {
        t.expected++;
        t.sum_expected += mix(vcpu, identity);
    }
}

static bool is_level(const struct source *s)
{
    return s->mode >= 6;
}

static bool input_of(const struct source *s)
{
    return s->mode >= 4 && s->wire != (bool)(s->mode & 1);
}

static void set_pending(struct source *s)
{
    if (s->mode != 0 && (!is_level(s) || input_of(s))) {
        s->pending = true;
    }
}

static void configure(struct source *s, uint32_t value)
{
    uint32_t mode = value & 7;

    s->mode = (value & 0x400) != 0 || mode == 2 || mode == 3 ? 0 : mode;
    if (s->mode == 0) {
        *s = (struct source){.wire = s->wire};
    }
    if (is_level(s)) {
        s->pending = input_of(s);
    }
}

static void set_wire(uint32_t number, bool level)
{
    struct source *s = &t.source[number & 31];
    bool before;

    aplic_wire_set(&t.aplic, number, level);
    if (number < 1 || number > 31) {
        return;
    }
    before = input_of(s);
    s->wire = level;
    if (!before && input_of(s)) {
        s->pending = true;
    }
    if (is_level(s) && !input_of(s)) {
        s->pending = false;
    }
}

/* Apply a register of one bit a source, or of a source's number, to source I. */
static void write_one(uint32_t i, uint32_t base)
{
    struct source *s = &t.source[i];

    if (base == 0x1C00) {
        set_pending(s);
    } else if (base == 0x1D00) {
        s->pending = false;
    } else if (base == 0x1E00) {
        s->enabled = s->mode != 0;
    } else if (base == 0x1F00) {
        s->enabled = false;
    }
}

static void write_bits(uint32_t offset, uint32_t value)
{
    uint32_t base = offset & ~0xFFu;

    for (uint32_t i = 1; i < 32; i++) {
        bool by_bits = (offset & 0xFF) == 0 && (value >> i & 1) != 0;
        bool by_number = (offset & 0xFF) == 0xDC && value == i;

        if (by_bits || by_number) {
            write_one(i, base);
        }
    }
}

static void write_register(uint32_t offset, uint32_t value)
{
    aplic_write(&t.aplic, offset, 4, value);
    if (offset == 0) {
        t.ie = (value & 0x100) != 0;
    } else if (offset < 0x80) {
        configure(&t.source[offset / 4], value);
    } else if (offset >= 0x1C00 && offset < 0x2000) {
        write_bits(offset, value);
    } else if (offset == 0x2000) {
        write_bits(0x1CDC, value);
    } else if (offset == 0x3000) {
        expect_message(value);
    } else if (offset > 0x3000 && offset < 0x3080) {
        struct source *s = &t.source[(offset - 0x3000) / 4];

        s->target = s->mode != 0 ? value & 0xFFFC07FF : 0;
    }
}

static void forward(void)
{
    for (uint32_t i = 1; i < 32; i++) {
        struct source *s = &t.source[i];

        if (t.ie && s->pending && s->enabled) {
            s->pending = false;
            expect_message(s->target);
        }
    }
}

static void compare(void)
{
    uint32_t pending = 0, enabled = 0, inputs = 0;

    for (uint32_t i = 1; i < 32; i++) {
        const struct source *s = &t.source[i];

        pending |= (uint32_t)s->pending << i;
        enabled |= (uint32_t)s->enabled << i;
        inputs |= (uint32_t)input_of(s) << i;
        must(aplic_read(&t.aplic, 4 * (uint64_t)i, 4) == s->mode);
        must(aplic_read(&t.aplic, 0x3000 + 4 * (uint64_t)i, 4) == s->target);
    }
    must(aplic_read(&t.aplic, 0, 4) == (t.ie ? 0x80000104 : 0x80000004));
    must(aplic_read(&t.aplic, 0x1C00, 4) == pending);
    must(aplic_read(&t.aplic, 0x1D00, 4) == inputs);
    must(aplic_read(&t.aplic, 0x1E00, 4) == enabled);
    must(t.sent == t.expected);
    must(t.sum_sent == t.sum_expected);
}

/* Registers are hit more often than an even choice would. */
static uint32_t pick_offset(struct input *in)
{
    static const uint32_t singles[] = {0x0000, 0x1C00, 0x1CDC, 0x1D00, 0x1DDC, 0x1E00, 0x1EDC,
                                       0x1F00, 0x1FDC, 0x2000, 0x2004, 0x3000, 0x1BC0, 0x4000};
    uint8_t kind = input_byte(in);

    switch (kind & 3) {
    case 0:
        return 4u * (kind >> 2 & 31);
    case 1:
        return 0x3000 + 4u * (kind >> 2 & 31);
    case 2:
        return singles[(kind >> 2) % (sizeof singles / sizeof singles[0])];
    default:
        return input_u32(in) & 0x7FFC;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct vdev_msi msi = {.send = on_send};

    memset(&t, 0, sizeof t);
    aplic_init(&t.aplic, VCPUS, &msi);
    while (in.left != 0) {
        uint8_t op = input_byte(&in);

        t.sent = t.expected = t.sum_sent = t.sum_expected = 0;
        if (op & 1) {
            set_wire(op >> 2, (op & 2) != 0);
        } else if ((op & 0x7E) == 0x7E) {
            aplic_write(&t.aplic, input_u32(&in), op >> 7 ? 8 : 2, input_u32(&in));
            (void)aplic_read(&t.aplic, input_u32(&in), 8);
        } else {
            uint32_t offset = pick_offset(&in);

            write_register(offset, op & 0x80 ? input_u32(&in) : input_byte(&in));
        }
        forward();
        compare();
    }
    return 0;
}
