/*
 * The seam to what the layer runs on. The hypervisor links its own definitions of these functions;
 * the host library links iommu/port/host, which passes each call to the table in cordon_port_ops;
 * the recording build links iommu/port/record, which also logs each event in order.
 *
 * COOKIE is the pointer from struct cordon_config, passed through unread.
 */
#ifndef CORDON_PORT_H
#define CORDON_PORT_H

#include <cordon/types.h>

/* Whether COOKIE can be used: on the host null, or a table of the right size with nothing reserved
 * in it. Asked once, by cordon_ctx_create, which answers EINVAL if not. */
bool cordon_port_accepts(void *cookie);

/* Device registers. Little-endian, naturally aligned, exactly one access of the given width. A read
 * is done before any later access of memory begins, a write comes after all earlier ones. */
uint32_t cordon_port_read32(void *cookie, cordon_hpa reg);
uint64_t cordon_port_read64(void *cookie, cordon_hpa reg);
void cordon_port_write32(void *cookie, cordon_hpa reg, uint32_t value);
void cordon_port_write64(void *cookie, cordon_hpa reg, uint64_t value);

/* Make each of HARTS (bit h: hart h, as cordon_domain_enter was told it; never 0) forget G-stage
 * translations of VMID (hfence.gvma), and wait until each has. GPA and LEN in bytes bound the
 * range; LEN 0 means the whole VMID. [Priv 18.3.2; SBI RFENCE] */
void cordon_port_hart_fence(void *cookie, uint64_t harts, uint16_t vmid, cordon_gpa gpa,
                            uint64_t len);

/* The same for every VMID: a new generation of them begins. Called by cordon_domain_enter. */
void cordon_port_hart_fence_all(void *cookie, uint64_t harts);

/* Make each of HARTS fetch instructions anew (fence.i), and wait until each does: frames of what
 * they run were written. [INV 9; SBI RFENCE] */
void cordon_port_code_fence(void *cookie, uint64_t harts);

/* Write back and drop whatever caches hold of LEN bytes at HPA, whole pages of RAM, and order that
 * before all that comes later (cbo.flush, fence). With CORDON_CTX_PBMT only. [Zicbom] */
void cordon_port_flush(void *cookie, cordon_hpa hpa, uint64_t len);

/* Monotonic time in microseconds, for bounded waits only. */
uint64_t cordon_port_time_us(void *cookie);

/* Called once a turn inside a bounded wait. */
void cordon_port_relax(void *cookie);

/* The invariant WHAT is broken: says so and never returns. */
_Noreturn void cordon_port_panic(const char *what, const char *file, int line);

/* Host builds only: the table behind the functions above. COOKIE in cordon_config points at a
 * structure whose first member is this. A null entry means: no such hardware (reads give all ones,
 * writes vanish, fences return at once, time is the host's monotonic clock). */
struct cordon_port_ops {
    uint32_t size;     /* sizeof(struct cordon_port_ops) */
    uint32_t reserved; /* 0 */
    void *user;        /* passed to each function below */
    uint64_t (*mmio_read)(void *user, uint64_t hpa, uint32_t width_bytes);
    void (*mmio_write)(void *user, uint64_t hpa, uint32_t width_bytes, uint64_t value);
    void (*hart_fence)(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len);
    void (*hart_fence_all)(void *user, uint64_t harts);
    uint64_t (*time_us)(void *user);
};

#define cordon_assert(cond) ((cond) ? (void)0 : cordon_port_panic(#cond, __FILE__, __LINE__))

#endif
