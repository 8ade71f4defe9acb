"""The states of a job in the words of PSI/J and the IRI Facility API, plus our two for not knowing."""

from __future__ import annotations

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is in its life.

    The first seven are the API's own (IRI v2, schema JobState; "canceled" with one l). ``UNKNOWN`` is a
    word that the facility used and we do not know, ``MISSING`` a job that it does not list now; neither
    ends a wait by itself, because neither says that the work was done.
    """

    NEW = "new"
    QUEUED = "queued"
    HELD = "held"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    MISSING = "missing"

    @property
    def terminal(self) -> bool:
        """Whether the facility has said that this job will not change any more."""
        return self in _TERMINAL


_TERMINAL = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
