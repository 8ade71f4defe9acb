"""A word for what a job writes while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogChunk:
    """New output of a job.

    Attributes:
        stream: "stdout" or "stderr".
        text: Whole characters; bytes that are none stand as U+FFFD. "" at offset 0 says that the file began
            anew, as it does when a job is queued again: what came before is no longer in it.
        offset: Of the byte after this text. Whoever keeps it can go on from there, in any process.
    """

    stream: str
    text: str
    offset: int

    @property
    def anew(self) -> bool:
        """Whether this says that the file began anew."""
        return not self.text and not self.offset
