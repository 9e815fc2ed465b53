/* A machine for tests of the IOMMU driver: RAM, fake IOMMUs, a clock, and a context over it. */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <cordon/cordon.h>

#include "fake_iommu.h"
#include "port/record/record.h"

#define MACHINE_IOMMUS 9u
#define MACHINE_RAM 0x80000000ull
#define MACHINE_RAM_LEN (32ull << 20)
#define MACHINE_FIRMWARE MACHINE_RAM /* its first 2 MiB are firmware's */
#define MACHINE_IOMMU 0x03010000ull  /* each next one 4 KiB above */
#define MACHINE_FILES 0x28000000ull  /* interrupt files, offered as a resource */
#define MACHINE_FILES_LEN 0x10000ull
#define MACHINE_TIMEOUT_US 50u

struct fake_machine {
    struct port_record record; /* the context's cookie */
    uint8_t *ram;
    struct fake_iommu iommu[MACHINE_IOMMUS];
    uint64_t now_us;
    uint64_t tick_us; /* the clock advances so much at each look; 0: it stands still */
    uint32_t hart_fences;
    cordon_ctx *ctx;
};

/* A context over fresh RAM; fails the test if it cannot be had. */
void machine_open(struct fake_machine *m);
/* The same with CORDON_CTX_* FLAGS. */
void machine_open_flags(struct fake_machine *m, uint32_t flags);
/* The audit finds nothing, the order is unbroken, and no IOMMU was asked what it may not be. */
void machine_sound(const struct fake_machine *m);
/* Every domain, device and IOMMU is gone before, and the machine is sound. */
void machine_close(struct fake_machine *m);
/* Free the memory, whatever still stands. */
void machine_drop(struct fake_machine *m);

/* Settings for IOMMU NUMBER, and devices. */
struct cordon_iommu_config machine_iommu_config(uint32_t number);
struct cordon_device_config machine_device_config(uint32_t device_id, const char *name);

int machine_try_iommu(struct fake_machine *m, uint32_t number, uint32_t max_device_id,
                      cordon_iommu **out);

/* What usually works, or fails the test. */
cordon_iommu *machine_iommu(struct fake_machine *m, uint32_t number, uint32_t max_device_id);
cordon_device *machine_device(cordon_iommu *iommu, uint32_t device_id);
/* Known and attached at once; and the reverse. */
cordon_device *machine_attached(cordon_iommu *iommu, uint32_t device_id, cordon_domain *d,
                                uint32_t flags);
void machine_gone(cordon_device *dev);
cordon_domain *machine_domain(struct fake_machine *m);
/* Hart 0 runs D for a moment, and remembers it. A new domain's was run so. */
void machine_ran(cordon_domain *d);

/* Grant PAGES pages of fresh memory at GPA; returns where. */
cordon_hpa machine_grant(struct fake_machine *m, cordon_domain *d, uint64_t gpa, uint64_t pages);
/* The same of a run as it is wanted, with CORDON_REGION_* FLAGS. */
cordon_hpa machine_grant_run(struct fake_machine *m, cordon_domain *d, uint64_t gpa,
                             struct cordon_run_want want, uint32_t flags);
/* Revoke; returns cordon_change's answer. */
int machine_revoke(cordon_domain *d, uint64_t gpa, uint64_t pages);
uint32_t machine_frame_state(const struct fake_machine *m, cordon_hpa hpa);
struct cordon_memory_stats machine_stats(const struct fake_machine *m);

/* The n-th 64-bit word at HPA. */
uint64_t machine_word(const struct fake_machine *m, uint64_t hpa, uint32_t n);

#endif
