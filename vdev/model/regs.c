/* The register page [IOMMU 5]: what a read says, what a write does, and when it is done. */
#include "internal.h"

#include <stdio.h>

void model_violation(struct cordon_model *m, const char *what)
{
    m->stats.violations++;
    (void)snprintf(m->stats.violation, sizeof(m->stats.violation), "%s", what);
}

static bool is_wide(uint32_t offset)
{
    if (offset >= R_MSI_CFG && offset < R_MSI_CFG_END) {
        return offset % 16 == 0;
    }
    if (offset >= R_IOHPMCYCLES && offset < R_TR_REQ_IOVA) {
        return offset % 8 == 0;
    }
    return offset == R_CAPABILITIES || offset == R_DDTP || offset == R_CQB || offset == R_FQB ||
           (offset >= R_TR_REQ_IOVA && offset <= R_TR_RESPONSE) || offset == R_ICVEC;
}

/* The register that OFFSET is in: OFFSET, or the wide one that it is the upper half of. */
static uint32_t start_of(uint32_t offset)
{
    return offset >= 4 && offset % 8 == 4 && is_wide(offset - 4) ? offset - 4 : offset;
}

static bool is_access(struct cordon_model *m, uint32_t offset, uint32_t width)
{
    if (offset < 4096 && (width == 4 || (width == 8 && is_wide(offset))) && offset % width == 0) {
        return true;
    }
    model_violation(m, "access of a wrong width or alignment");
    return false;
}

static uint64_t msi_read(const struct cordon_model *m, uint32_t at)
{
    const struct msi_vector *v = &m->msi[at / 16 % 16];

    if (CAP_IGS(m->cap) == 1) {
        return 0;
    }
    if (at % 16 == 0) {
        return v->address;
    }
    return at % 16 == 8 ? v->data : v->control;
}

static uint64_t value_of(const struct cordon_model *m, uint32_t start)
{
    switch (start) {
    case R_CAPABILITIES:
        return m->cap;
    case R_FCTL:
        return m->fctl;
    case R_DDTP:
        return m->ddtp;
    case R_CQB:
        return m->cq.base;
    case R_CQH:
        return m->cq.head;
    case R_CQT:
        return m->cq.tail;
    case R_FQB:
        return m->fq.base;
    case R_FQH:
        return m->fq.head;
    case R_FQT:
        return m->fq.tail;
    case R_CQCSR:
        return m->cq.csr;
    case R_FQCSR:
        return m->fq.csr;
    case R_IPSR:
        return m->ipsr;
    case R_TR_REQ_IOVA:
        return m->tr_iova;
    case R_TR_REQ_CTL:
        return m->tr_ctl;
    case R_TR_RESPONSE:
        return m->tr_response;
    case R_ICVEC:
        return m->icvec;
    default:
        if (start >= R_IOCOUNTOVF && start < R_TR_REQ_IOVA) {
            return hpm_read(m, start);
        }
        return start >= R_MSI_CFG && start < R_MSI_CFG_END ? msi_read(m, start - R_MSI_CFG) : 0;
    }
}

/* A read of a late model: what is under way ends with the last one that it waits for. */
static void count_read(struct cordon_model *m)
{
    uint32_t hold = m->hold;

    if (m->late_left == 0) {
        return;
    }
    m->late_left--;
    if (m->late_left == 0) {
        m->hold = 0;
        regs_complete(m);
        m->hold = hold; /* the next one is late again */
    }
}

uint64_t regs_read(struct cordon_model *m, uint32_t offset, uint32_t width)
{
    uint64_t value;

    if (!is_access(m, offset, width)) {
        return 0;
    }
    count_read(m);
    value = value_of(m, start_of(offset));
    if (start_of(offset) != offset) {
        value >>= 32;
    }
    return width == 8 ? value : (uint32_t)value;
}

