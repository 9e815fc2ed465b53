/*
 * Listeners: told of every change of a map, in two steps, before anybody can see it and after.
 *
 * What is told are ranges of GPA with rights and flags, as cordon_region_find has them; not what
 * comes and goes inside a region: frames of first touch, and frames that are moved for the sake of
 * others.
 */
#ifndef CORDON_LISTEN_H
#define CORDON_LISTEN_H

#include <cordon/map.h>

enum cordon_told_kind {
    CORDON_TOLD_ADDED = 1,   /* PERMS and FLAGS stand there now */
    CORDON_TOLD_REMOVED = 2, /* WAS_PERMS and WAS_FLAGS stood there */
    CORDON_TOLD_CHANGED = 3  /* the same frames, with other rights or flags */
};

/* One range of a change. Other frames at the same place are REMOVED, then ADDED. */
struct cordon_told {
    uint32_t kind; /* enum cordon_told_kind */
    uint32_t perms, flags;
    uint32_t was_perms, was_flags;
    uint32_t reserved; /* 0 */
    cordon_gpa gpa;
    uint64_t len; /* bytes */
};

/*
 * Who wants to be told. Each function gets USER, and the COUNT ranges of one transaction: what goes
 * in ascending order of the operations, then what comes. They are the library's, and good until the
 * function returns.
 *
 * The domain's lock is held meanwhile: a function asks nothing of this context, and changes nothing
 * of it, or it waits for itself.
 */
struct cordon_listener {
    uint32_t size;     /* sizeof(struct cordon_listener) */
    uint32_t reserved; /* 0 */
    void *user;
    /* About to happen. Whatever else could refuse the change may still do so afterwards. Returns 0,
     * or a negative CORDON_E* to refuse it; another value, or EPENDING, counts as EPERM. */
    int (*prepare)(void *user, const struct cordon_told *told, size_t count);
    /* Has happened: harts and IOMMUs were told, or the change ended with EPENDING. */
    void (*commit)(void *user, const struct cordon_told *told, size_t count);
    /* Does not happen, though prepare had agreed. */
    void (*abort)(void *user, const struct cordon_told *told, size_t count);
};

/*
 * Have D's changes told to L from here on, first what stands now, as one transaction of ADDED. All
 * of cordon_change, cordon_remap, cordon_share (to the borrower) and cordon_space_update is told.
 * Listeners prepare in the order in which they were added, before anything is reserved; then the
 * domain's own views reserve (ownership words, page tables, MSI tables). If one of them refuses,
 * those that had prepared abort, the last first, and nothing has changed in any view. Else the
 * views commit, and then the listeners, in order. ID names it for cordon_listener_remove.
 *
 * Errors: EINVAL, EHANDLE, ENOMEM; or what PREPARE says to what stands.
 */
CORDON_API CORDON_MUST_CHECK int cordon_listener_add(cordon_domain *d,
                                                     const struct cordon_listener *l, uint32_t *id);

/* Tell it no more; not what stands, either. A domain with listeners cannot be destroyed.
 * Errors: EINVAL, EHANDLE, ENOENT. */
CORDON_API CORDON_MUST_CHECK int cordon_listener_remove(cordon_domain *d, uint32_t id);

#endif
