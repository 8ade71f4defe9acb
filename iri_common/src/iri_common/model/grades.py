"""How much of each promise a door can carry, declared in code per dialect and site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Grades:
    """What stands behind the words "once" and "whole" at one door.

    Attributes:
        settle: How an uncertain submit is settled: by the facility's own idempotency, by looking for the
            job's name, by comparing ids before and after, or not at all.
        guard: Whether a job checks for itself that it is not a double.
        journal: Whether what the job wrote of its beginning and end can be read.
        files: Whether files go through this API directly, or through a Globus collection that it is lent.
        upload_limit: Bytes of one file that the API takes; None where it names no limit, 0 for no files.
        download_limit: Bytes of one file that the API gives; None where it names no limit, 0 for no files.
        archives: Whether the facility packs and unpacks archives by itself.
        moves: Whether a rename, or a copy, is a call of this API or a job at the user's expense.
        logs: Whether output can be followed, read at the end, or not at all.
    """

    settle: Literal["native", "lookup", "snapshot", "none"] = "none"
    guard: Literal["lock", "none"] = "none"
    journal: Literal["readable", "no"] = "no"
    files: Literal["direct", "globus", "none"] = "none"
    upload_limit: int | None = None
    download_limit: int | None = None
    archives: bool = False
    moves: Literal["call", "job"] = "call"
    logs: Literal["follow", "end", "none"] = "none"

    @property
    def readable_files(self) -> bool:
        """Whether files there can be read and written, over whatever serves them."""
        return self.files != "none"

    @property
    def counted(self) -> bool:
        """Whether a double has to tell by its exit code which job works: there are only ids to see."""
        return self.guard == "lock" and self.settle == "snapshot"

    @property
    def once(self) -> str:
        """How exact "once" is, in a few words for whoever has just asked for a job."""
        return f"{_DOUBLES[self.guard]}, and {_LOST_REPLIES[self.settle]}"

    def unguarded(self) -> Grades:
        """Those of a job that goes without its guard."""
        return replace(self, guard="none", journal="no")


_DOUBLES: Mapping[str, str] = {
    "lock": "a double of this job would end itself",
    "none": "a double of this job would run",
}
_LOST_REPLIES: Mapping[str, str] = {
    "native": "the facility knows an ask again",
    "lookup": "a lost reply is settled by the job's name",
    "snapshot": "a lost reply is settled by comparing jobs, where that can tell",
    "none": "a lost reply is for a person to settle",
}
