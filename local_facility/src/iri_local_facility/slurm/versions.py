"""The versions of the API that this face speaks, each with the Slurm release that brought it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """One version: how documents look and how errors are told.

    Attributes:
        number: The last part of ``v0.0.44``.
        release: The Slurm that such a daemon belongs to.
    """

    number: int
    release: str

    @property
    def name(self) -> str:
        """As it stands in paths."""
        return f"v0.0.{self.number}"

    @property
    def plain(self) -> bool:
        """Whether numbers are numbers and states are words; later, they come in objects and lists."""
        return self.number < 40

    @property
    def tells_result(self) -> bool:
        """Whether a submission is acknowledged twice, in ``result`` and beside it."""
        return self.number in (40, 41)

    @property
    def reserves(self) -> bool:
        """Whether reservations are made and deleted, and not only shown."""
        return self.number >= 43

    @property
    def tells_kills(self) -> bool:
        """Whether a cancel tells what became of each job."""
        return self.number >= 42


VERSIONS = {
    version.name: version
    for version in (
        Version(38, "22.05.8"),
        Version(40, "23.11.10"),
        Version(41, "24.05.8"),
        Version(42, "24.11.6"),
        Version(43, "25.05.8"),
        Version(44, "25.11.7"),
    )
}
