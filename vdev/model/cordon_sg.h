/*
 * A scatter-gather DMA engine over the software IOMMU: a device that does what its descriptors say,
 * and misbehaves on demand. No threads: what is held goes on when a call says so. An engine takes
 * its model's lock for each request; one engine is for one thread at a time.
 */
#ifndef CORDON_SG_H
#define CORDON_SG_H

#include "cordon_model.h"

typedef struct cordon_sg cordon_sg;

/* A descriptor in guest memory, little-endian, 32 bytes. */
struct cordon_sg_descriptor {
    uint64_t iova;
    uint32_t len;      /* bytes, 1..4096 and within one page */
    uint32_t write;    /* 1: buffer to memory, 0: memory to buffer */
    uint64_t offset;   /* in the engine's buffer */
    uint64_t reserved; /* 0 */
};

/* How requests travel. */
enum cordon_sg_mode {
    CORDON_SG_AT_ONCE = 0,
    CORDON_SG_HELD = 1,  /* translated, then in flight until a step; IOFENCE.C with PR/PW ends it */
    CORDON_SG_ROGUE = 2, /* the same, but no IOFENCE ends it: only a step or a reset */
    CORDON_SG_LATE = 3,  /* not even translated until a step */
};

struct cordon_sg_config {
    uint32_t size;      /* sizeof(struct cordon_sg_config) */
    uint32_t device_id; /* 24 bits */
    uint64_t msi_iova;  /* where a finished list is told of, 0: nowhere */
    uint32_t msi_data;
    uint32_t buffer_len; /* 1..16 MiB */
};

/* Make an engine of MODEL, which must outlive it. */
CORDON_MODEL_API int cordon_sg_create(cordon_model *model, const struct cordon_sg_config *config,
                                      cordon_sg **out);
/* What it holds is dropped. NULL is accepted. */
CORDON_MODEL_API void cordon_sg_destroy(cordon_sg *sg);
/* The engine's own memory, BUFFER_LEN bytes, the caller's to read and fill. */
CORDON_MODEL_API void *cordon_sg_buffer(cordon_sg *sg);
/* Fetch COUNT descriptors (at most 65536) at LIST by DMA and do them, then send the message unless
 * something is held. 0, the cause that stopped it, or an error; DONE (may be NULL): how many were
 * done, or are held. */
CORDON_MODEL_API int cordon_sg_run(cordon_sg *sg, uint64_t list, uint32_t count, uint32_t *done);
/* One request that no descriptor asked for; the rules of a descriptor hold. */
CORDON_MODEL_API int cordon_sg_spurious(cordon_sg *sg, const struct cordon_sg_descriptor *d);
/* Let at most COUNT held requests go on, oldest first; returns how many did. FAILED (may be NULL):
 * how many late ones the IOMMU refused. */
CORDON_MODEL_API uint32_t cordon_sg_step(cordon_sg *sg, uint32_t count, uint32_t *failed);
/* Reset the device: what it holds is dropped; with SURVIVE it is kept, as no device should. */
CORDON_MODEL_API void cordon_sg_reset(cordon_sg *sg, bool survive);
CORDON_MODEL_API int cordon_sg_mode_set(cordon_sg *sg, uint32_t mode);
/* From now on, requests carry DEVICE_ID, whoever's it is. */
CORDON_MODEL_API int cordon_sg_forge(cordon_sg *sg, uint32_t device_id);

#endif
