/* Pages given back and taken again: see holes.h. A page that was given is not touched until it was
 * taken, and stays mapped meanwhile, so that the kernel does not touch it either. */
#include "lib/holes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GIVEN_MAX 8u
#define BLOCK (PAGE_BYTES / EDU_MAX)
#define ROUNDS 2u

static struct page given[GIVEN_MAX];
static size_t given_count;

/* True if it is given now, with or without frames on their way. */
static bool give(const struct own *own, struct page page, uint32_t *error)
{
    *error = own_give(own, page.gpa, PAGE_BYTES).error;
    if (*error != 0 && *error != OWN_PENDING) {
        return false;
    }
    given[given_count++] = page;
    return true;
}

void hole_make(const struct own *own, const char *name, uint64_t gpa)
{
    struct page page = {.gpa = gpa};
    uint32_t error = 0;
    bool ours = page_is_left_alone(gpa);
    const char *how = "no-room";

    if (given_count < GIVEN_MAX) {
        if (!ours) {
            page = page_find(gpa);
            ours = page.at != NULL;
        }
        how = !ours ? "not-found" : give(own, page, &error) ? "made" : "refused";
    }
    printf("CORDON-ROGUE hole %s %#" PRIx64 " %s error=%u flags=%#" PRIx64 ".\n", name, gpa, how,
           error, ours ? 0 : page_flags(gpa));
}

static void store_all(struct worker *w, size_t workers, uint64_t gpa)
{
    for (size_t i = 0; i < workers; i++) {
        edu_store(&w[i].edu, gpa + i * BLOCK, BLOCK);
    }
}

static void wait_all(struct worker *w, size_t workers)
{
    for (size_t i = 0; i < workers; i++) {
        edu_wait(&w[i].edu);
    }
}

static void load_all(struct worker *w, size_t workers, const char *pattern)
{
    for (size_t i = 0; i < workers; i++) {
        worker_load(&w[i], pattern);
    }
    wait_all(w, workers);
}

/* DMA that works, for as long as the page is ours. */
static bool write_honestly(struct worker *w, size_t workers, const struct page *page)
{
    bool good = true;

    load_all(w, workers, MARKER);
    for (unsigned round = 0; round < ROUNDS; round++) {
        memset(page->at, 0, PAGE_BYTES);
        store_all(w, workers, page->gpa);
        wait_all(w, workers);
        good = good && memcmp(page->at, w[0].from.at, workers * BLOCK) == 0;
    }
    return good;
}

void hole_giveback(const struct own *own, struct worker *w, size_t workers, const char *name)
{
    struct page page = page_get();
    uint32_t error = 0, pending = 0;
    bool honest = write_honestly(w, workers, &page);
    bool gone = false;

    load_all(w, workers, LATE);
    if (given_count < GIVEN_MAX) {
        store_all(w, workers, page.gpa);
        gone = give(own, page, &error);
        for (size_t i = 0; i < workers; i++) {
            pending |= (uint32_t)edu_busy(&w[i].edu) << i;
        }
    }
    wait_all(w, workers);
    store_all(w, workers, page.gpa);
    wait_all(w, workers);
    printf("CORDON-ROGUE giveback %s %#" PRIx64 " %s honest=%s error=%u pending=%#x edus=%zu.\n",
           name, page.gpa, gone ? "gone" : "refused", honest ? "yes" : "no", error, pending,
           workers);
}

static bool is_zero(const uint8_t *at)
{
    return at[0] == 0 && memcmp(at, at + 1, PAGE_BYTES - 1) == 0;
}

void hole_take(const struct own *own, struct worker *w, uint64_t gpa)
{
    for (size_t i = 0; i < given_count; i++) {
        struct page page = given[i];
        struct own_answer a;
        bool zero, works;

        if (page.gpa != gpa) {
            continue;
        }
        a = own_take(own, gpa, PAGE_BYTES);
        if (a.error != 0) {
            printf("CORDON-ROGUE take %#" PRIx64 " refused error=%u.\n", gpa, a.error);
            return;
        }
        given[i] = given[--given_count];
        zero = page.at == NULL || is_zero(page.at);
        works = page.at == NULL || write_honestly(w, 1, &page);
        printf("CORDON-ROGUE take %#" PRIx64 " taken zero=%s dma=%s.\n", gpa, zero ? "yes" : "no",
               works ? "good" : "bad");
        return;
    }
    printf("CORDON-ROGUE take %#" PRIx64 " refused: it was not given.\n", gpa);
}

void hole_take_all(const struct own *own)
{
    while (given_count > 0) {
        uint64_t gpa = given[--given_count].gpa;
        struct own_answer a = own_take(own, gpa, PAGE_BYTES);

        printf("CORDON-ROGUE take %#" PRIx64 " %s error=%u.\n", gpa,
               a.error == 0 ? "taken" : "refused", a.error);
    }
}
