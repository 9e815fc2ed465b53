/* See machine.h. */
#include "machine.h"
#include "lib/tool.h"
#include "model/model_port.h"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Registers of the IOMMU [IOMMU 5]. */
enum { R_DDTP = 0x10, R_FQB = 0x28 };
enum { DDTP_OFF = 0, DDTP_BARE = 1 };

static const struct argp_option options[] = {
    {"control", 'c', NULL, 0, "nothing confines the engine, IOVAs are host addresses", 0},
    {"seed", 's', "N", 0, "of memory's order, and of all that is random (1)", 0},
    {0},
};

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct machine_options *o = state->input;

    switch (key) {
    case 'c':
        o->control = true;
        return 0;
    case 's':
        o->seed = tool_number(text, 0, UINT32_MAX, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp machine_argp = {options, take_option, NULL, NULL, NULL, NULL, NULL};

void must(bool good, const char *what, int error)
{
    if (!good) {
        tool_cannot("%s%s%s", what, error != 0 ? ": " : "",
                    error != 0 ? cordon_strerror(error) : "");
    }
}

double machine_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t time_us(void *user)
{
    struct timespec t;

    (void)user;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void open_ram(struct machine *m)
{
    void *ram;

    m->ram_fd = memfd_create("ram", MFD_CLOEXEC);
    must(m->ram_fd >= 0 && ftruncate(m->ram_fd, (off_t)RAM_LEN) == 0, "no memory file", 0);
    ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram_fd, 0);
    must(ram != MAP_FAILED, "the memory file cannot be mapped", 0);
    m->ram = ram;
}

void machine_open(struct machine *m, bool confined, uint64_t seed)
{
    const struct cordon_extent bank = {{RAM_HPA}, RAM_LEN}, firmware = {{RAM_HPA}, FIRMWARE_LEN};
    const struct cordon_iommu_config icfg = {
        .size = sizeof(icfg), .base = {IOMMU_HPA}, .max_device_id = 0xffff};
    struct cordon_model_config mcfg = {
        .size = sizeof(mcfg), .ram_hpa = RAM_HPA, .ram_len = RAM_LEN};
    struct cordon_config cfg = {.size = sizeof(cfg),
                                .cookie = &m->port,
                                .banks = &bank,
                                .bank_count = 1,
                                .reserved = &firmware,
                                .reserved_count = 1,
                                .hart_modes = CORDON_MODE_SV39X4,
                                .vmid_bits = 14,
                                .seed = seed};
    int err;

    *m = (struct machine){.confined = confined, .seed = seed * 2 + 1};
    open_ram(m);
    mcfg.ram = m->ram;
    must(cordon_model_create(&mcfg, &m->model) == 0, "no software IOMMU", 0);
    m->port = model_port(m->model);
    m->port.time_us = time_us;
    cfg.ram_offset = (uint64_t)(uintptr_t)m->ram - RAM_HPA;
    err = cordon_ctx_create(&cfg, &m->ctx);
    must(err == 0, "no context", err);
    err = cordon_iommu_add(m->ctx, &icfg, &m->iommu);
    must(err == 0, "the IOMMU is not taken over", err);
}

void machine_open_up(struct machine *m)
{
    if (!m->confined) {
        cordon_model_write(m->model, R_DDTP, 8, DDTP_OFF);
        cordon_model_write(m->model, R_DDTP, 8, DDTP_BARE);
    }
}

/* The process ends: what the context holds goes with its RAM. */
void machine_close(struct machine *m)
{
    cordon_model_destroy(m->model);
    (void)munmap(m->ram, RAM_LEN);
    (void)close(m->ram_fd);
}

uint64_t machine_random(struct machine *m)
{
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    m->seed ^= m->seed << 17;
    return m->seed;
}

uint32_t machine_between(struct machine *m, uint32_t first, uint32_t last)
{
    return first + (uint32_t)((machine_random(m) >> 16) % (last - first + 1));
}

bool machine_fault(struct machine *m, struct cordon_fault *out)
{
    (void)cordon_faults_poll(m->iommu, UINT32_MAX);
    return cordon_faults_take(m->iommu, out, 1) == 1;
}

bool machine_is_fault_queue(struct machine *m, uint64_t hpa)
{
    uint64_t fqb = cordon_model_read(m->model, R_FQB, 8);
    uint64_t start = (fqb >> 10 & ((UINT64_C(1) << 44) - 1)) << 12;
    uint64_t bytes = UINT64_C(32) << ((fqb & 31) + 1); /* a record is 32 bytes [IOMMU 4.2] */

    return hpa - start < bytes;
}
