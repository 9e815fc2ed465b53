/* The registers of the fake: see fake_iommu.h. */
#include "fake_iommu.h"

#include <stdio.h>
#include <string.h>

#define MODE_MASK 15ull
#define BUSY_DDTP (1ull << 4)
#define PPN_MASK 0x3ffffffffffc00ull

#define CSR_EN 1u
#define CSR_ENABLES 3u
#define CSR_ERRORS 0xf00u
#define CSR_ON (1u << 16)
#define CSR_BUSY (1u << 17)

void fake_init(struct fake_iommu *f, uint64_t base, uint8_t *ram, uint64_t ram_hpa,
               uint64_t ram_len)
{
    memset(f, 0, sizeof(*f));
    f->base = base;
    f->ram = ram;
    f->ram_hpa = ram_hpa;
    f->ram_len = ram_len;
    f->capabilities = FAKE_CAPABILITIES;
    f->ddtp_modes = 0x1f;
    f->log2_max = 20;
    f->icvec_bits = 3;
}

void fake_violate(struct fake_iommu *f, const char *why)
{
    if (f->violations == 0) {
        snprintf(f->violation, sizeof(f->violation), "%s", why);
    }
    f->violations++;
}

void fake_log(struct fake_iommu *f, enum fake_event_kind kind, uint32_t reg, uint64_t value,
              uint64_t more)
{
    if (f->logged < FAKE_LOG) {
        f->log[f->logged] = (struct fake_event){kind, reg, value, more};
        f->logged++;
    }
}

/* ---- answers ------------------------------------------------------------------------------ */

static void answer_begin(struct fake_iommu *f, struct fake_answer *a)
{
    f->operations++;
    a->busy = true;
    a->left = f->delay;
    a->stuck =
        f->operations == f->never_at || (f->never_from != 0 && f->operations >= f->never_from);
}

/* A read goes by. True if the answer is here. */
static bool answer_tick(struct fake_answer *a)
{
    if (!a->busy || a->stuck) {
        return false;
    }
    if (a->left > 0) {
        a->left--;
        return false;
    }
    a->busy = false;
    return true;
}

static void queue_settle(struct fake_queue *q)
{
    uint32_t was = q->csr & CSR_EN;

    q->csr = (q->csr & ~CSR_ENABLES) | q->csr_next;
    if ((q->csr_next & CSR_EN) == 0) {
        q->csr &= ~CSR_ON;
    } else if (was == 0) {
        q->csr = (q->csr & ~CSR_ERRORS) | CSR_ON;
    }
}

static void fake_tick(struct fake_iommu *f)
{
    if (answer_tick(&f->ddtp_answer)) {
        uint64_t mode = f->ddtp_next & MODE_MASK;

        if ((f->ddtp_modes >> mode & 1) != 0 && !(mode == 0 && f->ddtp_ignores_off)) {
            f->ddtp = f->ddtp_next & (MODE_MASK | PPN_MASK);
        }
    }
    if (answer_tick(&f->cq.answer)) {
        bool was_on = (f->cq.csr & CSR_EN) != 0;

        queue_settle(&f->cq);
        f->cq.head = was_on ? f->cq.head : 0;
        f->doorbell = (struct fake_answer){.busy = false};
        fake_run_commands(f); /* whatever stands between head and tail */
    }
    if (answer_tick(&f->fq.answer)) {
        bool was_on = (f->fq.csr & CSR_EN) != 0;

        queue_settle(&f->fq);
        f->fq.tail = was_on ? f->fq.tail : 0;
    }
    if (answer_tick(&f->pq.answer)) {
        queue_settle(&f->pq);
    }
    if (answer_tick(&f->doorbell)) {
        fake_run_commands(f);
    }
    if (answer_tick(&f->tr_answer)) {
        f->tr_response = fake_debug(f, (uint32_t)(f->tr_ctl >> 40), f->tr_iova);
        f->tr_ctl &= ~1ull;
    }
}

