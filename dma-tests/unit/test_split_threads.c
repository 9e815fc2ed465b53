/*
 * One GiB is cut into 4 KiB leaves and put together again, while a hart and a device read and write
 * all over it: no access is lost, refused, or led elsewhere. The hart walks the tables itself, word
 * by word, and a walk of its that has begun ends before a fence does.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS; locks that a writer is not kept from for ever */

#include <cordon/cordon.h>

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "model/cordon_model.h"
#include "model/cordon_sg.h"

#define PAGE UINT64_C(4096)
#define GIB (UINT64_C(1) << 30)
#define RAM (2 * GIB)
#define RAM_LEN (2 * GIB + GIB / 16)
#define GPA (5 * GIB)
#define REGISTERS UINT64_C(0x3010000)
#define AMO_HWAD (UINT64_C(1) << 24)
#define PLACES 512u    /* one in each 2 MiB; hart and device have a word each in all of them */
#define TURNS 3u       /* of cutting up and putting together, at least */
#define ACCESSES 4000u /* of each, at least */

static uint8_t *ram;
static cordon_ctx *ctx;
static cordon_domain *domain;
static cordon_model *model;
static pthread_rwlock_t tlb; /* held for reading: a walk is under way */
static atomic_bool stop;
static atomic_uint hart_accesses, device_accesses, wrong;

static uint64_t on_read(void *user, uint64_t hpa, uint32_t width)
{
    (void)user;
    return cordon_model_read(model, (uint32_t)(hpa - REGISTERS), width);
}

static void on_write(void *user, uint64_t hpa, uint32_t width, uint64_t value)
{
    (void)user;
    cordon_model_write(model, (uint32_t)(hpa - REGISTERS), width, value);
}

static void hart_fence(void *user, uint64_t harts, uint16_t vmid, uint64_t gpa, uint64_t len)
{
    (void)user;
    (void)harts;
    (void)vmid;
    (void)gpa;
    (void)len;
    pthread_rwlock_wrlock(&tlb);
    pthread_rwlock_unlock(&tlb);
}

/* A place and a word of it, as turn N meets them. */
static uint64_t gpa_of(uint64_t n, unsigned who)
{
    uint64_t place = n * 197 % PLACES;

    return GPA + (place << 21) + place % 512 * PAGE + who * 8;
}

/* Sv39x4, as a hart walks it [Priv 18.5.1]; A and D it would set are not its concern here. Null: it
 * faulted. */
static atomic_ulong *hart_walk(uint64_t gpa)
{
    uint64_t table = (cordon_domain_hgatp(domain) & ((UINT64_C(1) << 44) - 1)) << 12;

    for (unsigned level = 2;; level--) {
        uint64_t index = gpa >> (12 + 9 * level) & (level == 2 ? 2047 : 511);
        const uint64_t *at = (const uint64_t *)(const void *)(ram + (table - RAM)) + index;
        uint64_t word = __atomic_load_n(at, __ATOMIC_ACQUIRE);

        if ((word & 0xf) != 1) {
            uint64_t inside = gpa & ((UINT64_C(1) << (12 + 9 * level)) - 1);
            bool leaf = (word & 7) == 7 && (word & 0x10) != 0;

            return leaf ? (atomic_ulong *)(void *)(ram + ((word >> 10 << 12) + inside - RAM))
                        : NULL;
        }
        table = word >> 10 << 12;
        if (level == 0) {
            return NULL;
        }
    }
}

static void *hart_run(void *arg)
{
    unsigned long last[PLACES] = {0};

    (void)arg;
    for (unsigned long n = 1; !atomic_load(&stop); n++) {
        pthread_rwlock_rdlock(&tlb);
        atomic_ulong *word = hart_walk(gpa_of(n, 0));

        if (word == NULL || atomic_exchange(word, n) != last[n * 197 % PLACES]) {
            atomic_fetch_add(&wrong, 1);
        }
        pthread_rwlock_unlock(&tlb);
        last[n * 197 % PLACES] = n;
        atomic_fetch_add(&hart_accesses, 1);
    }
    return NULL;
}

static void *device_run(void *arg)
{
    cordon_sg *sg = arg;
    uint64_t *buffer = cordon_sg_buffer(sg);
    uint64_t last[PLACES] = {0};

    for (uint64_t n = 1; !atomic_load(&stop); n++) {
        const struct cordon_sg_descriptor in = {.iova = gpa_of(n, 1), .len = 8};
        const struct cordon_sg_descriptor out = {
            .iova = gpa_of(n, 1), .len = 8, .write = 1, .offset = 8};

        buffer[1] = n;
        if (cordon_sg_spurious(sg, &in) != 0 || buffer[0] != last[n * 197 % PLACES] ||
            cordon_sg_spurious(sg, &out) != 0) {
            atomic_fetch_add(&wrong, 1);
        }
        last[n * 197 % PLACES] = n;
        atomic_fetch_add(&device_accesses, 1);
    }
    return NULL;
}

static void mark(uint32_t flags)
{
    struct cordon_op op = {.kind = CORDON_OP_MARK, .flags = flags, .gpa = {GPA}, .len = GIB};

    assert_int_equal(cordon_change(domain, &op, 1), 0);
}

