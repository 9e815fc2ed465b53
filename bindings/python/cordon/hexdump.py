"""Bytes side by side, where they differ."""
from .types import Bytes

ROW, ROWS = 16, 16


def _row(data: Bytes, at: int) -> str:
    piece = data[at:at + ROW]
    text = "".join(chr(b) if 32 <= b < 127 else "." for b in piece)
    return f"{at:06x}  {piece.hex(' '):<47}  {text}"


def difference(left: Bytes, right: Bytes) -> list[str]:
    """Lines: each row of 16 bytes that differs, `-` from LEFT and `+` from RIGHT."""
    left, right = bytes(left), bytes(right)
    lines = [f"{len(left)} and {len(right)} bytes"] if len(left) != len(right) else []
    rows = [at for at in range(0, max(len(left), len(right)), ROW)
            if left[at:at + ROW] != right[at:at + ROW]]
    for at in rows[:ROWS]:
        lines += [sign + " " + _row(data, at) for sign, data in (("-", left), ("+", right))
                  if data[at:at + ROW]]
    if len(rows) > ROWS:
        lines.append(f"... and {len(rows) - ROWS} more rows")
    return lines
