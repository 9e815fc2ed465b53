/*
 * A machine in this process: RAM that is a file of memory, the software IOMMU, libcordon over both.
 *
 * Whatever these calls need and do not get ends the program, with a sentence (lib/tool.h).
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/cordon_model.h"
#include <cordon/cordon.h>

#define RAM_HPA UINT64_C(0x80000000)
#define RAM_LEN (UINT64_C(128) << 20)
#define FIRMWARE_LEN UINT64_C(0x60000) /* at RAM_HPA, nobody's */
#define IOMMU_HPA UINT64_C(0x3010000)
#define PAGE_4K UINT64_C(0x1000)
#define PAGE_2M UINT64_C(0x200000)

struct machine {
    bool confined; /* false: the control, an IOMMU that lets every address through as it is */
    int ram_fd;
    uint8_t *ram;
    cordon_model *model;
    cordon_ctx *ctx;
    cordon_iommu *iommu;
    struct cordon_port_ops port;
    uint64_t seed; /* of machine_random */
};

/* What each program of this folder is told of it: the input of an argp that is its child. */
struct machine_options {
    bool control; /* not confined */
    uint64_t seed;
};
extern const struct argp machine_argp;

void machine_open(struct machine *m, bool confined, uint64_t seed);
void machine_close(struct machine *m);

/* End the isolation, in the control: every device reaches every address from here on. */
void machine_open_up(struct machine *m);

uint64_t machine_random(struct machine *m);
/* A number from FIRST to LAST. */
uint32_t machine_between(struct machine *m, uint32_t first, uint32_t last);

/* The next fault that the IOMMU told of. */
bool machine_fault(struct machine *m, struct cordon_fault *out);

/* Whether a frame may change although nobody's device writes there: the IOMMU's fault queue. */
bool machine_is_fault_queue(struct machine *m, uint64_t hpa);

/* Processor time of this process, in seconds: it does not count what others do on this machine. */
double machine_seconds(void);

/* Unless GOOD: say WHAT, and why (an error of libcordon, or 0); the program cannot run. */
void must(bool good, const char *what, int error);

#endif