static uint64_t coalesce(void)
{
    struct cordon_coalesce what = {.size = sizeof(what), .gpa = {GPA}, .len = GIB, .budget = 100};
    struct cordon_coalesced out;
    uint64_t giga = 0;

    while (what.len > 0) {
        assert_int_equal(cordon_coalesce(domain, &what, &out), 0);
        giga += out.giga;
        what.len -= out.next.v - what.gpa.v;
        what.gpa = out.next;
    }
    return giga;
}

static void grant(void)
{
    const struct cordon_run_want want = {
        .size = sizeof(want), .flags = CORDON_RUN_NOZERO, .len = GIB, .align = GIB};
    struct cordon_extent e = {.len = GIB};
    struct cordon_op op = {.kind = CORDON_OP_GRANT,
                           .gpa = {GPA},
                           .len = GIB,
                           .perms = CORDON_RWX,
                           .extents = &e,
                           .extent_count = 1};

    assert_int_equal(cordon_run_alloc(ctx, &want, &e.hpa), 0);
    assert_int_equal(cordon_change(domain, &op, 1), 0);
    for (uint64_t n = 0; n < PLACES; n++) { /* it was not scrubbed, for there is a GiB of it */
        memset(ram + (e.hpa.v - RAM) + (gpa_of(n, 0) - GPA), 0, 16);
    }
}

static void open_machine(uint64_t capabilities, struct cordon_port_ops *ops)
{
    const struct cordon_extent bank = {{RAM}, RAM_LEN};
    const struct cordon_domain_config dc = {.size = sizeof(dc), .gpa_limit = 8 * GIB};
    struct cordon_model_config mc = {
        .size = sizeof(mc), .ram_hpa = RAM, .ram_len = RAM_LEN, .capabilities = capabilities};
    pthread_rwlockattr_t fair;

    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&tlb, &fair);
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    atomic_store(&hart_accesses, 0);
    atomic_store(&device_accesses, 0);
    ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
               -1, 0);
    assert_ptr_not_equal(ram, MAP_FAILED);
    mc.ram = ram;
    assert_int_equal(cordon_model_create(&mc, &model), 0);
    const struct cordon_config cfg = {.size = sizeof(cfg),
                                      .cookie = ops,
                                      .ram_offset = (uint64_t)(uintptr_t)ram - RAM,
                                      .banks = &bank,
                                      .bank_count = 1,
                                      .hart_modes = CORDON_MODE_SV39X4,
                                      .vmid_bits = 14};

    assert_int_equal(cordon_ctx_create(&cfg, &ctx), 0);
    struct cordon_entry entry = {.size = sizeof(entry)};
    assert_int_equal(cordon_domain_create(ctx, &dc, &domain), 0);
    assert_int_equal(cordon_domain_enter(domain, 0, &entry), 0); /* for all of them */
    grant();
}

static void run(cordon_device *dev)
{
    const struct cordon_sg_config sc = {.size = sizeof(sc), .device_id = 7, .buffer_len = 64};
    pthread_t hart, device;
    struct cordon_finding found;
    cordon_sg *sg;

    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    assert_int_equal(cordon_sg_create(model, &sc, &sg), 0);
    assert_int_equal(pthread_create(&hart, NULL, hart_run, NULL), 0);
    assert_int_equal(pthread_create(&device, NULL, device_run, sg), 0);
    for (unsigned turn = 0; turn < TURNS || atomic_load(&hart_accesses) < ACCESSES ||
                            atomic_load(&device_accesses) < ACCESSES;
         turn++) {
        mark(CORDON_REGION_LOG);
        mark(0);
        assert_true(coalesce() >= 1);
    }
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(hart, NULL), 0);
    assert_int_equal(pthread_join(device, NULL), 0);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(cordon_audit(ctx, &found), 0);
    cordon_sg_destroy(sg);
    assert_int_equal(cordon_device_detach(dev), 0);
}

static void cut_and_join(uint64_t capabilities)
{
    struct cordon_port_ops ops = {.size = sizeof(ops),
                                  .mmio_read = on_read,
                                  .mmio_write = on_write,
                                  .hart_fence = hart_fence};
    const struct cordon_iommu_config ic = {
        .size = sizeof(ic), .base = {REGISTERS}, .timeout_us = 30000000, .max_device_id = 63};
    const struct cordon_device_config dc = {
        .size = sizeof(dc), .device_id = 7, .drain = CORDON_DRAIN_IOMMU, .name = "engine"};
    cordon_iommu *iommu;
    cordon_device *dev;

    open_machine(capabilities, &ops);
    assert_int_equal(cordon_iommu_add(ctx, &ic, &iommu), 0);
    assert_int_equal(cordon_device_add(iommu, &dc, &dev), 0);
    run(dev);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_leave(domain, 0), 0);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(cordon_ctx_destroy(ctx), 0);
    cordon_model_destroy(model);
    munmap(ram, RAM_LEN);
    pthread_rwlock_destroy(&tlb);
}

static void test_a_gib_is_cut_up_and_joined_under_a_hart_and_a_device(void **state)
{
    (void)state;
    cut_and_join(0);
}

static void test_the_same_where_the_iommu_sets_a_and_d(void **state)
{
    (void)state;
    cut_and_join(CORDON_MODEL_CAPABILITIES | AMO_HWAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gib_is_cut_up_and_joined_under_a_hart_and_a_device),
        cmocka_unit_test(test_the_same_where_the_iommu_sets_a_and_d),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
