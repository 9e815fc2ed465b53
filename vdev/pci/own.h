/*
 * Cordon's own PCI function, in every guest: memory given back and taken again, contiguous runs,
 * reports. User space reaches it through sysfs (resource0), without a driver. docs/own-function.md
 * has the registers as a guest's author needs them.
 *
 * Vendor 0xc04d is assigned to nobody in the public list of ids. Subsystem ids are the same as the
 * function's.
 */
#ifndef VDEV_PCI_OWN_H
#define VDEV_PCI_OWN_H

#include "pci/vpci.h"
#include <cordon/ctx.h>

#define OWN_VENDOR 0xc04du
#define OWN_DEVICE 0x0001u
#define OWN_BAR_BYTES UINT64_C(4096)
#define OWN_MAGIC 0x4e445243u /* "CRDN" */
#define OWN_VERSION 0x00010001u
#define OWN_REPORT_BYTES 1024u

/* Offsets in BAR 0. */
#define OWN_REG_MAGIC 0x000u
#define OWN_REG_VERSION 0x004u
#define OWN_REG_COMMANDS 0x008u /* bit n: command n is offered */
#define OWN_REG_REPORT_BYTES 0x00cu
#define OWN_REG_GPA 0x010u
#define OWN_REG_LEN 0x018u
#define OWN_REG_ALIGN 0x020u
#define OWN_REG_BOUNDARY 0x028u
#define OWN_REG_HIGHEST 0x030u
#define OWN_REG_COMMAND 0x040u
#define OWN_REG_STATUS 0x044u
#define OWN_REG_ERROR 0x048u
#define OWN_REG_RESULT 0x050u
#define OWN_REG_DETAIL 0x058u
#define OWN_REG_LIMIT 0x060u
#define OWN_REG_BUFFER 0x800u

enum own_command {
    OWN_GIVE = 1,   /* GPA, LEN: the guest does without these pages */
    OWN_TAKE = 2,   /* GPA, LEN: and wants pages there again */
    OWN_RUN = 3,    /* LEN, ALIGN, BOUNDARY, HIGHEST: RESULT is the GPA of a contiguous run */
    OWN_REPORT = 4, /* LEN bytes of the buffer go to the host channel */
    OWN_QUERY = 5, /* GPA, LEN: RESULT is how many runs of host memory back it, DETAIL the first HPA
                       if the hypervisor's policy shows it, else 0 */
    OWN_DISCARD = 6, /* GPA, LEN: what stands there is not needed; RESULT: bytes that came free */
    OWN_FILL = 7,    /* GPA, LEN: pages that were not touched come at once */
    OWN_PIN = 8,     /* GPA, LEN: they come, and stay where they are, until */
    OWN_UNPIN = 9,
    OWN_COMMAND_END
};

enum own_status { OWN_READY = 0, OWN_BUSY = 1, OWN_DONE = 2, OWN_REFUSED = 3 };

/*
 * What the hypervisor does for the function; a null entry is a command not offered. Each is called
 * on the vCPU that asked, without any lock, arguments checked (whole pages, not empty, no wrapping,
 * LEN at most the limit), one at a time. None may wait without bound. 0 or a negative error;
 * EPENDING means: done, but frames are still on their way.
 */
struct own_calls {
    void *arg;
    int (*give)(void *arg, cordon_gpa gpa, uint64_t len);
    int (*take)(void *arg, cordon_gpa gpa, uint64_t len);
    int (*run)(void *arg, const struct cordon_run_want *want, cordon_gpa *out);
    int (*report)(void *arg, const uint8_t *bytes, uint32_t len);
    int (*query)(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *runs, cordon_hpa *first);
    int (*discard)(void *arg, cordon_gpa gpa, uint64_t len, uint64_t *freed);
    int (*fill)(void *arg, cordon_gpa gpa, uint64_t len);
    int (*pin)(void *arg, cordon_gpa gpa, uint64_t len, bool pinned); /* PIN and UNPIN */
};

struct own_function {
    struct vpci_function fn;
    struct own_calls calls;
    uint64_t len_limit; /* bytes that one command may speak of */
    bool show_hpa;
    struct cordon_lock lock; /* all below */
    uint64_t gpa, len, align, boundary, highest;
    uint32_t status, error;
    uint64_t result, detail;
    uint8_t buffer[OWN_REPORT_BYTES];
    uint8_t sending[OWN_REPORT_BYTES]; /* while BUSY with a report */
};

/* LEN_LIMIT: bytes, whole pages. SHOW_HPA: debug policy, QUERY tells host addresses. */
void own_init(struct own_function *o, const struct own_calls *calls, uint64_t len_limit,
              bool show_hpa);

/*
 * How many runs of consecutive host addresses back GPA..GPA+LEN in the G-stage, and where the first
 * one starts: the query callback's work. Linear in leaves. Errors: EFAULT (some of it is not
 * mapped), ERANGE.
 */
CORDON_MUST_CHECK int own_runs_count(const cordon_domain *d, cordon_gpa gpa, uint64_t len,
                                     uint64_t *runs, cordon_hpa *first);

#endif
