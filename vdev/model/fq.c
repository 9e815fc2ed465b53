/* The fault queue [IOMMU 4.2] and the interrupts [IOMMU 4.4, 5.18, 5.23]. */
#include "internal.h"

#include <string.h>

static uint32_t vector_of(const struct cordon_model *m, uint32_t source)
{
    return (uint32_t)(m->icvec >> (4 * source) & 15);
}

static void vector_send(struct cordon_model *m, uint32_t number)
{
    struct msi_vector *v = &m->msi[number];
    uint32_t data = v->data;

    v->pending = (v->control & 1) != 0;
    if (!v->pending && !mem_move(m, v->address, &data, 4, true)) {
        struct cordon_model_request none = {.iova = v->address};
        struct fault f = {CAUSE_MSI_WRITE, 0};

        fq_report(m, &none, 0, &f);
    }
}

void irq_unmask(struct cordon_model *m, uint32_t vector)
{
    if (m->msi[vector].pending) {
        vector_send(m, vector);
    }
}

/* Causes that stay until software clears them. */
static uint32_t standing(const struct cordon_model *m)
{
    uint32_t bits = 0;

    if ((m->cq.csr & CSR_IE) != 0 && (m->cq.csr & (CQ_ERRORS | CSR_FENCE_W_IP)) != 0) {
        bits |= IPSR_CIP;
    }
    if ((m->fq.csr & CSR_IE) != 0 && (m->fq.csr & FQ_ERRORS) != 0) {
        bits |= IPSR_FIP;
    }
    return bits;
}

void irq_update(struct cordon_model *m, uint32_t set)
{
    uint32_t risen = (set | standing(m)) & ~m->ipsr;
    uint32_t wires = 0;

    m->ipsr |= risen;
    for (uint32_t source = 0; source < 3; source++) {
        if ((m->ipsr >> source & 1) != 0) {
            wires |= 1u << vector_of(m, source);
        }
    }
    if ((m->fctl & FCTL_WSI) == 0) {
        for (uint32_t source = 0; source < 3; source++) {
            if ((risen >> source & 1) != 0) {
                vector_send(m, vector_of(m, source));
            }
        }
        wires = 0;
    }
    for (uint32_t v = 0; v < 16; v++) {
        if (((wires ^ m->wires) >> v & 1) != 0 && m->config.wire != NULL) {
            m->config.wire(m->config.user, v, (wires >> v & 1) != 0);
        }
    }
    m->wires = wires;
}

void fq_report(struct cordon_model *m, const struct cordon_model_request *r, uint32_t ttyp,
               const struct fault *f)
{
    uint64_t record[4] = {f->cause | (uint64_t)ttyp << 34 | (uint64_t)r->device_id << 40, 0,
                          r->iova, f->iotval2};
    uint32_t mask = queue_entries(&m->fq) - 1;
    uint8_t *at;

    if (r->has_process != 0) {
        record[0] |= (uint64_t)r->process_id << 12 | BIT(32);
    }
    if ((m->fq.csr & CSR_ON) == 0 || (m->fq.csr & FQ_ERRORS) != 0) {
        m->stats.dropped++;
        return;
    }
    if (((m->fq.tail + 1) & mask) == (m->fq.head & mask)) {
        m->fq.csr |= CSR_FQOF;
    } else {
        at = mem_at(m, queue_hpa(&m->fq) + 32ull * m->fq.tail, 32);
        if (at == NULL) {
            m->fq.csr |= CSR_MF;
        } else {
            memcpy(at, record, sizeof(record));
            __atomic_thread_fence(__ATOMIC_RELEASE);
            m->fq.tail = (m->fq.tail + 1) & mask;
            m->stats.records++;
        }
    }
    m->stats.dropped += (m->fq.csr & FQ_ERRORS) != 0;
    irq_update(m, (m->fq.csr & CSR_IE) != 0 ? IPSR_FIP : 0);
}
