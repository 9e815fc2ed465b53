/*
 * Spaces: a guest's address space as VMM authors describe it, led into one domain's map.
 *
 * A space is a tree of nodes. Each has a place in its parent, and says what is there: RAM, MMIO, a
 * hole that nothing shows through, a container of further nodes, or an alias, a window onto another
 * node. Where nodes overlap, the one with the higher priority is seen. What is seen is flattened to
 * sections, and the difference between two flattenings is one transaction of the map: what only
 * moves keeps its frames, and what they hold.
 *
 * There is no begin and no commit: the array of edits is the transaction, as in cordon_change. On
 * any error but EPENDING nothing has changed: not the tree, not the map, not any view.
 *
 * Slots are the short way: numbered ranges of RAM at the top of the tree.
 */
#ifndef CORDON_SPACE_H
#define CORDON_SPACE_H

#include <cordon/error.h>
#include <cordon/listen.h>
#include <cordon/log.h>

typedef struct cordon_space cordon_space;

#define CORDON_MAX_DEPTH 16u      /* nodes inside each other, aliases among them */
#define CORDON_MAX_NODES 65536u   /* of a space */
#define CORDON_MAX_VISITS 262144u /* of nodes in one flattening: aliases visit theirs again */

#define CORDON_NODE_ROOT 0u             /* as parent: the space itself */
#define CORDON_NODE_NOWHERE 0xffffffffu /* as parent: seen through aliases only */
#define CORDON_NODE_SLOT 0x80000000u    /* slot N is node CORDON_NODE_SLOT | N */

enum cordon_node_kind {
    CORDON_NODE_CONTAINER = 1, /* nothing itself: its children, cut at its ends */
    CORDON_NODE_RAM = 2,       /* frames: EXTENTS in order */
    CORDON_NODE_MMIO = 3,      /* resources: EXTENTS in order */
    CORDON_NODE_HOLE = 4,      /* nothing stands there: emulated registers, say */
    CORDON_NODE_ALIAS = 5      /* what TARGET has from TARGET_OFFSET on */
};

struct cordon_node {
    uint32_t size;     /* sizeof(struct cordon_node) */
    uint32_t id;       /* its name, the caller's choice: 1 to 0x7fffffff, or a slot's, which stays
                          one: RAM at the top of the tree, of priority 0 */
    uint32_t kind;     /* enum cordon_node_kind */
    uint32_t parent;   /* a container, CORDON_NODE_ROOT or CORDON_NODE_NOWHERE */
    int32_t priority;  /* among its siblings */
    uint32_t disabled; /* 1: it and what is below it is not seen */
    uint64_t offset;   /* in its parent, bytes, whole pages */
    uint64_t len;      /* bytes, whole pages */
    /* RAM, MMIO: CORDON_READ.. of what stands there. CONTAINER, ALIAS: the most that is left of
     * what is below. HOLE: 0. */
    uint32_t perms;
    /* RAM, MMIO: CORDON_REGION_*, as for CORDON_OP_GRANT, and CORDON_REGION_LOG: what comes to be
     * logged, or moves, is dirty then. CONTAINER, ALIAS: CORDON_REGION_NODMA and _LOG for all RAM
     * below. HOLE: 0. */
    uint32_t flags;
    uint32_t target;        /* ALIAS: any other node; else 0 */
    uint32_t reserved;      /* 0 */
    uint64_t target_offset; /* ALIAS: bytes, whole pages */
    /* RAM, MMIO: at least LEN bytes; read during the call. With CORDON_REGION_DEMAND none. */
    const struct cordon_extent *extents;
    uint64_t extent_count;
};

enum cordon_edit_kind {
    CORDON_TREE_ADD = 1,   /* a new node */
    CORDON_TREE_SET = 2,   /* all of NODE as it says, but for its kind, which stays */
    CORDON_TREE_REMOVE = 3 /* the node named ID; the rest of NODE does not matter */
};

/* SET of RAM or MMIO without extents keeps those it has. With extents that go on where the old ones
 * end, or end before, what is common stays as it is; with others, all is replaced. */
struct cordon_edit {
    uint32_t kind;     /* enum cordon_edit_kind */
    uint32_t reserved; /* 0 */
    struct cordon_node node;
};

/* An empty space over D. A domain may have several, and be changed directly, too: what does not
 * come from a space is left alone by it, and in its way (EEXIST). The space lives until
 * cordon_space_destroy. Errors: EINVAL, EHANDLE, ENOMEM. */
CORDON_API CORDON_MUST_CHECK int cordon_space_create(cordon_domain *d, cordon_space **out);

/* Forget the tree. What it put into the map stands there on, until it is revoked or the domain
 * ends. Errors: EINVAL, EHANDLE. */