static void queue_complete(struct queue *q, bool is_fault_queue)
{
    bool was_on = (q->csr & CSR_ON) != 0;

    if ((q->csr & CSR_BUSY) == 0) {
        return;
    }
    q->csr = (q->csr & ~(uint32_t)(CSR_BUSY | CSR_ON | CSR_EN | CSR_IE)) | q->next;
    if ((q->next & CSR_EN) != 0) {
        q->csr |= (uint32_t)CSR_ON;
        if (!was_on) { /* 0 to 1: the IOMMU's own index and the errors begin anew */
            *(is_fault_queue ? &q->tail : &q->head) = 0;
            q->csr &= ~(uint32_t)(is_fault_queue ? FQ_ERRORS : CQ_ERRORS | CSR_FENCE_W_IP);
        }
    }
}

static void debug_complete(struct cordon_model *m)
{
    struct cordon_model_request r = {.iova = m->tr_iova};
    struct cordon_model_target t;

    if ((m->tr_ctl & 1) == 0) {
        return;
    }
    r.device_id = (uint32_t)FIELD(m->tr_ctl, 63, 40);
    r.has_process = (uint32_t)FIELD(m->tr_ctl, 32, 32);
    r.process_id = (uint32_t)FIELD(m->tr_ctl, 31, 12);
    r.access =
        (m->tr_ctl & BIT(3)) != 0 ? CORDON_MODEL_READ : CORDON_MODEL_READ | CORDON_MODEL_WRITE;
    r.access |= (m->tr_ctl & BIT(2)) != 0 ? CORDON_MODEL_EXEC : 0;
    m->tr_response = 1;
    if (translate(m, &r, true, &t) == 0) {
        uint64_t pages = BIT(t.page_shift - 12);
        uint64_t ppn = t.hpa >> 12;

        if (pages > 1) { /* S: the size is where the lowest 0 of the page number is */
            ppn = (ppn & ~(pages - 1)) | (pages / 2 - 1);
        }
        m->tr_response = (ppn << 10 & PPN_FIELD) | (pages > 1 ? BIT(9) : 0) | (uint64_t)t.pbmt << 7;
    }
    m->tr_ctl &= ~1ull;
}

void regs_complete(struct cordon_model *m)
{
    if ((m->hold & CORDON_MODEL_HOLD_REGISTERS) == 0) {
        queue_complete(&m->cq, false);
        queue_complete(&m->fq, true);
        if ((m->ddtp & DDTP_BUSY) != 0) {
            m->ddtp = m->ddtp_next;
        }
    }
    if ((m->hold & CORDON_MODEL_HOLD_DEBUG) == 0) {
        debug_complete(m);
    }
    if ((m->hold & CORDON_MODEL_HOLD_COMMANDS) == 0) {
        (void)cq_run(m, UINT32_MAX);
    }
    irq_update(m, 0);
}

static void begin(struct cordon_model *m)
{
    if (m->hold != 0 && m->late_left == 0) {
        m->late_left = m->late;
    }
    regs_complete(m);
}

static void ddtp_write(struct cordon_model *m, uint64_t value)
{
    uint64_t from = FIELD(m->ddtp, 3, 0), to = FIELD(value, 3, 0);

    if ((m->ddtp & DDTP_BUSY) != 0) {
        model_violation(m, "ddtp written while busy");
    } else if (from >= MODE_1LVL && to != MODE_OFF) {
        model_violation(m, "ddtp from a directory to another mode than Off");
    } else if (to <= MODE_3LVL) {
        m->ddtp_next = value & (PPN_FIELD | BITS(3, 0));
        m->ddtp |= DDTP_BUSY;
        begin(m);
    }
}

static void csr_write(struct cordon_model *m, struct queue *q, uint32_t value, uint32_t clears)
{
    if ((q->csr & CSR_BUSY) != 0) {
        model_violation(m, "csr of a queue written while busy");
        return;
    }
    q->csr &= ~(value & clears);
    q->next = value & (uint32_t)(CSR_EN | CSR_IE);
    q->csr |= (uint32_t)CSR_BUSY;
    begin(m);
}

static void base_write(struct cordon_model *m, struct queue *q, uint64_t value, uint32_t entry_len)
{
    uint64_t bytes = (uint64_t)entry_len * (2ull << FIELD(value, 4, 0));

    if ((q->csr & (CSR_ON | CSR_BUSY)) != 0) {
        model_violation(m, "base of a queue written while it is on");
        return;
    }
    q->base = value & (PPN_FIELD | BITS(4, 0));
    *(q == &m->cq ? &q->tail : &q->head) &= queue_entries(q) - 1; /* its bits above LOG2SZ are 0 */
    if (bytes > 4096 && (queue_hpa(q) & (bytes - 1)) != 0) {
        model_violation(m, "base of a queue is not aligned to its size");
    }
}

