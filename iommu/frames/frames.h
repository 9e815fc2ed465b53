/*
 * Who owns each frame, stored by block.
 *
 * RAM is cut into blocks of 2 MiB. While a block has one owner and its GPAs are contiguous, one
 * ownership word says so; once it is split, the block's word names a frame of 512 words, one a
 * frame. OWNED and REVOKING words carry the GFN: the ownership words are the map's record of what
 * backs each GPA, addressed by HPA, and an audit holds every view against them.
 *
 * Word: state[2:0]; OWNED, REVOKING: domain[14:3], gfn[62:16]; bit 15: KEEP (revoke makes it HELD);
 * FREE: order of the free run that starts here [7:3], or 31 inside one, or 30 in the stock for
 * touches (frames/stock.h); TABLE: bits 63:3 are the table layer's own (refs[18:3], valid[34:19]).
 */
#ifndef CORDON_FRAMES_FRAMES_H
#define CORDON_FRAMES_FRAMES_H

#include "core/bits.h"
#include "core/lock.h"
#include <cordon/ctx.h>

#define BLOCK_ORDER 9u
#define BLOCK_FRAMES (1u << BLOCK_ORDER)
#define BLOCK_SIZE (CORDON_PAGE_SIZE << BLOCK_ORDER)
#define MAX_ORDER 18u /* 1 GiB */

#define FW_STATE GENMASK64(2, 0)
#define FW_DOMAIN GENMASK64(14, 3)
#define FW_KEEP BIT64(15)
#define FW_GFN GENMASK64(62, 16)
#define FW_GFN_ONE BIT64(16)
#define FW_ORDER GENMASK64(7, 3)
#define FW_ORDER_INSIDE 31u
#define FW_ORDER_STOCK 30u
#define FW_TABLE_REFS GENMASK64(18, 3)
#define FW_TABLE_VALID GENMASK64(34, 19)

struct cordon_ctx;
struct cordon_domain;

/* The ownership word of one frame as a value, whether it is stored alone or derived from its block.
 * For frames that nobody else changes now: the caller's own, or with the frames lock held.
 */
uint64_t frames_word(const struct cordon_ctx *ctx, cordon_hpa hpa);

/* The same for who does not own the frame: its block may be split or joined by others meanwhile. */
uint64_t frames_word_locked(const struct cordon_ctx *ctx, cordon_hpa hpa);

/* The word of a frame in a split block, to be read and written in place by who owns the frame (the
 * table layer its refs and valid counts). Asserts that the block is split. */
uint64_t *frames_word_at(struct cordon_ctx *ctx, cordon_hpa hpa);

/* True when [HPA, HPA+LEN) is RAM of this context and every frame's state is STATE. */
bool frames_all(const struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len,
                enum cordon_frame_state state);

/* Allocate 2^ORDER frames, naturally aligned and zeroed: HELD; or TABLE, always with a word of
 * their own. ENOMEM. These and all below take the frames lock themselves. */
CORDON_MUST_CHECK int frames_alloc(struct cordon_ctx *ctx, unsigned order, cordon_hpa *out);
CORDON_MUST_CHECK int frames_alloc_table(struct cordon_ctx *ctx, unsigned order, cordon_hpa *out);

/* Back to FREE, from HELD or TABLE. For tables: retired by both kinds of cache before. */
void frames_free(struct cordon_ctx *ctx, cordon_hpa hpa, unsigned order);

/*
 * Claim for a domain: HELD -> OWNED(domain, gfn...) over extents, which are page-aligned, not
 * empty, and sum up to PAGES. All or nothing. Errors: EPERM (BAD: the first frame that is not
 * HELD), EINVAL (another sum), ENOMEM (words). frames_unclaim puts the first PAGES of them back to
 * HELD.
 */
struct frames_claim {
    const struct cordon_extent *extents;
    uint64_t count;
    uint64_t gfn;
    uint64_t pages;
    uint32_t domain;
    uint32_t stamp; /* on blocks that are split for it; they are joined again when it is undone */
    bool keep;
};
CORDON_MUST_CHECK int frames_claim(struct cordon_ctx *ctx, const struct frames_claim *claim,
                                   cordon_hpa *bad);
void frames_unclaim(struct cordon_ctx *ctx, const struct frames_claim *claim, uint64_t pages);

/* Frames OWNED by a domain, in order, get other GFNs, from GFN on. Blocks covered in part have been
 * split; the domain's lock is held. */
void frames_move(struct cordon_ctx *ctx, const struct frames_claim *c);

/* Give every block that a run covers in part its page of words, so that the run can change alone;
 * and undo it. All frames are OWNED by one domain, whose lock is held. ENOMEM; then undo it too. */
CORDON_MUST_CHECK int frames_reserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len,
                                           uint32_t stamp);
void frames_unreserve_split(struct cordon_ctx *ctx, cordon_hpa hpa, uint64_t len, uint32_t stamp);

/* Runs that go: where the word of each is that has just one, or null. A word stays where it is from
 * revoke to release, while the domain's lock is held. */
struct frames_gone {
    struct cordon_extent *run;
    uint64_t **word;
    uint64_t count;
};

/* OWNED -> REVOKING; writes the words down. Blocks that are covered in part get their words.
 * ENOMEM; then undo it too: unrevoke, where runs that were not revoked stay as they are. */
CORDON_MUST_CHECK int frames_revoke(struct cordon_ctx *ctx, const struct frames_gone *gone,
                                    uint32_t stamp);
void frames_unrevoke(struct cordon_ctx *ctx, const struct cordon_extent *runs, uint64_t count,
                     uint32_t stamp);
/* REVOKING -> FREE, or HELD where KEEP. D's lock is held. */
void frames_release(struct cordon_domain *d, const struct frames_gone *gone);
/* The same for every frame of a domain. Linear in blocks. Return bytes. */
uint64_t frames_revoke_domain(struct cordon_ctx *ctx, uint32_t domain);
uint64_t frames_release_domain(struct cordon_domain *d);

/* Pointer to a frame's memory, through the linear offset. */
void *frames_ptr(const struct cordon_ctx *ctx, cordon_hpa hpa);

#endif
