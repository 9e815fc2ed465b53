/* What stands where in host memory, for whoever attacks it in a test or judges an attack. */
#include "boot/layout.h"
#include "core/hart.h"
#include "core/machine.h"
#include "core/memory.h"
#include "manage/manage.h"

extern const char _image_start[], _rodata_start[], _data_start[], _image_end[];

/* CHANGES: the hypervisor writes there in the ordinary course. */
static void place(const char *name, cordon_hpa hpa, uint64_t len, bool changes)
{
    struct manage_event e;
    struct json *j = manage_event_begin(&e, "place");

    json_text(j, "name", name, SIZE_MAX);
    json_hex(j, "hpa", hpa.v);
    json_hex(j, "len", len);
    json_bool(j, "changes", changes);
    manage_event_send(&e);
}

static void image(void)
{
    cordon_hpa load = memory_image().hpa;
    uint64_t rodata = (uint64_t)(_rodata_start - _image_start);
    uint64_t data = (uint64_t)(_data_start - _image_start);

    place("hypervisor code", load, rodata, false);
    place("hypervisor constants", cordon_hpa_add(load, rodata), data - rodata, false);
    place("hypervisor data and log", cordon_hpa_add(load, data),
          (uint64_t)(_image_end - _data_start), true);
}

void manage_send_places(void)
{
    struct manage_event e;

    image();
    for (uint32_t i = 0; i < machine.reserved_count; i++) {
        const struct machine_reserved *r = &machine.reserved[i];

        if (r->run.hpa.v != memory_image().hpa.v) {
            place(r->what, r->run.hpa, r->run.len,
                  r->no_map || r->run.hpa.v == arena_extent().hpa.v);
        }
    }
    for (uint32_t i = 0; i < machine.iommu_count; i++) {
        if (machine.iommu[i].base.v != 0) {
            place("IOMMU registers", machine.iommu[i].base, CORDON_PAGE_SIZE, true);
        }
    }
    for (uint32_t i = 0; i < hart_count; i++) {
        if (harts[i].imsic != 0) {
            place("interrupt files of a hart", cordon_hpa_make(harts[i].imsic),
                  (harts[i].guest_files + UINT64_C(1)) << CORDON_PAGE_SHIFT, true);
        }
    }
    (void)manage_event_begin(&e, "places");
    manage_event_send(&e);
}
