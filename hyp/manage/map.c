/* What stands in a guest's map, what it is called, and how it came to be so. */
#include "manage/manage.h"
#include "vm/vm.h"

#define REGIONS_MAX 512u /* in one answer */

static struct json *begin(struct manage_event *e, const char *name, const struct vm *vm)
{
    struct json *j = manage_event_begin(e, name);

    json_text(j, "vm", vm_name(vm), VM_NAME_BYTES);
    return j;
}

static void send_region(const struct vm *vm, const struct cordon_region_info *r)
{
    struct manage_event e;
    struct json *j = begin(&e, "vm-region", vm);

    json_hex(j, "gpa", r->gpa.v);
    json_hex(j, "len", r->len);
    json_u64(j, "perms", r->perms);
    json_u64(j, "flags", r->flags);
    json_text(j, "what", vm_space_name(vm, r->gpa, r->flags), SIZE_MAX);
    manage_event_send(&e);
}

/* What the map has, and what of the space has nothing there. */
static uint32_t send_regions(const struct vm *vm)
{
    cordon_gpa gpa = cordon_gpa_make(0);
    struct cordon_region_info r;
    struct cordon_section s;
    uint32_t n = 0;

    for (; n < REGIONS_MAX && cordon_region_find(vm->domain, gpa, true, &r) == 0; n++) {
        send_region(vm, &r);
        gpa = cordon_gpa_add(r.gpa, r.len);
    }
    gpa = cordon_gpa_make(0);
    for (; n < REGIONS_MAX && cordon_section_find(vm->space, gpa, true, &s) == 0;
         gpa = cordon_gpa_add(s.gpa, s.len)) {
        if (s.kind == CORDON_NODE_HOLE) {
            send_region(vm, &(struct cordon_region_info){.gpa = s.gpa, .len = s.len});
            n++;
        }
    }
    return n;
}

static void send_change(const struct vm *vm, uint64_t number, const struct vm_change *c)
{
    static const char *const kinds[] = {"", "added", "removed", "changed"};
    struct manage_event e;
    struct json *j = begin(&e, "vm-change", vm);

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
    static struct vm_changes changes; /* one command at a time */
    struct manage_event e;
    struct json *j;
    uint32_t regions;

    if (!vm_hold(vm)) {
        return false;
    }
    regions = send_regions(vm);
    cordon_lock_take(&vm->changes.lock);
    changes = vm->changes;
    cordon_lock_give(&vm->changes.lock);
    vm_let_go(vm);
    for (uint64_t n = changes.count > VM_CHANGES ? changes.count - VM_CHANGES : 0;
         n < changes.count; n++) {
        send_change(vm, n, &changes.last[n % VM_CHANGES]);
    }
    j = begin(&e, "vm-map", vm);
    json_u64(j, "regions", regions);
    json_u64(j, "changes", changes.count);
    json_u64(j, "ram", changes.ram);
    json_u64(j, "mmio", changes.mmio);
    manage_event_send(&e);
    return true;
}