void fake_answer_none(struct fake_iommu *f)
{
    f->never_from = f->operations + 1;
}

void fake_answer_all(struct fake_iommu *f)
{
    f->never_at = 0;
    f->never_from = 0;
    f->ill_from = 0;
    f->ddtp_ignores_off = false;
    f->ddtp_answer.stuck = false;
    f->cq.answer.stuck = false;
    f->fq.answer.stuck = false;
    f->pq.answer.stuck = false;
    f->doorbell.stuck = false;
    f->delay = 0;
    fake_tick(f);
}

/* ---- reads -------------------------------------------------------------------------------- */

static uint32_t csr_read(const struct fake_queue *q)
{
    return q->csr | (q->answer.busy ? CSR_BUSY : 0);
}

static uint64_t fake_read64(struct fake_iommu *f, uint32_t reg)
{
    switch (reg) {
    case 0x000:
        return f->capabilities;
    case 0x010:
        return f->ddtp | (f->ddtp_answer.busy ? BUSY_DDTP : 0);
    case 0x018:
        return f->cq.base;
    case 0x028:
        return f->fq.base;
    case 0x2f8:
        return f->icvec;
    case 0x260:
        return f->tr_ctl;
    case 0x268:
        return f->tr_response;
    default:
        fake_violate(f, "a 64-bit read where there is no such register");
        return 0;
    }
}

static uint32_t fake_read32(struct fake_iommu *f, uint32_t reg)
{
    switch (reg) {
    case 0x008:
        return f->fctl;
    case 0x020:
        return f->cq.head;
    case 0x024:
        return f->cq.tail;
    case 0x030:
        return f->fq.head;
    case 0x034:
        return f->fq.tail;
    case 0x048:
        return csr_read(&f->cq);
    case 0x04c:
        return csr_read(&f->fq);
    case 0x050:
        return (f->capabilities & FAKE_CAP_ATS) != 0 ? csr_read(&f->pq) : 0;
    case 0x054:
        return f->ipsr;
    default:
        fake_violate(f, "a 32-bit read where there is no such register");
        return 0;
    }
}

uint64_t fake_read(struct fake_iommu *f, uint64_t hpa, uint32_t width)
{
    uint32_t reg = (uint32_t)(hpa - f->base);

    fake_tick(f);
    return width == 8 ? fake_read64(f, reg) : fake_read32(f, reg);
}

/* ---- writes ------------------------------------------------------------------------------- */

static void write_ddtp(struct fake_iommu *f, uint64_t value)
{
    uint64_t mode = value & MODE_MASK;
    uint64_t was = f->ddtp & MODE_MASK;

    if (f->ddtp_answer.busy) {
        fake_violate(f, "ddtp written while busy");
        return;
    }
    if (mode == 1) {
        fake_violate(f, "ddtp set to Bare");
    }
    if (mode > 1 && was > 1) {
        fake_violate(f, "ddtp changed from one directory to another");
    }
    if (mode == 0 && (value & PPN_MASK) != (f->ddtp & PPN_MASK)) {
        fake_violate(f, "ddtp.PPN changed on the way to Off");
    }
    f->ddtp_next = value;
    answer_begin(f, &f->ddtp_answer);
}

static void write_queue_base(struct fake_iommu *f, struct fake_queue *q, uint32_t *index,
                             uint64_t value)
{
    uint32_t log2 = (uint32_t)(value & 31) + 1;

    if ((q->csr & CSR_ON) != 0 || q->answer.busy) {
        fake_violate(f, "a queue's base written while it is on");
    }
    if (log2 > f->log2_max) {
        log2 = f->log2_max;
    }
    q->base = (value & PPN_MASK) | (log2 - 1);
    *index = ~0u >> (32 - log2); /* "valid but otherwise UNSPECIFIED" */
}

