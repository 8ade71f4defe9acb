"""How much goes in one body; sizes and times in the words of people."""

from __future__ import annotations

MIB = 1024 * 1024
# Bodies are held whole and copied on their way, four at once; as JSON, coming, each several times.
PART_UP, PART_DOWN = 4 * MIB, 3 * MIB  # of a file that goes in parts
PACK_UP, PACK_DOWN = 4 * MIB, 2 * MIB  # an archive
WHOLE_UP, WHOLE_DOWN = 16 * MIB, 8 * MIB  # of a file that goes in one body, and alone if it is so large


def amount(count: float) -> str:
    """Bytes, in binary units: ``4.2 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1000 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes all")


def duration(seconds: float) -> str:
    """Seconds, in at most two units: ``1 h 20 min``."""
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"
