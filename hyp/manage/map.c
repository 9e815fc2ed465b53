/* What stands in a guest's map, what it is called, and how it came to be so. */
#include "manage/manage.h"
#include "vm/vm.h"

#define REGIONS_MAX 512u /* in one answer */

/* A map at one moment. Regions of no rights are holes of the space. */
struct picture {
    uint32_t count;
    struct {
        struct cordon_region_info region;
        const char *what; /* it is called */
    } at[REGIONS_MAX];
    struct vm_changes changes;
};

static void add(struct picture *p, const struct vm *vm, struct cordon_region_info r)
{
    p->at[p->count].region = r;
    p->at[p->count++].what = vm_space_name(vm, r.gpa, r.flags);
}

/* What the map has, what of the space has nothing there, and how it came to be so. VM is held. */
static void take(struct picture *p, struct vm *vm)
{
    cordon_gpa gpa = cordon_gpa_make(0);
    struct cordon_region_info r;
    struct cordon_section s;

    p->count = 0;
    while (p->count < REGIONS_MAX && cordon_region_find(vm->domain, gpa, true, &r) == 0) {
        add(p, vm, r);
        gpa = cordon_gpa_add(r.gpa, r.len);
    }
    gpa = cordon_gpa_make(0);
    while (p->count < REGIONS_MAX && cordon_section_find(vm->space, gpa, true, &s) == 0) {
        if (s.kind == CORDON_NODE_HOLE) {
            add(p, vm, (struct cordon_region_info){.gpa = s.gpa, .len = s.len});
        }
        gpa = cordon_gpa_add(s.gpa, s.len);
    }
    cordon_lock_take(&vm->changes.lock);
    p->changes = vm->changes;
    cordon_lock_give(&vm->changes.lock);
}

static void send_region(const struct vm *vm, const struct cordon_region_info *r, const char *what)
{
    struct manage_event e;
    struct json *j = manage_event_of(&e, "vm-region", vm);

    json_hex(j, "gpa", r->gpa.v);
    json_hex(j, "len", r->len);
    json_u64(j, "perms", r->perms);
    json_u64(j, "flags", r->flags);
    json_text(j, "what", what, SIZE_MAX);
    manage_event_send(&e);
}

static void send_change(const struct vm *vm, uint64_t number, const struct vm_change *c)
{
    static const char *const kinds[] = {"", "added", "removed", "changed"};
    struct manage_event e;
    struct json *j = manage_event_of(&e, "vm-change", vm);

    json_u64(j, "number", number);
    json_u64(j, "time_us", c->time);
    json_text(j, "kind", kinds[c->told.kind], SIZE_MAX);
    json_hex(j, "gpa", c->told.gpa.v);
    json_hex(j, "len", c->told.len);
    json_u64(j, "perms", c->told.perms);
    json_u64(j, "flags", c->told.flags);
    json_u64(j, "was_perms", c->told.was_perms);
    json_u64(j, "was_flags", c->told.was_flags);
    manage_event_send(&e);
}

bool manage_send_map(struct vm *vm)
{
    static struct picture picture; /* one command at a time */
    const struct vm_changes *c = &picture.changes;
    struct manage_event e;
    struct json *j;

    if (!vm_hold(vm)) {
        return false;
    }
    take(&picture, vm);
    vm_let_go(vm);
    for (uint32_t i = 0; i < picture.count; i++) {
        send_region(vm, &picture.at[i].region, picture.at[i].what);
    }
    for (uint64_t n = c->count > VM_CHANGES ? c->count - VM_CHANGES : 0; n < c->count; n++) {
        send_change(vm, n, &c->last[n % VM_CHANGES]);
    }
    j = manage_event_of(&e, "vm-map", vm);
    json_u64(j, "regions", picture.count);
    json_u64(j, "changes", c->count);
    json_u64(j, "ram", c->ram);
    json_u64(j, "mmio", c->mmio);
    manage_event_send(&e);
    return true;
}
