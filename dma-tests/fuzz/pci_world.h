/*
 * What the PCI fuzz targets stand on: the model of the bus from the unit tests, and in place of the
 * isolation layer a judge, that takes the same calls and stops the run on any that it must not get.
 */
#ifndef DMA_TESTS_FUZZ_PCI_WORLD_H
#define DMA_TESTS_FUZZ_PCI_WORLD_H

#include "../unit/support/fake_pci.h"
#include "fuzz.h"
#include "pci/pass.h"

#define JUDGE_REGIONS 128
#define W_ECAM UINT64_C(0x10000000)
#define W_LOW UINT64_C(0x20000000)
#define W_LOW_LEN UINT64_C(0x20000000)
#define W_HIGH UINT64_C(0x4000000000)
#define W_HIGH_LEN UINT64_C(0x1000000000)
#define W_RAM UINT64_C(0x80000000)
#define W_RAM_LEN UINT64_C(0x10000000)
#define W_FILES UINT64_C(0x01000000)
#define W_AVOID UINT64_C(0x20200000) /* inside the low window, and no BAR's */
#define W_AVOID_LEN UINT64_C(0x8000)
#define W_INSIDE UINT64_C(0x20400000) /* RAM of the guest inside the low window: 64 KiB */
#define W_INSIDE_LEN UINT64_C(0x10000)

struct judged {
    uint64_t gpa, len, hpa;
    bool mmio;
};

/* The judge's own account. */
struct judge {
    struct judged region[JUDGE_REGIONS];
    uint32_t count;
    struct judged resource[JUDGE_REGIONS]; /* gpa unused */
    uint32_t resources;
    uint32_t attached;  /* devices */
    uint32_t fail_next; /* calls from now until one fails; 0: none */
    int fail_as;
    uint32_t changes;
};

extern struct judge judge;

/* The guest's RAM is in the map, nothing else is. */
void judge_reset(void);
/* All devices that were ever attached are attached again. */
void judge_attach_all(void);
/* Is there an MMIO region at exactly this place, to exactly this HPA? */
bool judge_has(uint64_t gpa, uint64_t len, uint64_t hpa);
uint32_t judge_mmio_count(void);

#endif
