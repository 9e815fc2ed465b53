/*
 * Sources, modes and messages of an APLIC in MSI delivery mode.
 *
 * After each step no source is pending and enabled while the domain is enabled: such a source has
 * been sent. [AIA 4.7 says when a pending bit is set and cleared, 4.9 when a message goes.]
 */
#include "aplic/aplic.h"

#include "aplic/aplic_regs.h"

#define ALL_SOURCES 0xFFFFFFFEu

static bool aplic_is_level(uint8_t mode)
{
    return mode == APLIC_LEVEL1 || mode == APLIC_LEVEL0;
}

/* Rectified input value of source I: 0 if it is inactive or detached [AIA 4.5.2]. */
static bool aplic_rectified(const struct aplic *a, uint32_t i)
{
    bool high = (a->wire >> i & 1) != 0;

    switch (a->mode[i]) {
    case APLIC_EDGE1:
    case APLIC_LEVEL1:
        return high;
    case APLIC_EDGE0:
    case APLIC_LEVEL0:
        return !high;
    default:
        return false;
    }
}

static uint32_t aplic_rectified_all(const struct aplic *a)
{
    uint32_t values = 0;

    for (uint32_t i = 1; i <= APLIC_SOURCES; i++) {
        values |= (uint32_t)aplic_rectified(a, i) << i;
    }
    return values;
}

static uint32_t aplic_active_all(const struct aplic *a)
{
    uint32_t active = 0;

    for (uint32_t i = 1; i <= APLIC_SOURCES; i++) {
        active |= (uint32_t)(a->mode[i] != APLIC_INACTIVE) << i;
    }
    return active;
}

/* A message to a hart that is not there, or with identity 0, reaches nobody. */
static void aplic_send(const struct aplic *a, uint32_t target)
{
    uint32_t vcpu = target >> TARGET_HART_SHIFT;
    uint32_t identity = target & TARGET_EIID;

    if (vcpu < a->vcpus && identity != 0) {
        a->msi.send(a->msi.arg, vcpu, identity);
    }
}

/* Forward what is pending and enabled; forwarding clears the pending bit [AIA 4.9]. */
static void aplic_forward(struct aplic *a)
{
    uint32_t ready = a->enabled ? a->pending & a->enable : 0;

    a->pending &= ~ready;
    for (uint32_t i = 1; i <= APLIC_SOURCES; i++) {
        if (ready >> i & 1) {
            aplic_send(a, a->target[i]);
        }
    }
}

/* setip and setipnum: a level source can be made pending only while its input is high [AIA 4.7]. */
static void aplic_set_pending(struct aplic *a, uint32_t sources)
{
    sources &= aplic_active_all(a);
    for (uint32_t i = 1; i <= APLIC_SOURCES; i++) {
        if (aplic_is_level(a->mode[i]) && !aplic_rectified(a, i)) {
            sources &= ~(UINT32_C(1) << i);
        }
    }
    a->pending |= sources;
}

/* The bit of source number I; no bit for what is no source. */
static uint32_t aplic_bit(uint32_t i)
{
    return i <= APLIC_SOURCES ? (UINT32_C(1) << i) & ALL_SOURCES : 0;
}

/*
 * The new mode takes effect at once. A level source whose input is high becomes pending, lest an
 * interrupt that was asserted before be lost; a mode's change is no edge. Inactive clears all.
 */
static void aplic_write_sourcecfg(struct aplic *a, uint32_t i, uint32_t value)
{
    uint8_t mode = value & SOURCECFG_D ? APLIC_INACTIVE : (uint8_t)(value & SOURCECFG_SM);
    uint32_t bit = UINT32_C(1) << i;

    if (mode == 2 || mode == 3) {
        mode = APLIC_INACTIVE;
    }
    a->mode[i] = mode;
    if (mode == APLIC_INACTIVE) {
        a->pending &= ~bit;
        a->enable &= ~bit;
        a->target[i] = 0;
    } else if (aplic_is_level(mode)) {
        a->pending = aplic_rectified(a, i) ? a->pending | bit : a->pending & ~bit;
    }
}

static void aplic_write_target(struct aplic *a, uint32_t i, uint32_t value)
{
    if (a->mode[i] != APLIC_INACTIVE) {
        a->target[i] = value & TARGET_WRITABLE;
    }
}

