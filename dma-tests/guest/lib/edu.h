/*
 * QEMU's edu function as an instrument: it copies between its own 4 KiB buffer and any bus address.
 *
 * A transfer takes 100 ms of virtual time, so several devices work side by side: start, then wait.
 * It never reports an error; a read that was refused fills its buffer with zeros.
 */
#ifndef GUEST_EDU_H
#define GUEST_EDU_H

#include "lib/pci.h"

#define EDU_VENDOR 0x1234u
#define EDU_DEVICE 0x11e8u
#define EDU_MAX 16u
#define EDU_BUFFER 4096u

struct edu {
    struct pci pci;
    volatile uint8_t *bar;
};

/* All edu functions of this guest, at most MAX. Exits when there is none. */
size_t edu_open(struct edu *out, size_t max);

/* Start copying LEN bytes (1..4096): bus address -> device, or back. */
void edu_fetch(struct edu *e, uint64_t iova, uint32_t len);
void edu_store(struct edu *e, uint64_t iova, uint32_t len);

/* As edu_fetch, to OFFSET in its buffer. */
void edu_fetch_at(struct edu *e, uint64_t iova, uint32_t len, uint32_t offset);

/* True while a transfer was started and has not happened yet. */
bool edu_busy(const struct edu *e);

/* Wait for the transfer's end; exits with a message after a minute. */
void edu_wait(struct edu *e);

/* Point its MSI at ADDRESS with DATA, then raise it; and take the enable bit away again. */
void edu_message(struct edu *e, uint64_t address, uint16_t data);

#endif