static void write_csr(struct fake_iommu *f, struct fake_queue *q, uint32_t value)
{
    if (q->answer.busy) {
        fake_violate(f, "a queue's csr written while busy");
        return;
    }
    q->csr &= ~(value & CSR_ERRORS);
    q->csr_next = value & CSR_ENABLES;
    if (((q->csr ^ q->csr_next) & CSR_EN) != 0) {
        answer_begin(f, &q->answer);
    } else {
        q->csr = (q->csr & ~CSR_ENABLES) | q->csr_next;
    }
}

static void write_cqt(struct fake_iommu *f, uint32_t value)
{
    bool stuck = f->doorbell.stuck;

    f->cq.tail = value & (~0u >> (31 - (f->cq.base & 31)));
    if ((f->cq.csr & CSR_ON) != 0) {
        answer_begin(f, &f->doorbell);
        f->doorbell.stuck = f->doorbell.stuck || stuck; /* until the queue is turned off */
    }
}

static void write_fctl(struct fake_iommu *f, uint32_t value)
{
    if ((f->ddtp & MODE_MASK) != 0 ||
        ((f->cq.csr | f->fq.csr | f->pq.csr) & (CSR_ON | CSR_EN)) != 0) {
        fake_violate(f, "fctl written while something is on");
    }
    f->fctl = (f->fctl & f->fctl_fixed) | (value & ~f->fctl_fixed & 7);
}

static void write_icvec(struct fake_iommu *f, uint64_t value)
{
    uint64_t field = (1u << f->icvec_bits) - 1;

    f->icvec = value & (field | field << 4 | field << 8 | field << 12);
}

static void write_debug(struct fake_iommu *f, uint32_t reg, uint64_t value)
{
    if ((f->capabilities & FAKE_CAP_DBG) == 0 || f->tr_answer.busy) {
        fake_violate(f, "a debug register written that is busy, or not there");
    } else if (reg == 0x258) {
        f->tr_iova = value;
    } else {
        f->tr_ctl = value;
        f->asked++;
        answer_begin(f, &f->tr_answer);
    }
}

static void fake_write64(struct fake_iommu *f, uint32_t reg, uint64_t value)
{
    switch (reg) {
    case 0x010:
        write_ddtp(f, value);
        break;
    case 0x018:
        write_queue_base(f, &f->cq, &f->cq.tail, value);
        break;
    case 0x028:
        write_queue_base(f, &f->fq, &f->fq.head, value);
        break;
    case 0x2f8:
        write_icvec(f, value);
        break;
    case 0x258:
    case 0x260:
        write_debug(f, reg, value);
        break;
    default:
        fake_violate(f, "a 64-bit write where there is no such register");
    }
}

static void write_msi(struct fake_iommu *f, uint32_t reg, uint32_t value)
{
    uint32_t entry = (reg - 0x300) / 16;

    if (reg < 0x300 || entry >= 1u << f->icvec_bits || (reg & 15) != 12) {
        fake_violate(f, "a 32-bit write where there is no such register");
        return;
    }
    f->msi_ctl[entry] = value;
}

static void fake_write32(struct fake_iommu *f, uint32_t reg, uint32_t value)
{
    switch (reg) {
    case 0x008:
        write_fctl(f, value);
        break;
    case 0x024:
        write_cqt(f, value);
        break;
    case 0x030:
        f->fq.head = value & (~0u >> (31 - (f->fq.base & 31)));
        break;
    case 0x048:
        write_csr(f, &f->cq, value);
        break;
    case 0x04c:
        write_csr(f, &f->fq, value);
        break;
    case 0x050:
        write_csr(f, &f->pq, value);
        break;
    case 0x054:
        f->ipsr &= ~value;
        break;
    default:
        write_msi(f, reg, value);
    }
}

void fake_write(struct fake_iommu *f, uint64_t hpa, uint32_t width, uint64_t value)
{
    uint32_t reg = (uint32_t)(hpa - f->base);

    fake_log(f, FAKE_WRITE, reg, value, 0);
    if (width == 8) {
        fake_write64(f, reg, value);
    } else {
        fake_write32(f, reg, (uint32_t)value);
    }
}