static void fctl_write(struct cordon_model *m, uint32_t value)
{
    bool is_off =
        FIELD(m->ddtp, 4, 0) == MODE_OFF && ((m->cq.csr | m->fq.csr) & (CSR_ON | CSR_BUSY)) == 0;

    if (!is_off) {
        model_violation(m, "fctl written while something is on");
    } else if (CAP_IGS(m->cap) == 2) { /* WSI can be chosen; BE and GXL are fixed */
        m->fctl = value & FCTL_WSI;
    }
}

static void msi_write(struct cordon_model *m, uint32_t at, uint64_t value)
{
    struct msi_vector *v = &m->msi[at / 16 % 16];

    if (CAP_IGS(m->cap) == 1) {
        return;
    }
    if (at % 16 == 0) {
        v->address = value & BITS(55, 2);
    } else if (at % 16 == 8) {
        v->data = (uint32_t)value;
    } else {
        v->control = value & 1;
        if (v->control == 0) {
            irq_unmask(m, at / 16 % 16);
        }
    }
}

static void index_write(struct cordon_model *m, uint32_t start, uint32_t value)
{
    struct queue *q = start == R_CQT ? &m->cq : &m->fq;

    value &= queue_entries(q) - 1;
    *(start == R_CQT ? &q->tail : &q->head) = value;
    begin(m);
}

static void debug_write(struct cordon_model *m, uint32_t start, uint64_t value, bool whole)
{
    if ((m->cap & CAP_DBG) == 0) {
        return;
    }
    if ((m->tr_ctl & 1) != 0) {
        model_violation(m, "debug registers written while busy");
    } else if (start == R_TR_REQ_IOVA) {
        m->tr_iova = value & ~0xfffull;
    } else {
        m->tr_ctl = value & (BITS(32, 12) | BITS(63, 40) | BITS(3, whole ? 0 : 1));
        begin(m);
    }
}

void regs_write(struct cordon_model *m, uint32_t offset, uint32_t width, uint64_t value)
{
    uint32_t start = start_of(offset);
    bool low = start == offset;

    if (!is_access(m, offset, width)) {
        return;
    }
    if (width == 4 && is_wide(start)) { /* the other half stays; what acts is the lower one */
        uint64_t old = start == R_DDTP && low ? m->ddtp_high : value_of(m, start);

        value = low ? (old & ~0xffffffffull) | (uint32_t)value : (uint32_t)old | value << 32;
    }
    if (start == R_DDTP) {
        m->ddtp_high = value & ~0xffffffffull;
        if (low) {
            ddtp_write(m, value);
        }
    } else if (start == R_FCTL) {
        fctl_write(m, (uint32_t)value);
    } else if (start == R_CQB) {
        base_write(m, &m->cq, value, 16);
    } else if (start == R_FQB) {
        base_write(m, &m->fq, value, 32);
    } else if (start == R_CQT || start == R_FQH) {
        index_write(m, start, (uint32_t)value);
    } else if (start == R_CQCSR) {
        csr_write(m, &m->cq, (uint32_t)value, (uint32_t)(CQ_ERRORS | CSR_FENCE_W_IP));
    } else if (start == R_FQCSR) {
        csr_write(m, &m->fq, (uint32_t)value, (uint32_t)FQ_ERRORS);
    } else if (start == R_IPSR) {
        m->ipsr &= ~(uint32_t)value;
        irq_update(m, 0);
    } else if (start == R_TR_REQ_IOVA || start == R_TR_REQ_CTL) {
        debug_write(m, start, value, low);
    } else if (start == R_ICVEC) {
        m->icvec = value & 0xfff; /* no piv: there is no page-request queue */
    } else if (start > R_IOCOUNTOVF && start < R_TR_REQ_IOVA) {
        hpm_write(m, start, value);
    } else if (start >= R_MSI_CFG && start < R_MSI_CFG_END) {
        msi_write(m, start - R_MSI_CFG, value);
    }
}
