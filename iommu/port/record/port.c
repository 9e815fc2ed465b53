/* The recording port: registers, harts, time and panic, as on the host. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "order.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct cordon_port_ops *ops_of(void *cookie)
{
    return cookie;
}

bool cordon_port_accepts(void *cookie)
{
    const struct cordon_port_ops *ops = ops_of(cookie);

    return ops == NULL || ((ops->size == sizeof(*ops) || ops->size == sizeof(struct port_record)) &&
                           ops->reserved == 0);
}

static uint64_t port_read(void *cookie, cordon_hpa reg, uint32_t width)
{
    const struct cordon_port_ops *ops = ops_of(cookie);

    if (ops == NULL || ops->mmio_read == NULL) {
        return ~UINT64_C(0);
    }
    return ops->mmio_read(ops->user, reg.v, width);
}

static void port_write(void *cookie, cordon_hpa reg, uint32_t width, uint64_t value)
{
    const struct cordon_port_ops *ops = ops_of(cookie);

    record_mmio_write(cookie, reg.v, value);
    if (ops != NULL && ops->mmio_write != NULL) {
        ops->mmio_write(ops->user, reg.v, width, value);
    }
}

uint32_t cordon_port_read32(void *cookie, cordon_hpa reg)
{
    return (uint32_t)port_read(cookie, reg, 4);
}

uint64_t cordon_port_read64(void *cookie, cordon_hpa reg)
{
    return port_read(cookie, reg, 8);
}

void cordon_port_write32(void *cookie, cordon_hpa reg, uint32_t value)
{
    port_write(cookie, reg, 4, value);
}

void cordon_port_write64(void *cookie, cordon_hpa reg, uint64_t value)
{
    port_write(cookie, reg, 8, value);
}

void cordon_port_hart_fence(void *cookie, uint64_t harts, uint16_t vmid, cordon_gpa gpa,
                            uint64_t len)
{
    const struct cordon_port_ops *ops = ops_of(cookie);

    record_hart_fence(cookie, harts, vmid, gpa.v, len);
    if (ops != NULL && ops->hart_fence != NULL) {
        ops->hart_fence(ops->user, harts, vmid, gpa.v, len);
    }
}

void cordon_port_hart_fence_all(void *cookie, uint64_t harts)
{
    const struct cordon_port_ops *ops = ops_of(cookie);

    record_hart_fence_all(cookie, harts);
    if (ops != NULL && ops->hart_fence_all != NULL) {
        ops->hart_fence_all(ops->user, harts);
    }
}

void cordon_port_code_fence(void *cookie, uint64_t harts)
{
    record_code_fence(cookie, harts);
}

void cordon_port_flush(void *cookie, cordon_hpa hpa, uint64_t len)
{
    record_flush(cookie, hpa.v, len);
}

uint64_t cordon_port_time_us(void *cookie)
{
    const struct cordon_port_ops *ops = ops_of(cookie);
    struct timespec now;

    if (ops != NULL && ops->time_us != NULL) {
        return ops->time_us(ops->user);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void cordon_port_relax(void *cookie)
{
    (void)cookie;
}

_Noreturn void cordon_port_panic(const char *what, const char *file, int line)
{
    fprintf(stderr, "cordon: %s:%d: invariant broken: %s\n", file, line, what);
    abort();
}