/* The source that the array of registers from FIRST on has at OFFSET; 0 if none. */
static uint32_t aplic_array_source(uint64_t offset, uint32_t first)
{
    return offset >= first && offset < first + 4 * APLIC_SOURCES
               ? (uint32_t)(offset - first) / 4 + 1
               : 0;
}

static uint32_t aplic_read_reg(const struct aplic *a, uint64_t offset)
{
    uint32_t i = aplic_array_source(offset, APLIC_SOURCECFG1);

    if (i != 0) {
        return a->mode[i];
    }
    i = aplic_array_source(offset, APLIC_TARGET1);
    if (i != 0) {
        return a->target[i];
    }
    switch (offset) {
    case APLIC_DOMAINCFG:
        return DOMAINCFG_FIXED | (a->enabled ? DOMAINCFG_IE : 0);
    case APLIC_SETIP0:
        return a->pending;
    case APLIC_IN_CLRIP0:
        return aplic_rectified_all(a);
    case APLIC_SETIE0:
        return a->enable;
    case APLIC_GENMSI:
        return a->genmsi;
    default:
        return 0;
    }
}

static void aplic_write_reg(struct aplic *a, uint64_t offset, uint32_t value)
{
    switch (offset) {
    case APLIC_DOMAINCFG:
        a->enabled = (value & DOMAINCFG_IE) != 0;
        break;
    case APLIC_SETIP0:
        aplic_set_pending(a, value);
        break;
    case APLIC_SETIPNUM:
    case APLIC_SETIPNUM_LE:
        aplic_set_pending(a, aplic_bit(value));
        break;
    case APLIC_IN_CLRIP0:
        a->pending &= ~value;
        break;
    case APLIC_CLRIPNUM:
        a->pending &= ~aplic_bit(value);
        break;
    case APLIC_SETIE0:
        a->enable |= value & aplic_active_all(a);
        break;
    case APLIC_SETIENUM:
        a->enable |= aplic_bit(value) & aplic_active_all(a);
        break;
    case APLIC_CLRIE0:
        a->enable &= ~value;
        break;
    case APLIC_CLRIENUM:
        a->enable &= ~aplic_bit(value);
        break;
    case APLIC_GENMSI:
        a->genmsi = value & TARGET_WRITABLE;
        aplic_send(a, a->genmsi);
        break;
    default:
        break;
    }
}

static void aplic_write_any(struct aplic *a, uint64_t offset, uint32_t value)
{
    uint32_t source = aplic_array_source(offset, APLIC_SOURCECFG1);
    uint32_t target = aplic_array_source(offset, APLIC_TARGET1);

    if (source != 0) {
        aplic_write_sourcecfg(a, source, value);
    } else if (target != 0) {
        aplic_write_target(a, target, value);
    } else {
        aplic_write_reg(a, offset, value);
    }
    aplic_forward(a);
}

void aplic_init(struct aplic *a, uint32_t vcpus, const struct vdev_msi *msi)
{
    *a = (struct aplic){.msi = *msi, .vcpus = vcpus};
    cordon_lock_init(&a->lock);
}

void aplic_wire_set(void *arg, uint32_t source, bool level)
{
    struct aplic *a = arg;
    uint32_t bit = aplic_bit(source);
    bool before, after;

    if (bit == 0) {
        return;
    }
    cordon_lock_take(&a->lock);
    before = aplic_rectified(a, source);
    a->wire = level ? a->wire | bit : a->wire & ~bit;
    after = aplic_rectified(a, source);
    if (!before && after) {
        a->pending |= bit;
    } else if (!after && aplic_is_level(a->mode[source])) {
        a->pending &= ~bit;
    }
    aplic_forward(a);
    cordon_lock_give(&a->lock);
}

uint64_t aplic_read(void *state, uint64_t offset, unsigned width)
{
    struct aplic *a = state;
    uint32_t value;

    if (width != 4 || (offset & 3) != 0) {
        return 0;
    }
    cordon_lock_take(&a->lock);
    value = aplic_read_reg(a, offset);
    cordon_lock_give(&a->lock);
    return value;
}

void aplic_write(void *state, uint64_t offset, unsigned width, uint64_t value)
{
    struct aplic *a = state;

    if (width != 4 || (offset & 3) != 0) {
        return;
    }
    cordon_lock_take(&a->lock);
    aplic_write_any(a, offset, (uint32_t)value);
    cordon_lock_give(&a->lock);
}
