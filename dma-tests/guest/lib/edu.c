/* QEMU's edu function as an instrument: see edu.h. */
#include "lib/edu.h"

#include <err.h>
#include <time.h>

#define REG_RAISE 0x60u
#define REG_ACKNOWLEDGE 0x64u
#define REG_SOURCE 0x80u
#define REG_TARGET 0x88u
#define REG_COUNT 0x90u
#define REG_COMMAND 0x98u
#define COMMAND_RUN 1u
#define COMMAND_TO_MEMORY 2u
#define BUFFER_ADDRESS 0x40000u
#define TIMEOUT_SECONDS 60

static void put64(struct edu *e, unsigned reg, uint64_t value)
{
    *(volatile uint64_t *)(e->bar + reg) = value;
}

static uint64_t get64(const struct edu *e, unsigned reg)
{
    return *(volatile uint64_t *)(e->bar + reg);
}

size_t edu_open(struct edu *out, size_t max)
{
    struct pci functions[EDU_MAX];
    size_t count = pci_open(EDU_VENDOR, EDU_DEVICE, functions, max < EDU_MAX ? max : EDU_MAX);
    size_t len;

    if (count == 0) {
        errx(2, "this guest has no edu function");
    }
    for (size_t i = 0; i < count; i++) {
        out[i].pci = functions[i];
        out[i].bar = pci_map(&functions[i], 0, &len);
    }
    return count;
}

static void start(struct edu *e, uint64_t from, uint64_t to, uint32_t len, uint64_t command)
{
    if (len == 0 || len > EDU_BUFFER) {
        errx(2, "edu copies 1 to %u bytes, not %u", EDU_BUFFER, len);
    }
    edu_wait(e);
    put64(e, REG_SOURCE, from);
    put64(e, REG_TARGET, to);
    put64(e, REG_COUNT, len);
    put64(e, REG_COMMAND, command | COMMAND_RUN);
}

void edu_fetch(struct edu *e, uint64_t iova, uint32_t len)
{
    start(e, iova, BUFFER_ADDRESS, len, 0);
}

void edu_fetch_at(struct edu *e, uint64_t iova, uint32_t len, uint32_t offset)
{
    if (offset > EDU_BUFFER || len > EDU_BUFFER - offset) {
        errx(2, "edu's buffer does not have %u bytes at %u", len, offset);
    }
    start(e, iova, BUFFER_ADDRESS + offset, len, 0);
}

void edu_store(struct edu *e, uint64_t iova, uint32_t len)
{
    start(e, BUFFER_ADDRESS, iova, len, COMMAND_TO_MEMORY);
}

bool edu_busy(const struct edu *e)
{
    return (get64(e, REG_COMMAND) & COMMAND_RUN) != 0;
}

void edu_wait(struct edu *e)
{
    struct timespec now, end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += TIMEOUT_SECONDS;
    while (edu_busy(e)) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > end.tv_sec) {
            errx(2, "%s: the transfer does not end", e->pci.name);
        }
    }
}

void edu_message(struct edu *e, uint64_t address, uint16_t data)
{
    pci_message_on(&e->pci, address, data);
    *(volatile uint32_t *)(e->bar + REG_RAISE) = 1;
    *(volatile uint32_t *)(e->bar + REG_ACKNOWLEDGE) = 1;
    pci_message_off(&e->pci);
}
