/* What the files of the model share. Every function here runs under the model's lock. */
#ifndef MODEL_INTERNAL_H
#define MODEL_INTERNAL_H

#include "cordon_model.h"
#include "spec.h"

#include <pthread.h>

#define SPACES 65537u /* a GSCID each, and the host's */
#define HOST_SPACE 65536u
#define WAYS 4u
#define DC_SLOTS 1024u
#define HPM_NUMBER 7u
#define HPM_WIDTH 40u

/* One cached translation: PAGE and PPN in 4 KiB pages, of 2^SHIFT pages. */
struct entry {
    uint64_t page, ppn;
    uint32_t space, pscid;
    uint32_t space_epoch, epoch;
    uint8_t valid, shift, perms, pbmt, global, dirty;
};

/* Sets of WAYS entries. A flush of everything, or of one space, only counts an epoch up. */
struct cache {
    struct entry *entries;
    uint32_t *space_epochs; /* SPACES of them */
    uint32_t epoch, set_mask, victim;
    uint64_t shifts; /* bit n: an entry of shift n was put in since the last whole flush */
};

struct dc {
    uint64_t tc, iohgatp, ta, fsc, msiptp, msi_mask, msi_pattern;
    uint64_t g_root, s_root;     /* addresses */
    uint32_t space, pscid;       /* tags */
    uint32_t g_levels, s_levels; /* 0: Bare */
};

struct dc_slot {
    struct dc dc;
    uint32_t device_id, epoch;
    bool valid;
};

struct queue {
    uint64_t base;
    uint32_t head, tail, csr;
    uint32_t next; /* en and ie that a write under way will set */
};

/* A request that was translated and is not yet in memory. */
struct flight {
    struct flight *next;
    const void *owner;
    uint64_t hpa;
    uint32_t len;
    bool write, fenced; /* fenced: IOFENCE.C waits for it */
    uint8_t *data;      /* a write's bytes, own; a read's target, the owner's */
};

struct msi_vector {
    uint64_t address;
    uint32_t data, control;
    bool pending;
};

/* Performance counters, and whose request is under way. */
struct hpm {
    uint32_t inhibit, device_id;
    bool quiet;
    uint64_t cycles, counter[HPM_NUMBER], event[HPM_NUMBER];
};

struct cordon_model {
    pthread_mutex_t lock;
    struct cordon_model_config config;
    uint64_t cap;
    uint8_t *ram;
    uint64_t ram_hpa, ram_len;

    uint32_t fctl, ipsr, wires;
    uint64_t ddtp, ddtp_next, ddtp_high, icvec;
    uint64_t tr_iova, tr_ctl, tr_response;
    struct queue cq, fq;
    struct msi_vector msi[16];
    struct hpm hpm;

    struct cache stage1, stage2, msi_cache;
    struct cache
        tables2; /* second-stage words that lead on: shift of their part, PPN of the table */
    struct dc_slot *contexts;
    uint32_t context_epoch;

    uint32_t hold, late, late_left, fail_fences, fail_fetches;
    struct flight *flights;
    struct cordon_model_stats stats;
};

struct fault {
    uint32_t cause;
    uint64_t iotval2;
};

/* How a walk ended; AGAIN: a word was changed while we marked it, and is to be read again. */
enum walk_end { WALK_OK, WALK_PAGE, WALK_ACCESS, WALK_AGAIN };

struct leaf {
    uint64_t ppn;
    uint8_t shift, perms, pbmt, global, dirty;
};

void model_violation(struct cordon_model *m, const char *what);

/* mem.c: a pointer to LEN bytes of memory at HPA, or NULL; accesses that also try the callback. */
static inline void *mem_at(const struct cordon_model *m, uint64_t hpa, uint64_t len)
{
    uint64_t offset = hpa - m->ram_hpa;

    return offset < m->ram_len && len <= m->ram_len - offset ? m->ram + offset : NULL;
}
bool mem_load64(struct cordon_model *m, uint64_t hpa, uint64_t *out);
bool mem_move(struct cordon_model *m, uint64_t hpa, void *data, uint32_t len, bool write);

