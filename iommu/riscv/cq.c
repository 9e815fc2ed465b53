/* The command queue: see cq.h. */
#include "riscv/cq.h"

#include "core/ctx.h"
#include "riscv/iommu.h"
#include <port_word.h>

static uint64_t cq_head_word(uint32_t opcode, uint32_t func3)
{
    return field_put(CMD_OPCODE, opcode) | field_put(CMD_FUNC3, func3);
}

struct cq_command cq_inval_ddt_all(void)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IODIR, IODIR_INVAL_DDT), 0}};
}

struct cq_command cq_inval_ddt(uint32_t device_id)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IODIR, IODIR_INVAL_DDT) | IODIR_DV |
                                    field_put(IODIR_DID, device_id),
                                0}};
}

struct cq_command cq_vma_all(void)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOTINVAL, IOTINVAL_VMA), 0}};
}

struct cq_command cq_vma(uint16_t gscid)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOTINVAL, IOTINVAL_VMA) | IOTINVAL_GV |
                                    field_put(IOTINVAL_GSCID, gscid),
                                0}};
}

struct cq_command cq_gvma_all(void)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOTINVAL, IOTINVAL_GVMA), 0}};
}

struct cq_command cq_gvma(uint16_t gscid)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOTINVAL, IOTINVAL_GVMA) | IOTINVAL_GV |
                                    field_put(IOTINVAL_GSCID, gscid),
                                0}};
}

struct cq_command cq_gvma_page(uint16_t gscid, cordon_gpa gpa)
{
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOTINVAL, IOTINVAL_GVMA) | IOTINVAL_AV |
                                    IOTINVAL_GV | field_put(IOTINVAL_GSCID, gscid),
                                field_put(IOTINVAL_ADDR, gpa.v >> CORDON_PAGE_SHIFT)}};
}

struct cq_command cq_iofence(cordon_hpa done, uint32_t number)
{
    cordon_assert(is_aligned(done.v, 4));
    return (struct cq_command){{cq_head_word(CMD_OPCODE_IOFENCE, IOFENCE_C) | IOFENCE_AV |
                                    IOFENCE_PR | IOFENCE_PW | field_put(IOFENCE_DATA, number),
                                field_put(IOFENCE_ADDR, done.v >> 2)}};
}

int cq_alloc(struct cordon_iommu *iommu, uint32_t log2)
{
    struct cq *cq = &iommu->cq;
    unsigned order = iommu_queue_order(log2, CQ_ENTRY_SHIFT);
    cordon_hpa base;
    cordon_hpa done;
    int err = iommu_alloc_table(iommu, order, &base);

    if (err) {
        return err;
    }
    err = iommu_alloc_table(iommu, 0, &done);
    if (err) {
        frames_free(iommu->ctx, base, order);
        return err;
    }
    cq->base = base;
    cq->ring = frames_ptr(iommu->ctx, base);
    cq->order = order;
    cq->log2 = log2;
    cq->done_hpa = done;
    cq->done = frames_ptr(iommu->ctx, done);
    return 0;
}

void cq_free(struct cordon_iommu *iommu)
{
    struct cq *cq = &iommu->cq;

    frames_free(iommu->ctx, cq->base, cq->order);
    frames_free(iommu->ctx, cq->done_hpa, 0);
    *cq = (struct cq){.ring = NULL};
}

int cq_stop(struct cordon_iommu *iommu)
{
    const struct iommu_mmio *m = &iommu->mmio;
    int err = wait_reg32(m, REG32_CQCSR, CQCSR_BUSY, 0);

    if (err) {
        return err;
    }
    reg_write32(m, REG32_CQCSR, 0);
    return wait_reg32(m, REG32_CQCSR, CQCSR_BUSY | CQCSR_CQON, 0);
}

int cq_start(struct cordon_iommu *iommu)
{
    struct cq *cq = &iommu->cq;
    const struct iommu_mmio *m = &iommu->mmio;
    int err = cq_stop(iommu);

    if (err) {
        return err;
    }
    err = iommu_queue_base(iommu, REG64_CQB, cq->base, &cq->log2);
    if (err) {
        return err;
    }
    reg_write32(m, REG32_CQT, 0);
    cq->tail = 0;
    cq->head = 0;
    reg_write32(m, REG32_CQCSR, CQCSR_CQEN); /* clears cqh and the error bits */
    return wait_reg32(m, REG32_CQCSR, CQCSR_BUSY | CQCSR_CQON, CQCSR_CQON);
}

/* An error has stopped the queue, or it is not on: 0 if it runs. Registers that are gone read all
 * ones. */
static int cq_check(const struct cordon_iommu *iommu)
{
    uint32_t csr = reg_read32(&iommu->mmio, REG32_CQCSR);

    return (csr & CQCSR_ERRORS) != 0 || (csr & CQCSR_CQON) == 0 ? -CORDON_EHW : 0;
}

