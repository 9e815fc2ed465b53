/* What the tables of a guest's G-stage are made of. */
#include "manage/manage.h"
#include "vm/vm.h"

static void numbers(struct json *j, const char *name, const uint64_t *of, uint32_t count)
{
    json_array(j, name);
    for (uint32_t i = 0; i < count; i++) {
        json_u64(j, NULL, of[i]);
    }
    json_array_end(j);
}

int manage_send_tables(struct vm *vm)
{
    struct cordon_shape s = {.size = sizeof(s)};
    struct manage_event e;
    struct json *j;
    int err;

    if (!vm_hold(vm)) {
        return -CORDON_ENOENT;
    }
    err = cordon_shape(vm->domain, 0, &s);
    vm_let_go(vm);
    if (err != 0) {
        return err;
    }
    j = manage_event_of(&e, "vm-tables", vm);
    json_u64(j, "mode", s.mode);
    json_u64(j, "levels", s.levels);
    numbers(j, "tables", s.tables, s.levels);
    numbers(j, "shared", s.shared, s.levels);
    numbers(j, "leaves", s.leaves, s.levels);
    json_u64(j, "napot", s.napot);
    json_u64(j, "table_bytes", s.table_bytes);
    json_u64(j, "mapped", s.mapped);
    json_u64(j, "flat_bytes", s.flat_bytes);
    manage_event_send(&e);
    return 0;
}
