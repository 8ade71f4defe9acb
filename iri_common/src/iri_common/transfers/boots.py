"""What a note may say of bytes that are not on the disk yet: it counts until the machine is started anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Missing = Sequence[Sequence[int]]
"""What of a file is not here: pairs of a byte, and of the first one after it that is."""

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Another one each time that this machine is started, and of each machine; "" where nothing tells it.

    In a thread that may block.
    """
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def words_of(on_disk: Missing, in_memory: Missing, boot: str) -> Mapping[str, Any]:
    """What is noted of a file on its way.

    Args:
        on_disk: What is missing there.
        in_memory: What is missing of what was written, which a kill of this process leaves.
        boot: As long as which it does; with "" nobody can tell, and it is not noted.
    """
    words = {"missing": on_disk}
    if not boot or in_memory == on_disk:
        return words
    return {**words, "in_memory": {"boot": boot, "missing": in_memory}}


def believed(noted: Mapping[str, Any], boot: str) -> Missing:
    """What is missing by such a note, which may be of another boot, or of a machine that shares the disk."""
    in_memory = noted.get("in_memory")
    return in_memory["missing"] if in_memory and in_memory["boot"] == boot else noted["missing"]
