"""Reading parts of a file as text: head, tail and view."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import Any

from .accounts import User
from .errors import TooLarge

Excerpt = dict[str, Any]


def head(
    user: User, path: str, limit: int, count_bytes: int | None, lines: int | None, skip_trailing: bool = False
) -> Excerpt:
    """The first bytes or lines; with ``skip_trailing``, or a negative count, all but the last."""
    real = user.areas.resolve(path)
    count = count_bytes if count_bytes is not None else lines or 0
    drop = skip_trailing or count < 0
    if count_bytes is not None:
        size = real.stat().st_size
        end = max(0, size - abs(count)) if drop else min(count, size)
        return _excerpt(_read(real, 0, end, limit), "bytes", 0, end)
    with real.open("rb") as file:
        if drop:
            kept = list(file)
            kept = kept[: max(0, len(kept) - abs(count))]
        else:
            kept = [line for line, _ in zip(file, range(count), strict=False)]
    return _excerpt(_within(b"".join(kept), limit), "lines", 0, len(kept))


def tail(
    user: User, path: str, limit: int, count_bytes: int | None, lines: int | None, skip_heading: bool = False
) -> Excerpt:
    """The last bytes or lines; with ``skip_heading`` all but the first."""
    real = user.areas.resolve(path)
    if count_bytes is not None:
        size = real.stat().st_size
        start = min(count_bytes, size) if skip_heading else max(0, size - count_bytes)
        return _excerpt(_read(real, start, size, limit), "bytes", start, size)
    count = min(lines or 0, sys.maxsize)
    total = 0
    kept: deque[bytes] = deque(maxlen=None if skip_heading else count)
    with real.open("rb") as file:
        for total, line in enumerate(file, 1):
            if not skip_heading or total > count:
                kept.append(line)
    return _excerpt(_within(b"".join(kept), limit), "lines", total - len(kept), total)


def view(user: User, path: str, limit: int, size: int, offset: int) -> Excerpt:
    """``size`` bytes from ``offset``."""
    real = user.areas.resolve(path)
    end = min(offset + size, real.stat().st_size)
    content = _read(real, min(offset, end), end, limit)
    return _excerpt(content, "bytes", offset, offset + len(content))


def _read(path: Path, start: int, end: int, limit: int) -> bytes:
    if end - start > limit:
        raise TooLarge(f"{end - start} bytes are more than the limit of {limit}")
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _within(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise TooLarge(f"{len(content)} bytes are more than the limit of {limit}")
    return content


def _excerpt(content: bytes, kind: str, start: int, end: int) -> Excerpt:
    text = content.decode("utf-8", errors="replace")
    return {"content": text, "content_type": kind, "start_position": start, "end_position": end}
