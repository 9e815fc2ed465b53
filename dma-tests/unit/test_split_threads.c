/*
 * One GiB is cut into 4 KiB leaves and put together again, while a hart and a device read and write
 * all over it: no access is lost, refused, or led elsewhere. The hart walks the tables itself, word
 * by word, and a walk of its that has begun ends before a fence does.
 *
 * Also built for ThreadSanitizer: `make check-threads`.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS, kinds of locks */

#include "model/cordon_sg.h"
#include "plain_bench.h"
#include "thread_bench.h"
#include "tlb_lock.h"

#define GIB (UINT64_C(1) << 30)
#define RAM_LEN (2 * GIB + GIB / 16)
#define GPA (5 * GIB)
#define AMO_HWAD (UINT64_C(1) << 24)
#define PLACES 512u    /* one in each 2 MiB; hart and device have a word each in all of them */
#define TURNS 3u       /* of cutting up and putting together, at least */
#define ACCESSES 4000u /* of each, at least */

static uint8_t *ram;
static cordon_ctx *ctx;
static cordon_domain *domain;
static cordon_model *model;
static struct cordon_port_ops ops;
static cordon_sg *engine;
static atomic_uint hart_accesses, device_accesses, wrong;

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
    for (unsigned long n = 1; !atomic_load(&threads.stop); n++) {
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
    uint64_t *buffer = cordon_sg_buffer(engine);
    uint64_t last[PLACES] = {0};

    (void)arg;
    for (uint64_t n = 1; !atomic_load(&threads.stop); n++) {
        const struct cordon_sg_descriptor in = {.iova = gpa_of(n, 1), .len = 8};
        const struct cordon_sg_descriptor out = {
            .iova = gpa_of(n, 1), .len = 8, .write = 1, .offset = 8};

        buffer[1] = n;
        if (cordon_sg_spurious(engine, &in) != 0 || buffer[0] != last[n * 197 % PLACES] ||
            cordon_sg_spurious(engine, &out) != 0) {
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
    const struct cordon_run_want want = {.flags = CORDON_RUN_NOZERO, .len = GIB, .align = GIB};
    cordon_hpa hpa = plain_grant(ctx, domain, GPA, want);

    for (uint64_t n = 0; n < PLACES; n++) { /* it was not scrubbed, for there is a GiB of it */
        memset(ram + (hpa.v - RAM) + (gpa_of(n, 0) - GPA), 0, 16);
    }
}

static void open_machine(uint64_t capabilities)
{
    tlb_open();
    atomic_store(&wrong, 0);
    atomic_store(&hart_accesses, 0);
    atomic_store(&device_accesses, 0);
    ram = plain_ram(RAM_LEN);
    model = plain_model(ram, RAM_LEN, capabilities);
    ops = model_port(model);
    ops.hart_fence = tlb_fence;
    ctx = plain_ctx(ram, RAM_LEN, 14, &ops);
    domain = plain_domain(ctx);
    plain_enter(domain, 0); /* for all of them */
    grant();
}

static void run(cordon_device *dev)
{
    const struct cordon_sg_config sc = {.size = sizeof(sc), .device_id = 7, .buffer_len = 64};
    pthread_t hart, device;

    assert_int_equal(cordon_device_attach(domain, dev, 0), 0);
    assert_int_equal(cordon_sg_create(model, &sc, &engine), 0);
    threads_start(hart_run, 1, &hart);
    threads_start(device_run, 1, &device);
    for (unsigned turn = 0; turn < TURNS || atomic_load(&hart_accesses) < ACCESSES ||
                            atomic_load(&device_accesses) < ACCESSES;
         turn++) {
        mark(CORDON_REGION_LOG);
        mark(0);
        assert_true(coalesce() >= 1);
    }
    atomic_store(&threads.stop, true);
    threads_join(1, &hart);
    threads_join(1, &device);
    threads_judge();
    assert_int_equal(atomic_load(&wrong), 0);
    plain_sound(ctx);
    cordon_sg_destroy(engine);
    assert_int_equal(cordon_device_detach(dev), 0);
}

static void cut_and_join(uint64_t capabilities)
{
    open_machine(capabilities);
    cordon_iommu *iommu = plain_iommu(ctx, 63);
    cordon_device *dev = plain_device(iommu, 7);

    run(dev);
    assert_int_equal(cordon_device_remove(dev), 0);
    assert_int_equal(cordon_domain_leave(domain, 0), 0);
    assert_int_equal(cordon_domain_destroy(domain), 0);
    assert_int_equal(cordon_iommu_remove(iommu), 0);
    assert_int_equal(cordon_ctx_destroy(ctx), 0);
    plain_model_close(model);
    munmap(ram, RAM_LEN);
    tlb_close();
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