CORDON_API CORDON_MUST_CHECK int cordon_space_destroy(cordon_space *s);

/*
 * Carry out EDITS, in order, and then bring the map into line, as one transaction. Nodes may name
 * nodes of the same update.
 *
 * RAM comes as HELD frames, MMIO as resources that nobody has; they enter the map when they are
 * first seen. Frames with CORDON_REGION_KEEP are HELD while they are not seen, and afterwards.
 * Others, those of DEMAND among them, are the map's: FREE when their node goes, and hiding them is
 * refused. Pages that were taken out of the map directly are not brought back; what is then granted
 * there directly stands in for them: it moves, and goes, with its node.
 *
 * In the map, ranges are cleared in every view, hardware is told and waited for, and then ranges
 * are written: in between, accesses to what changes fault. What only loses or gains rights where it
 * is does not.
 *
 * Errors, nothing changed: EINVAL (also: rights that no leaf can say, a node inside itself, more
 * LEN than extents), EALIGN, ERANGE (beyond the domain's limit, or wraps), EEXIST (an id is taken;
 * siblings of one priority overlap; RAM or MMIO seen at two places at once; something else stands
 * in the map there, or it is an MSI target), ENOENT (no such node), EBUSY (a node goes that is
 * parent or target of another; frames that are lent would go, lose a right, or get another memory
 * type), EPERM (frame not HELD, resource taken; frames without KEEP would be hidden), ELIMIT,
 * ENOMEM, and what a listener says. Error with all of it changed: EPENDING, as cordon_change.
 */
CORDON_API CORDON_MUST_CHECK int cordon_space_update(cordon_space *s,
                                                     const struct cordon_edit *edits, size_t count);

/* ---- slots -------------------------------------------------------------------------------- */

#define CORDON_SLOT_READONLY 0x80000000u /* in flags, beside CORDON_REGION_*: reads, no writes */

/* A memory slot: a node of RAM of priority 0 at the top of the tree, with rights RWX, or R and X.
 */
struct cordon_slot {
    uint32_t size;     /* sizeof(struct cordon_slot) */
    uint32_t id;       /* 0 to 0x7ffffffe */
    cordon_gpa gpa;    /* page-aligned */
    uint64_t len;      /* bytes, whole pages; 0: delete the slot */
    uint32_t flags;    /* CORDON_SLOT_READONLY, CORDON_REGION_* of RAM */
    uint32_t reserved; /* 0 */
    /* What backs it: HELD frames at a host pointer (HPA = pointer - ram_offset), or in extents.
     * With neither, an existing slot keeps what it has. */
    void *hva;
    const struct cordon_extent *extents;
    uint64_t extent_count;
};

/* Create a slot, or change the one of that id: move it, resize it, change its flags, delete it.
 * Errors: as cordon_space_update; EEXIST where slots overlap; ENOENT for a slot that is not there
 * and is to be deleted, or has no backing. */
CORDON_API CORDON_MUST_CHECK int cordon_slot_set(cordon_space *s, const struct cordon_slot *slot);

/* The dirty log of slot ID, which has CORDON_REGION_LOG: as cordon_log_harvest, but bit 0 of the
 * maps is the slot's first page, wherever it is; WHAT->gpa is 0, and WHAT->len the slot's. What a
 * node of higher priority hides is not told of the slot, but of what is seen there. Errors: EINVAL
 * (also: another length), EHANDLE, ENOENT (no such slot, or nothing of it is logged), EPERM. */
CORDON_API CORDON_MUST_CHECK int cordon_slot_harvest(cordon_space *s, uint32_t id,
                                                     const struct cordon_harvest *what,
                                                     struct cordon_harvested *out);

/* ---- questions ---------------------------------------------------------------------------- */

/* A node as it stands, named ID, or else the one with the next higher name when NEXT. Extents are
 * not told: null, and their number. Errors: EINVAL, EHANDLE, ENOENT. */
CORDON_API CORDON_MUST_CHECK int cordon_node_find(const cordon_space *s, uint32_t id, bool next,
                                                  struct cordon_node *out);

/* A part of the flat view: one node is seen from OFFSET on. */
struct cordon_section {
    cordon_gpa gpa;
    uint64_t len; /* bytes */
    uint32_t node;
    uint32_t kind;   /* RAM, MMIO or HOLE */
    uint64_t offset; /* in the node; 0 for a hole */
    uint32_t perms, flags;
};

/* The section that holds GPA, or else the nearest above it when NEXT. Errors: EINVAL, EHANDLE,
 * ENOENT. */
CORDON_API CORDON_MUST_CHECK int cordon_section_find(const cordon_space *s, cordon_gpa gpa,
                                                     bool next, struct cordon_section *out);

#endif