/* cache.c */
int cache_create(struct cache *c, uint32_t entries);
void cache_destroy(struct cache *c);
struct entry *cache_find(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page);
void cache_put(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
               const struct leaf *leaf);
/* The same for entries of one size, where others may cover the page too. */
struct entry *cache_find_at(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
                            uint32_t shift);
void cache_put_at(struct cache *c, uint32_t space, uint32_t pscid, uint64_t page,
                  const struct leaf *leaf);
void cache_flush(struct cache *c);
void cache_flush_space(struct cache *c, uint32_t space);
void cache_drop_page(struct cache *c, uint32_t space, uint64_t page);
struct cache_match {
    bool by_space, by_page, by_pscid, hosts; /* hosts: only the host's spaces */
    uint32_t space, pscid;
    uint64_t page;
};
void cache_drop(struct cache *c, const struct cache_match *match);

/* ddt.c: the context of a device; 0 or a cause. */
uint32_t ddt_find(struct cordon_model *m, uint32_t device_id, bool fill, struct dc *spare,
                  const struct dc **out);
bool ddt_is_wide(const struct cordon_model *m, uint32_t device_id);
void ddt_forget(struct cordon_model *m, uint32_t device_id);
void ddt_forget_all(struct cordon_model *m);

/* walk.c */
enum walk_end walk_second(struct cordon_model *m, const struct dc *dc, uint64_t gpa,
                          uint32_t access, bool fill, struct leaf *out);
enum walk_end walk_first(struct cordon_model *m, const struct dc *dc, uint64_t iova,
                         uint32_t access, bool fill, struct leaf *out, struct fault *fault);
enum walk_end pte_check(const struct cordon_model *m, uint64_t pte, uint32_t level, bool *is_leaf);

/* msi.c */
bool msi_matches(const struct dc *dc, uint64_t gpa);
uint32_t msi_translate(struct cordon_model *m, const struct dc *dc, uint64_t gpa, uint32_t access,
                       bool fill, struct leaf *out);

/* translate.c: quiet ones neither fill caches nor report. */
uint32_t translate(struct cordon_model *m, const struct cordon_model_request *r, bool quiet,
                   struct cordon_model_target *out);
uint32_t cause_of(enum walk_end end, uint32_t access, bool guest);
/* Nothing stands where a translated request leads: report it; the cause. */
uint32_t access_refused(struct cordon_model *m, const struct cordon_model_request *r);

/* fq.c */
void fq_report(struct cordon_model *m, const struct cordon_model_request *r, uint32_t ttyp,
               const struct fault *f);
void irq_update(struct cordon_model *m, uint32_t set);
void irq_unmask(struct cordon_model *m, uint32_t vector);

/* hpm.c: registers by where they start; an event of the request under way. */
uint64_t hpm_read(const struct cordon_model *m, uint32_t start);
void hpm_write(struct cordon_model *m, uint32_t start, uint64_t value);
void hpm_count(struct cordon_model *m, uint32_t event, const struct dc *dc);

/* cq.c */
uint32_t cq_run(struct cordon_model *m, uint32_t count);

/* regs.c */
uint64_t regs_read(struct cordon_model *m, uint32_t offset, uint32_t width);
void regs_write(struct cordon_model *m, uint32_t offset, uint32_t width, uint64_t value);
void regs_complete(struct cordon_model *m);

/* dma.c */
uint32_t dma_move(struct cordon_model *m, const struct cordon_model_request *r, void *data,
                  size_t len, size_t *done);
int dma_hold(struct cordon_model *m, const struct cordon_model_request *r, const void *owner,
             bool fenced, void *data, uint32_t len);
uint32_t dma_commit(struct cordon_model *m, const void *owner, uint32_t count);
void dma_drop(struct cordon_model *m, const void *owner);
void dma_fence(struct cordon_model *m, bool reads, bool writes);

static inline uint32_t queue_entries(const struct queue *q)
{
    return 2u << FIELD(q->base, 4, 0);
}

static inline uint64_t queue_hpa(const struct queue *q)
{
    return FIELD(q->base, 53, 10) << 12;
}

#endif
