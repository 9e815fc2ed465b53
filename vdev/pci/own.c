/*
 * Registers and commands of Cordon's own function. A command runs to its end inside the write that
 * starts it; another one that comes meanwhile, from another vCPU, is dropped: STATUS says BUSY.
 */
#include "pci/own.h"
#include <cordon/error.h>

/* What a command was asked with, taken out from under the lock. */
struct request {
    uint32_t command;
    cordon_gpa gpa;
    uint64_t len;
    struct cordon_run_want want;
};

struct answer {
    uint64_t result;
    uint64_t detail;
};

static bool is_offered(const struct own_function *o, uint32_t command)
{
    switch (command) {
    case OWN_GIVE:
        return o->calls.give != NULL;
    case OWN_TAKE:
        return o->calls.take != NULL;
    case OWN_RUN:
        return o->calls.run != NULL;
    case OWN_REPORT:
        return o->calls.report != NULL;
    case OWN_QUERY:
        return o->calls.query != NULL;
    case OWN_DISCARD:
        return o->calls.discard != NULL;
    case OWN_FILL:
        return o->calls.fill != NULL;
    case OWN_PIN:
    case OWN_UNPIN:
        return o->calls.pin != NULL;
    default:
        return false;
    }
}

static uint32_t commands_offered(const struct own_function *o)
{
    uint32_t bits = 0;

    for (uint32_t command = 1; command < OWN_COMMAND_END; command++) {
        bits |= is_offered(o, command) ? 1u << command : 0;
    }
    return bits;
}

/* ---- commands ------------------------------------------------------------------------------- */

static bool is_power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

static int check_len(const struct own_function *o, uint64_t len)
{
    if ((len & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    if (len == 0) {
        return -CORDON_ERANGE;
    }
    return len > o->len_limit ? -CORDON_ELIMIT : 0;
}

static int check_range(const struct own_function *o, const struct request *r)
{
    if ((r->gpa.v & (CORDON_PAGE_SIZE - 1)) != 0) {
        return -CORDON_EALIGN;
    }
    return r->gpa.v + r->len < r->gpa.v ? -CORDON_ERANGE : check_len(o, r->len);
}

static int check_want(const struct own_function *o, const struct cordon_run_want *want)
{
    int err = check_len(o, want->len);

    if (err != 0) {
        return err;
    }
    if (want->align != 0 && (!is_power_of_two(want->align) || want->align < CORDON_PAGE_SIZE)) {
        return -CORDON_EALIGN;
    }
    if (want->boundary != 0 && !is_power_of_two(want->boundary)) {
        return -CORDON_EALIGN;
    }
    if ((want->boundary != 0 && want->boundary < want->len) ||
        (want->highest != 0 && want->highest < want->len - 1)) {
        return -CORDON_ERANGE;
    }
    return 0;
}

static int check(const struct own_function *o, const struct request *r)
{
    if (r->command == 0 || r->command >= OWN_COMMAND_END) {
        return -CORDON_EINVAL;
    }
    if (!is_offered(o, r->command)) {
        return -CORDON_ENOTSUP;
    }
    if (r->command == OWN_RUN) {
        return check_want(o, &r->want);
    }
    if (r->command == OWN_REPORT) {
        return r->len == 0 || r->len > OWN_REPORT_BYTES ? -CORDON_ERANGE : 0;
    }
    return check_range(o, r);
}

static int perform(struct own_function *o, const struct request *r, struct answer *out)
{
    cordon_gpa gpa = {0};
    cordon_hpa first = {0};
    int err;

    switch (r->command) {
    case OWN_GIVE:
        return o->calls.give(o->calls.arg, r->gpa, r->len);
    case OWN_TAKE:
        return o->calls.take(o->calls.arg, r->gpa, r->len);
    case OWN_RUN:
        err = o->calls.run(o->calls.arg, &r->want, &gpa);
        out->result = err == 0 ? gpa.v : 0;
        return err;
    case OWN_REPORT:
        return o->calls.report(o->calls.arg, o->sending, (uint32_t)r->len);
    case OWN_DISCARD:
        return o->calls.discard(o->calls.arg, r->gpa, r->len, &out->result);
    case OWN_FILL:
        return o->calls.fill(o->calls.arg, r->gpa, r->len);
    case OWN_PIN:
    case OWN_UNPIN:
        return o->calls.pin(o->calls.arg, r->gpa, r->len, r->command == OWN_PIN);
    default:
        err = o->calls.query(o->calls.arg, r->gpa, r->len, &out->result, &first);
        out->detail = err == 0 && o->show_hpa ? first.v : 0;
        return err;
    }
}

/* Take the arguments, and the function; false if it is busy. */
static bool request_begin(struct own_function *o, uint32_t command, struct request *r)
{
    cordon_lock_take(&o->lock);
    bool idle = o->status != OWN_BUSY;

    if (idle) {
        o->status = OWN_BUSY;
        *r = (struct request){.command = command, .gpa = cordon_gpa_make(o->gpa), .len = o->len};
        r->want = (struct cordon_run_want){.size = sizeof(r->want),
                                           .len = o->len,
                                           .align = o->align,
                                           .boundary = o->boundary,
                                           .highest = o->highest};
        for (uint32_t i = 0; i < OWN_REPORT_BYTES; i++) {
            o->sending[i] = o->buffer[i];
        }
    }
    cordon_lock_give(&o->lock);
    return idle;
}

static void command_run(struct own_function *o, uint32_t command)
{
    struct request r;
    struct answer answer = {0};
    int err;

    if (!request_begin(o, command, &r)) {
        return;
    }
    err = check(o, &r);
    if (err == 0) {
        err = perform(o, &r, &answer);
    }
    cordon_lock_take(&o->lock);
    o->status = err == 0 || err == -CORDON_EPENDING ? OWN_DONE : OWN_REFUSED;
    o->error = (uint32_t)-err;
    o->result = answer.result;
    o->detail = answer.detail;
    cordon_lock_give(&o->lock);
}

/* ---- registers ------------------------------------------------------------------------------ */

/* The 64-bit register that guests may write at OFFSET (a multiple of 8), or null. */
static uint64_t *argument_at(struct own_function *o, uint64_t offset)
{
    switch (offset) {
    case OWN_REG_GPA:
        return &o->gpa;
    case OWN_REG_LEN:
        return &o->len;
    case OWN_REG_ALIGN:
        return &o->align;
    case OWN_REG_BOUNDARY:
        return &o->boundary;
    case OWN_REG_HIGHEST:
        return &o->highest;
    default:
        return NULL;
    }
}

/* The 8 bytes at OFFSET, a multiple of 8. */
static uint64_t registers_read(struct own_function *o, uint64_t offset)
{
    const uint64_t *argument = argument_at(o, offset);

    if (argument != NULL) {
        return *argument;
    }
    switch (offset) {
    case OWN_REG_MAGIC:
        return OWN_MAGIC | (uint64_t)OWN_VERSION << 32;
    case OWN_REG_COMMANDS:
        return commands_offered(o) | (uint64_t)OWN_REPORT_BYTES << 32;
    case OWN_REG_COMMAND:
        return (uint64_t)o->status << 32;
    case OWN_REG_ERROR:
        return o->error;
    case OWN_REG_RESULT:
        return o->result;
    case OWN_REG_DETAIL:
        return o->detail;
    case OWN_REG_LIMIT:
        return o->len_limit;
    default:
        break;
    }
    uint64_t value = 0;

    if (offset >= OWN_REG_BUFFER && offset - OWN_REG_BUFFER < OWN_REPORT_BYTES) {
        for (uint32_t i = 0; i < 8; i++) {
            value |= (uint64_t)o->buffer[offset - OWN_REG_BUFFER + i] << (8 * i);
        }
    }
    return value;
}

static uint64_t width_mask(unsigned width)
{
    return width == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * width)) - 1;
}

