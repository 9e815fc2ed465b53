/*
 * Isolation groups: what could reach each other without the IOMMU, or looks alike to it, is given
 * to one guest or to nobody. Access control services (ACS) decide [PCIe 6.12]: ports need all of
 * source validation, request and completion redirect and upstream forwarding; a function beside
 * others needs what it lists of them, since what an endpoint does not list it cannot do.
 */
#include "pci/group.h"
#include <cordon/error.h>

int pci_device_id(const struct pci_host *h, uint32_t bdf, uint32_t *iommu, uint32_t *id)
{
    uint32_t rid = bdf & h->rid_mask;

    for (uint32_t i = 0; i < h->map_count; i++) {
        const struct pci_iommu_map *m = &h->map[i];

        if (rid >= m->rid_base && rid - m->rid_base < m->length) {
            *iommu = m->iommu;
            *id = m->id_base + (rid - m->rid_base);
            return 0;
        }
    }
    return -CORDON_ENOENT;
}

/* Make two groups one, under the lower number. */
static void group_join(struct pci_host *h, uint32_t a, uint32_t b, enum pci_group_why why)
{
    uint32_t from = h->functions[a].group;
    uint32_t to = h->functions[b].group;
    uint32_t low = from < to ? from : to;

    if (h->functions[a].group_why == PCI_GROUP_ALONE) {
        h->functions[a].group_why = why;
    }
    if (h->functions[b].group_why == PCI_GROUP_ALONE) {
        h->functions[b].group_why = why;
    }
    for (uint32_t i = 0; i < h->count; i++) {
        uint32_t *group = &h->functions[i].group;

        if (*group == from || *group == to) {
            *group = low;
        }
    }
}

static uint32_t port_type(const struct pci_host *h, const struct pci_function *f)
{
    return (pci_read(h, f->bdf, f->caps.pcie) & PCI_EXP_TYPE) >> 20;
}

/* Switch on what F has of access control; true if that keeps peers apart. */
static bool acs_enable(const struct pci_host *h, const struct pci_function *f)
{
    if (f->caps.acs == 0) {
        return false;
    }
    uint32_t word = f->caps.acs + PCI_ACS_WORD;
    uint32_t has = pci_read(h, f->bdf, word) & PCI_ACS_WANTED;

    if (f->bridge && has != PCI_ACS_WANTED) {
        return false;
    }
    pci_change(h, f->bdf, word, 0xffff0000u, 0, has << 16);
    return (pci_read(h, f->bdf, word) >> 16 & has) == has;
}

static bool same_slot(const struct pci_function *a, const struct pci_function *b)
{
    return (a->bdf | 7u) == (b->bdf | 7u);
}

/* Functions of one slot, unless each of them keeps its peers apart. */
static void group_slots(struct pci_host *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (!h->functions[i].multi || acs_enable(h, &h->functions[i])) {
            continue;
        }
        for (uint32_t j = 0; j < h->count; j++) {
            if (j != i && same_slot(&h->functions[i], &h->functions[j])) {
                group_join(h, i, j, PCI_GROUP_MULTIFUNCTION);
            }
        }
    }
}

/* All that is below bridge TO, the bridge itself included, joins JOINER. */
static void group_below(struct pci_host *h, uint32_t joiner, uint32_t to, enum pci_group_why why)
{
    if (joiner != to) {
        group_join(h, joiner, to, why);
    }
    for (uint32_t i = to + 1; i < h->count; i++) {
        if (pci_is_below(h, &h->functions[i], to)) {
            group_join(h, i, joiner, why);
        }
    }
}

/* A port without access control lets what is below it talk to each other, and to what is below the
 * ports beside it. */
static void group_port(struct pci_host *h, uint32_t index)
{
    group_below(h, index, index, PCI_GROUP_BRIDGE);
    for (uint32_t i = 0; i < h->count; i++) {
        if (i != index && h->functions[i].bridge &&
            h->functions[i].parent == h->functions[index].parent) {
            group_below(h, index, i, PCI_GROUP_BRIDGE);
        }
    }
}

