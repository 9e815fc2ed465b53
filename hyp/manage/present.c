/*
 * What of a guest's memory is present, by GPA, for pictures and tests outside.
 *
 * Records of 16 bytes, little-endian: first guest page (64 bits), pages (32), log2 of the leaves'
 * bytes (16), rights (CORDON_READ..) and memory type (CORDON_REGION_NC.., together 16); neighbours
 * of one size, rights and type are one record. One command looks at so many leaves at most, and
 * says where to go on.
 */
#include "manage/manage.h"
#include "vm/vm.h"

#define RECORDS 256u
#define LEAVES_MAX 2048u /* that one command looks at: a few milliseconds on an emulator */

struct record {
    uint64_t first;
    uint32_t pages;
    uint16_t shift;
    uint16_t perms;
};

_Static_assert(sizeof(struct record) == 16, "the format of present.c");

struct page {
    struct record record[RECORDS];
    uint32_t count;
    uint64_t next; /* GPA to go on from; 0: nothing is left */
};

/* Neighbours become one. False: there is no room. */
static bool add(struct page *p, cordon_gpa gpa, const struct cordon_hit *hit)
{
    struct record one = {gpa.v >> CORDON_PAGE_SHIFT, (uint32_t)(hit->span >> CORDON_PAGE_SHIFT),
                         (uint16_t)hit->shift, (uint16_t)(hit->perms | hit->type)};
    struct record *last = p->count > 0 ? &p->record[p->count - 1] : NULL;

    if (last != NULL && last->first + last->pages == one.first && last->shift == one.shift &&
        last->perms == one.perms && last->pages <= UINT32_MAX - one.pages) {
        last->pages += one.pages;
        return true;
    }
    if (p->count == RECORDS) {
        return false;
    }
    p->record[p->count++] = one;
    return true;
}

static void collect(const struct vm *vm, uint64_t from, struct page *p)
{
    cordon_gpa gpa = cordon_gpa_make(from);
    struct cordon_hit hit;

    for (uint32_t i = 0; cordon_leaf_next(vm->domain, 0, &gpa, &hit) == 0; i++) {
        if (i == LEAVES_MAX || !add(p, gpa, &hit)) {
            p->next = gpa.v;
            return;
        }
        gpa = cordon_gpa_add(gpa, hit.span);
    }
}

bool manage_send_present(struct channel *c, struct vm *vm, uint64_t from)
{
    static struct page page; /* one command at a time */
    struct manage_event e;
    struct json *j;

    if (!vm_hold(vm)) {
        return false;
    }
    page.count = 0;
    page.next = 0;
    collect(vm, from, &page);
    vm_let_go(vm);
    if (page.count > 0) {
        channel_send(c, 'B', STREAM_PRESENT, page.record, page.count * sizeof(page.record[0]));
    }
    j = manage_event_of(&e, "vm-present", vm);
    json_u64(j, "records", page.count);
    json_hex(j, "next", page.next);
    manage_event_send(&e);
    return true;
}
