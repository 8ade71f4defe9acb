"""A word for what a job writes while it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogChunk:
    """New output of a job.

    Attributes:
        stream: "stdout" or "stderr".
        text: Whole characters; bytes that are none stand as U+FFFD. "" at offset 0 says that all begins
            anew: the job was queued again and its file truncated, or it was the double of another job whose
            output follows.
        offset: Of the byte after this text. Whoever keeps it can go on from there, in any process.
    """

    stream: str
    text: str
    offset: int

    @property
    def anew(self) -> bool:
        """Whether this says that all begins anew."""
        return not self.text and not self.offset
