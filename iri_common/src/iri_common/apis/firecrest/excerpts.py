"""Exact pieces of a text through ``view``, which counts bytes in one place and characters in another.

The server has ``dd`` read two blocks of ``size`` bytes from the last multiple of ``size`` before ``offset``,
decodes them with replacement, and cuts ``size`` *characters* out of that, from as many characters on as the
offset is beyond the block. So what is asked for here begins with a block, where the two agree, and the rest
is cut off here.
"""

from __future__ import annotations

import math

BAD = "\ufffd"
_STRAY = b"\x80"  # one byte that is no character, for one that was none
_LONGEST = 3  # bytes that a character has after its first


def block_around(offset: int, size: int) -> tuple[int, int]:
    """The block to ask for: its size, and the offset at which it begins.

    It holds all that is wanted, whatever characters that is, and not much else: two blocks are read.
    """
    if not offset:
        return size, 0
    # Of the blocks that divide what comes before into n equal parts, one whose remainder, below n, leaves
    # room for the piece: block >= size + offset / block.
    least = (size + math.isqrt(size * size + 4 * offset)) // 2 + 1
    count = offset // least
    if not count:
        return offset + size, 0
    block = offset // count
    return block, block * count


def cut_out(text: str, begin: int, offset: int, size: int, *, guess: bool = False) -> str | None:
    """The piece that was wanted, out of the block as it came.

    Args:
        text: The block, decoded with replacement.
        begin: Its offset.
        offset: That of the piece.
        size: Bytes of the piece.
        guess: Take each U+FFFD for one byte, which is what Latin-1 makes of its letters.

    Returns:
        None if what cannot be decoded is in the way, so that nobody can count the bytes.
    """
    # A character that the beginning of the block cuts: each byte of it that is left is one U+FFFD.
    strays = 0
    while begin and strays < _LONGEST and text.startswith(BAD, strays):
        strays += 1
    inside = text[strays:]
    content = _STRAY * strays
    if guess:
        content += _STRAY.join(_bytes(part) for part in inside.split(BAD))
    else:
        content += _bytes(inside)
        doubtful = inside.find(BAD)
        if 0 <= doubtful < len(inside) - 1 and len(content[:strays] + _bytes(inside[:doubtful])) < (
            offset - begin + size
        ):
            return None
    start = offset - begin
    return content[start : start + size].decode("utf-8", "replace")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