/* Make what is in the ring visible, then let the IOMMU see that it is there. */
static void cq_doorbell(struct cordon_iommu *iommu)
{
    port_fence(iommu->ctx->cookie);
    reg_write32(&iommu->mmio, REG32_CQT, iommu->cq.tail);
}

/* Read how far the IOMMU is. Its word is only believed inside the ring. */
static int cq_read_head(struct cordon_iommu *iommu)
{
    uint32_t head = reg_read32(&iommu->mmio, REG32_CQH);

    if (head >> iommu->cq.log2 != 0) {
        return -CORDON_EHW;
    }
    iommu->cq.head = head;
    return 0;
}

static bool cq_is_full(const struct cq *cq)
{
    uint32_t mask = (UINT32_C(1) << cq->log2) - 1;

    return ((cq->tail + 1) & mask) == cq->head;
}

static int cq_wait_room(struct cordon_iommu *iommu)
{
    struct wait w;

    cq_doorbell(iommu);
    wait_begin(&w, &iommu->mmio);
    for (;;) {
        int err = cq_read_head(iommu);

        if (err) {
            return err;
        }
        if (!cq_is_full(&iommu->cq)) {
            return 0;
        }
        err = cq_check(iommu);
        if (err) {
            return err;
        }
        if (!wait_again(&w)) {
            return -CORDON_ETIMEOUT;
        }
    }
}

static int cq_push(struct cordon_iommu *iommu, const struct cq_command *command)
{
    struct cq *cq = &iommu->cq;
    void *cookie = iommu->ctx->cookie;
    size_t at;

    if (cq_is_full(cq)) {
        int err = cq_wait_room(iommu);

        if (err) {
            return err;
        }
    }
    at = (size_t)cq->tail << CQ_ENTRY_SHIFT;
    port_store64(cookie, &cq->ring[at / 8], cordon_hpa_add(cq->base, at), command->word[0]);
    port_store64(cookie, &cq->ring[at / 8 + 1], cordon_hpa_add(cq->base, at + 8), command->word[1]);
    port_note(cookie, PORT_NOTE_COMMAND, command->word[0], command->word[1]);
    cq->tail = (cq->tail + 1) & ((UINT32_C(1) << cq->log2) - 1);
    return 0;
}

/* Wait until the fence that was pushed last has written its number. */
static int cq_wait_done(struct cordon_iommu *iommu)
{
    const volatile uint32_t *done = iommu->cq.done;
    struct wait w;

    wait_begin(&w, &iommu->mmio);
    while (*done != iommu->cq.sequence) {
        int err = cq_check(iommu);

        if (err) {
            return err;
        }
        if (!wait_again(&w)) {
            return -CORDON_ETIMEOUT;
        }
    }
    port_fence(
        iommu->ctx->cookie); /* nothing that follows happens before the fence was seen done */
    return 0;
}

/* One attempt at a batch. */
static int cq_run(struct cordon_iommu *iommu, const struct cq_command *commands, size_t count)
{
    struct cq_command fence;
    size_t i;
    int err;

    for (i = 0; i < count; i++) {
        err = cq_push(iommu, &commands[i]);
        if (err) {
            return err;
        }
    }
    iommu->cq.sequence++;
    fence = cq_iofence(iommu->cq.done_hpa, iommu->cq.sequence);
    err = cq_push(iommu, &fence);
    if (err) {
        return err;
    }
    cq_doorbell(iommu);
    return cq_wait_done(iommu);
}

/* Commands may have been lost with the old queue, of this batch or, when it had timed out, of
 * others. */
static int cq_restart(struct cordon_iommu *iommu)
{
    const struct cq_command all[] = {cq_inval_ddt_all(), cq_vma_all(), cq_gvma_all()};
    int err = cq_start(iommu);

    iommu->cq.restarts++;
    if (err) {
        return err == -CORDON_ENOTSUP ? -CORDON_EHW : err; /* it took the ring before */
    }
    return cq_run(iommu, all, sizeof(all) / sizeof(all[0]));
}

int cq_submit(struct cordon_iommu *iommu, const struct cq_command *commands, size_t count)
{
    struct cq *cq = &iommu->cq;
    int err = cq->stuck ? cq_restart(iommu) : 0;

    if (!err) {
        err = cq_run(iommu, commands, count);
    }
    if (err == -CORDON_EHW) {
        err = cq_restart(iommu);
        if (!err) {
            err = cq_run(iommu, commands, count);
        }
    }
    cq->stuck = err != 0;
    return err;
}

int cq_flush_all(struct cordon_iommu *iommu)
{
    const struct cq_command all[] = {cq_inval_ddt_all(), cq_vma_all(), cq_gvma_all()};

    return cq_submit(iommu, all, sizeof(all) / sizeof(all[0]));
}
