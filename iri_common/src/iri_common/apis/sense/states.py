"""SENSE's words for how an instance stands: one closed table, exact matches only."""

from __future__ import annotations

from collections.abc import Mapping

from iri_common.model.network import LeaseState

_PENDING = frozenset({"PENDING", "PROPAGATED", "COMMITTING", "COMMITTED"})
_NOTHING_YET = frozenset({"INIT", "COMPILED"})
_CONFIGURED: Mapping[str, LeaseState] = {
    # READY is the control plane's word: the sites may still be at work, or have failed at it.
    "STABLE": LeaseState.UP,
    "UNSTABLE": LeaseState.PENDING,
    "PENDING": LeaseState.PENDING,
    "UNKNOWN": LeaseState.PENDING,
    "": LeaseState.PENDING,
    "SCHEDULED": LeaseState.SCHEDULED,
    "EXPIRED": LeaseState.EXPIRED,
}
_SUPER = frozenset({"CREATE", "MODIFY", "REINSTATE", "CANCEL"})


def parts(state: str) -> tuple[str, str]:
    """Both words of "CREATE - READY"; empty where there are no two."""
    words = state.split(" - ")
    return (words[0].strip(), words[1].strip()) if len(words) == 2 else ("", "")


def lease_state(doing: str, phase: str, configured: str) -> LeaseState:
    """How a lease stands.

    Args:
        doing: What was asked for last: CREATE, MODIFY, REINSTATE or CANCEL.
        phase: How far that came.
        configured: What is known of the sites' configuration; "" where it is not told.
    """
    if doing not in _SUPER:
        return LeaseState.UNKNOWN
    if phase == "FAILED":
        return LeaseState.FAILED
    if doing == "CANCEL":
        return _ending(phase, configured)
    if phase in _PENDING:
        return LeaseState.PENDING
    if phase in _NOTHING_YET:
        return LeaseState.NEW if doing == "CREATE" else LeaseState.PENDING
    return _CONFIGURED.get(configured, LeaseState.UNKNOWN) if phase == "READY" else LeaseState.UNKNOWN


def _ending(phase: str, configured: str) -> LeaseState:
    if phase == "READY":  # shown before the sites are clean
        return LeaseState.ENDED if configured == "STABLE" else LeaseState.ENDING
    return LeaseState.ENDING if phase in _PENDING | _NOTHING_YET else LeaseState.UNKNOWN


def is_reserved(doing: str, phase: str, last: str) -> bool:
    """Whether sites may hold something for it; ``last`` is the phase that it reached before it failed."""
    if doing != "CREATE":
        return True
    return phase not in _NOTHING_YET and not (phase == "FAILED" and last in _NOTHING_YET)