/* A conventional bridge puts its own requester id on what passes it. */
static void group_conventional(struct pci_host *h, uint32_t index)
{
    group_below(h, index, index, PCI_GROUP_CONVENTIONAL);
    for (uint32_t i = index + 1; i < h->count; i++) {
        if (pci_is_below(h, &h->functions[i], index)) {
            h->functions[i].alias = true;
        }
    }
}

static void group_bridges(struct pci_host *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        const struct pci_function *b = &h->functions[i];
        uint32_t type = b->caps.pcie != 0 ? port_type(h, b) : PCI_EXP_TYPE_FROM_PCI;

        if (!b->bridge) {
            continue;
        }
        if (type == PCI_EXP_TYPE_ROOT_PORT || type == PCI_EXP_TYPE_DOWNSTREAM) {
            if (!acs_enable(h, b)) {
                group_port(h, i);
            }
        } else if (type != PCI_EXP_TYPE_UPSTREAM) { /* a switch keeps apart at its lower ports */
            group_conventional(h, i);
        }
    }
}

static void group_ids(struct pci_host *h)
{
    uint32_t iommu[2];
    uint32_t id[2];

    for (uint32_t i = 0; i < h->count; i++) {
        if (h->functions[i].bridge ||
            pci_device_id(h, h->functions[i].bdf, &iommu[0], &id[0]) != 0) {
            continue;
        }
        for (uint32_t j = i + 1; j < h->count; j++) {
            if (!h->functions[j].bridge &&
                pci_device_id(h, h->functions[j].bdf, &iommu[1], &id[1]) == 0 &&
                iommu[0] == iommu[1] && id[0] == id[1]) {
                group_join(h, i, j, PCI_GROUP_SAME_ID);
            }
        }
    }
}

void pci_groups_make(struct pci_host *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        h->functions[i].group = i;
        h->functions[i].group_why = PCI_GROUP_ALONE;
        h->functions[i].alias = false;
    }
    group_slots(h);
    group_bridges(h);
    group_ids(h);
}

static int refuse(struct pci_refusal *out, int error, enum pci_why why, uint32_t bdf,
                  uint64_t value)
{
    *out = (struct pci_refusal){.why = why, .bdf = bdf, .value = value};
    return error;
}

int pci_claim(struct pci_host *h, uint32_t bdf, uint32_t guest, struct pci_refusal *out)
{
    struct pci_function *f = pci_find(h, bdf);

    if (guest == 0) {
        return -CORDON_EINVAL;
    }
    if (f == NULL) {
        return refuse(out, -CORDON_ENOENT, PCI_WHY_ABSENT, bdf, 0);
    }
    if (f->guest != 0) {
        return refuse(out, -CORDON_EBUSY, PCI_WHY_CLAIMED, bdf, f->guest);
    }
    if (f->bridge) {
        return refuse(out, -CORDON_EPERM, PCI_WHY_BRIDGE, bdf, 0);
    }
    if (f->class_code == PCI_CLASS_IOMMU) {
        return refuse(out, -CORDON_EPERM, PCI_WHY_IS_IOMMU, bdf, 0);
    }
    if (f->broken.why != PCI_WHY_NONE) {
        *out = f->broken;
        return -CORDON_EPERM;
    }
    f->guest = guest;
    return 0;
}

void pci_unclaim(struct pci_host *h, uint32_t bdf)
{
    struct pci_function *f = pci_find(h, bdf);

    if (f != NULL && !f->assigned) {
        f->guest = 0;
    }
}

int pci_group_check(const struct pci_host *h, const struct pci_function *f, struct pci_refusal *out)
{
    if (f->alias) {
        return refuse(out, -CORDON_EPERM, PCI_WHY_ALIAS, f->bdf, 0);
    }
    for (uint32_t i = 0; i < h->count; i++) {
        const struct pci_function *other = &h->functions[i];

        if (other->group == f->group && !other->bridge && other->guest != f->guest) {
            return refuse(out, -CORDON_EPERM, PCI_WHY_GROUP, f->bdf, other->bdf);
        }
    }
    return 0;
}