static uint64_t own_bar_read(void *state, uint32_t bar, uint64_t offset, unsigned width)
{
    struct own_function *o = state;

    (void)bar;
    cordon_lock_take(&o->lock);
    uint64_t value = registers_read(o, offset & ~UINT64_C(7));

    cordon_lock_give(&o->lock);
    return value >> (8 * (offset & 7)) & width_mask(width);
}

static void argument_write(struct own_function *o, uint64_t offset, unsigned width, uint64_t value)
{
    uint64_t shift = 8 * (offset & 7);
    uint64_t mask = width_mask(width) << shift;
    uint64_t *argument = argument_at(o, offset & ~UINT64_C(7));

    if (argument != NULL) {
        *argument = (*argument & ~mask) | (value << shift & mask);
    }
}

static void buffer_write(struct own_function *o, uint64_t offset, unsigned width, uint64_t value)
{
    for (uint32_t i = 0; i < width; i++) {
        o->buffer[offset + i] = (uint8_t)(value >> (8 * i));
    }
}

static void own_bar_write(void *state, uint32_t bar, uint64_t offset, unsigned width,
                          uint64_t value)
{
    struct own_function *o = state;

    (void)bar;
    if (offset == OWN_REG_COMMAND && width >= 4) {
        command_run(o, (uint32_t)value);
        return;
    }
    cordon_lock_take(&o->lock);
    if (offset >= OWN_REG_BUFFER && offset - OWN_REG_BUFFER < OWN_REPORT_BYTES) {
        buffer_write(o, offset - OWN_REG_BUFFER, width, value);
    } else {
        argument_write(o, offset, width, value);
    }
    cordon_lock_give(&o->lock);
}

static const struct vpci_ops own_ops = {.bar_read = own_bar_read, .bar_write = own_bar_write};

void own_init(struct own_function *o, const struct own_calls *calls, uint64_t len_limit,
              bool show_hpa)
{
    *o = (struct own_function){.calls = *calls, .len_limit = len_limit, .show_hpa = show_hpa};
    cordon_lock_init(&o->lock);
    o->fn = (struct vpci_function){.ops = &own_ops,
                                   .state = o,
                                   .id = OWN_VENDOR | OWN_DEVICE << 16,
                                   .class_code_revision = PCI_CLASS_PERIPHERAL << 8 | 1,
                                   .subsystem = OWN_VENDOR | OWN_DEVICE << 16};
    o->fn.bar[0] = (struct vpci_bar){.len = OWN_BAR_BYTES, .trapped = true};
}
