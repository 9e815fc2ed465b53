"""Contiguous memory under pressure from Python: runs that are made, what is in the way, and a picture of it."""
import random

import pytest

from cordon import Context, LimitReached, Moves, NotFound, NotOwner, OutOfMemory, Revoke
from cordon.moves import KINDS, picture

MIB, PAGE = 1 << 20, 4096
G_RAM = 0x4000_0000


def fragmented(seed, *, mixed=False, percent=90, **flags):
    """A context that is PERCENT full of single frames, with holes of 4 KiB at random; and its domain."""
    ctx = Context("32M", mixed=mixed)
    d = ctx.domain()
    pages = ctx.stats().free // PAGE * 97 // 100
    d.grant(G_RAM, ctx.scatter(pages * PAGE, pieces=(0,), seed=seed), "rwx", **flags)
    for page in range(pages):
        ctx.write(d.translate(G_RAM + page * PAGE).hpa, page.to_bytes(8, "little"))
    order = random.Random(seed).sample(range(pages), pages)
    gone = [order.pop() for _ in range((32 * MIB * (100 - percent) // 100 - ctx.stats().free) // PAGE)]
    d.change([Revoke(G_RAM + page * PAGE, PAGE) for page in sorted(gone)])
    return ctx, d, order


@pytest.mark.parametrize("seed", range(3))
def test_run_is_made_where_there_is_none_and_contents_follow(seed):
    ctx, d, pages = fragmented(seed)
    with ctx:
        with pytest.raises(OutOfMemory):
            ctx.alloc(2 * MIB)
        made = ctx.make_run(2 * MIB, align=2 * MIB)
        assert made.run.len == 2 * MIB and made.run.hpa.v % (2 * MIB) == 0
        assert 0 < made.moves.pages <= 512 and made.moves.stops >= made.moves.pages // 16
        assert made.kinds["movable"] > 0 and sum(made.kinds.values()) == 32 * MIB // PAGE
        assert bytes(ctx.read(made.run.hpa, PAGE)) == bytes(PAGE)
        for page in pages:
            assert int.from_bytes(ctx.read(d.translate(G_RAM + page * PAGE).hpa, 8), "little") == page
        ctx.audit()
        ctx.free(made.run)


def test_why_there_is_no_run_is_told():
    ctx, d, _ = fragmented(1, pin=True)
    with ctx:
        with pytest.raises(OutOfMemory) as refused:
            ctx.make_run("2M")
        made = refused.value.made
        assert made.run is None and made.moves == Moves() and made.kinds["pinned"] > 6000
        assert made.kinds["movable"] == 0
        with pytest.raises(NotOwner) as refused:
            d.relocate(next(d.regions()).gpa, PAGE)
        assert refused.value.moves == Moves()


def test_no_more_is_moved_than_the_budget():
    ctx, *_ = fragmented(2)
    with ctx, pytest.raises(LimitReached) as refused:
        ctx.make_run("2M", budget=16 * PAGE)
    assert refused.value.made.moves.pages == 0


def test_what_is_relocated_stands_elsewhere():
    with Context("16M") as ctx:
        d = ctx.domain()
        d.grant(G_RAM, [ctx.alloc("4M", align=2 * MIB)])
        before = d.translate(G_RAM).hpa
        ctx.write(before, b"here")
        moved = d.relocate(G_RAM, 2 * MIB)
        assert (moved.pages, moved.large, moved.stops) == (512, 512, 1) and d.moved == moved
        assert d.translate(G_RAM).hpa != before
        assert ctx.read(d.translate(G_RAM).hpa, 4) == b"here"
        with pytest.raises(NotFound):
            d.relocate(0, PAGE)
        ctx.audit()


def test_memory_is_drawn_by_block():
    ctx, *_ = fragmented(3)
    with ctx:
        blocks = list(ctx.blocks())
        assert [b.hpa.v for b in blocks] == list(range(0x8000_0000, 0x8200_0000, 2 * MIB))
        assert all(sum(b.pages.values()) == 512 and set(b.pages) == set(KINDS) for b in blocks)
        drawn = picture(blocks, width=8).splitlines()
        assert [line.split()[0] for line in drawn] == ["0x000080000000", "0x000081000000"]
        assert all(set(line.split()[1]) <= set(".:m-PDLRHTX") for line in drawn) and "m" in drawn[0]
        made = ctx.make_run("2M")
        number = (made.run.hpa.v - 0x8000_0000) // (2 * MIB)
        assert picture(ctx.blocks(), width=16).split()[1][number] == "H"
        ctx.free(made.run)


def test_kinds_kept_apart_leave_whole_blocks_behind():
    """The same load twice: what never moves comes and goes between what does; then what moves goes."""
    def whole(mixed):
        with Context("64M", mixed=mixed) as ctx:
            rng, guests = random.Random(7), [ctx.domain() for _ in range(2)]
            held, at = [], 0
            for _ in range(1200):
                d = rng.choice(guests)
                d.grant(G_RAM + at * PAGE, ctx.scatter(PAGE * rng.choice((1, 2, 4)), pieces=(0,), seed=at + 1))
                at += 8
                # A table of its own for each: pages far apart.
                d.grant((1 << 33) + at * (2 * MIB), ctx.scatter(PAGE, pieces=(0,), seed=at + 1))
            for block in ctx.blocks():
                held.append(block.can_be_free)
            return sum(held)
    apart, mixed = whole(False), whole(True)
    print(f"blocks that can be made free: {apart} with kinds apart, {mixed} mixed")
    assert apart > mixed + 2
