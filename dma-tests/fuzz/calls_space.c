/* See calls_space.h. */
#include "calls_space.h"
#include "calls_world.h"

static struct cordon_node node_of(struct input *in, struct cordon_extent *list)
{
    uint8_t b = input_byte(in);
    struct cordon_node n = {.size = input_size(in, sizeof(n)),
                            .id = 1u + input_byte(in) % 6,
                            .kind = b < 0xf0 ? 1u + b % 5 : b,
                            .priority = (int8_t)input_byte(in),
                            .disabled = b % 16 == 15,
                            .offset = input_gpa(in).v,
                            .len = input_len(in)};
    uint8_t parent = input_byte(in);

    n.parent = parent < 0x80   ? CORDON_NODE_ROOT
               : parent < 0xa0 ? CORDON_NODE_NOWHERE
               : parent < 0xf0 ? 1u + parent % 6
                               : input_u32(in);
    if (n.kind == CORDON_NODE_ALIAS) {
        n.target = 1u + input_byte(in) % 6;
        n.target_offset = input_byte(in) % 16 * PAGE;
    }
    n.perms = n.kind == CORDON_NODE_HOLE ? 0 : input_perms(in);
    if (n.kind == CORDON_NODE_RAM || n.kind == CORDON_NODE_MMIO) {
        n.flags = input_flags(in);
        n.extent_count = input_extents(in, list);
        n.extents = n.extent_count != 0 ? list : NULL;
    }
    return n;
}

static void call_space_update(struct input *in, cordon_space *s)
{
    struct cordon_extent list[OPS][EXTENTS];
    struct cordon_edit edits[OPS] = {{0}};
    size_t count = input_byte(in) % (OPS + 1);

    for (size_t i = 0; i < count; i++) {
        uint8_t kind = input_byte(in);

        edits[i].kind = kind < 0xf8 ? 1u + kind % 3 : kind;
        edits[i].node = node_of(in, list[i]);
    }
    (void)cordon_space_update(s, edits, count);
    world_forget_given();
}

static void call_slot(struct input *in, cordon_space *s)
{
    struct cordon_extent list[EXTENTS];
    struct cordon_slot slot = {.size = input_size(in, sizeof(slot)),
                               .id = input_byte(in) % 4,
                               .gpa = input_gpa(in),
                               .len = input_byte(in) % 8 == 0 ? 0 : input_len(in),
                               .flags = input_flags(in)};
    uint8_t b = input_byte(in);

    if (b < 0x40) {
        slot.hva = (void *)((uintptr_t)w.ram + (input_hpa(in).v - RAM_HPA));
    } else if (b < 0xc0) {
        slot.extent_count = input_extents(in, list);
        slot.extents = slot.extent_count != 0 ? list : NULL;
    }
    slot.flags |= b % 8 == 7 ? CORDON_SLOT_READONLY : 0;
    if (cordon_slot_set(s, &slot) == 0 && slot.len != 0) {
        world_put(slot.gpa, slot.len);
    }
    world_forget_given();
}

static void call_slot_harvest(struct input *in, cordon_space *s)
{
    uint64_t dirty[MAP_WORDS];
    struct cordon_harvest h = {.size = sizeof(h), .len = input_len(in), .dirty = dirty};
    struct cordon_harvested harvested;

    if (h.len <= MAP_WORDS * 64 * PAGE) {
        (void)cordon_slot_harvest(s, input_byte(in) % 4, &h, &harvested);
    }
}

void call_space(struct input *in)
{
    struct cordon_section section;
    struct cordon_node node;
    unsigned n = input_byte(in) % DOMAINS;

    switch (input_byte(in) % 8) {
    case 0:
        if (w.space[n] == NULL) {
            (void)cordon_space_create(w.domain[n], &w.space[n]);
        } else if (cordon_space_destroy(w.space[n]) == 0) {
            w.space[n] = NULL;
        }
        break;
    case 1:
    case 2:
    case 3:
        call_space_update(in, w.space[n]);
        break;
    case 4:
    case 5:
        call_slot(in, w.space[n]);
        break;
    case 6:
        call_slot_harvest(in, w.space[n]);
        break;
    default:
        (void)cordon_section_find(w.space[n], input_gpa(in), true, &section);
        (void)cordon_node_find(w.space[n], input_byte(in) % 8, true, &node);
        break;
    }
}
