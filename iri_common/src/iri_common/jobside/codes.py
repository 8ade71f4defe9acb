"""The exit codes by which a guard ends a job that did not work."""

from __future__ import annotations

from enum import IntEnum


class GuardCode(IntEnum):
    """Why a guard let no work begin; each also says one line on standard error, beginning ``iri: ``.

    A program may end with such a number itself: if the owner file holds the job's own id, the number is the
    program's unless the journal has no ``started`` line of that job.
    """

    DOUBLE = 211
    NO_DIRECTORY = 212
    NO_SPACE = 213
    CANCELED = 214
    FAILED = 215
    KEPT_CODE = 248

    @property
    def meaning(self) -> str:
        """What happened, for a person."""
        return _MEANINGS[self][0]

    @property
    def advice(self) -> str:
        """What to do about it, for a person."""
        return _MEANINGS[self][1]

    @classmethod
    def of(cls, exit_code: int | None) -> GuardCode | None:
        """The guard's code, None if no guard ends a job with this number."""
        return next((code for code in cls if code == exit_code), None)


_COUNTED = range(1, 33)
"""How many ids a double may lie behind the job that works, so that its code tells: 216 to 247."""


def behind(exit_code: int | None) -> int | None:
    """How many ids a counted double lies behind the job that works; None if its code does not tell."""
    count = (exit_code or 0) - GuardCode.FAILED
    return count if count in _COUNTED else None


def ended_as_double(exit_code: int | None, *, counted: bool) -> bool:
    """Whether a job that ended with this number was a double.

    Args:
        exit_code: Of the job.
        counted: Its guard tells of doubles with more than one number, and lets no program end with them.
    """
    return exit_code == GuardCode.DOUBLE or (counted and behind(exit_code) is not None)


_MEANINGS = {
    GuardCode.DOUBLE: (
        "this job is a double: another job with the same key was first, and does the work",
        "nothing is to be done: follow the job that the owner file names",
    ),
    GuardCode.NO_DIRECTORY: (
        "the guard directory cannot be made or written on the machine where the job ran, so nothing was run",
        "name a guard directory for this resource that its compute nodes can write; the job's standard error "
        "says which one failed",
    ),
    GuardCode.NO_SPACE: (
        "there is no space or no quota left for the guard's files, so nothing was run",
        "make room where the job's standard error says, or name a guard directory elsewhere; then ask again",
    ),
    GuardCode.CANCELED: (
        "the job was canceled before it began, so nothing was run",
        "nothing is to be done; ask again if the work is wanted after all",
    ),
    GuardCode.FAILED: (
        "the guard could not find out whether this job may work, so nothing was run",
        "read the job's standard error; the file system of the guard directory may lack hard links",
    ),
    GuardCode.KEPT_CODE: (
        "the program ended with a number by which doubles tell of themselves at this facility",
        "the job's standard error says which one; let the program end with another",
    ),
}
