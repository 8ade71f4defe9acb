"""What comes next for a lease, from how it stands: two closed tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from iri_common.model.network import LeaseState, LeaseStatus


class Step(StrEnum):
    """Towards a path."""

    COMPUTE = "compute"
    PROVISION = "provision"
    THERE = "there"  # under way, or further: asked for once is enough
    GONE = "gone"


class WayOut(StrEnum):
    """Towards nothing being left of one."""

    CANCEL = "cancel"
    FORCE = "force"
    WAIT = "wait"
    DELETE = "delete"
    STUCK = "stuck"  # its end failed: nobody but a person frees what is held
    NOTHING = "nothing"


def step(status: LeaseStatus, *, asked: bool) -> Step:
    """What to do for a path whose request was, or may have been, sent before (``asked``), or not yet.

    A second request for what was computed is harmless: the network takes it in one state only, and the
    first one ends that state.
    """
    if status.state is LeaseState.MISSING:
        return Step.GONE if asked else Step.COMPUTE
    if status.state is LeaseState.NEW:
        return Step.PROVISION if asked else Step.COMPUTE
    if status.state is LeaseState.FAILED and not status.reserved and not asked:
        return Step.COMPUTE  # no path was found; with other numbers there may be one
    return Step.THERE


_WAYS_OUT: Mapping[LeaseState, WayOut] = {
    LeaseState.MISSING: WayOut.NOTHING,
    LeaseState.NEW: WayOut.DELETE,
    LeaseState.ENDED: WayOut.DELETE,
    LeaseState.ENDING: WayOut.WAIT,
}


def way_out(status: LeaseStatus) -> WayOut:
    """What to do with a lease that is to be given back."""
    known = _WAYS_OUT.get(status.state)
    if known is not None:
        return known
    if status.state is LeaseState.FAILED and not status.reserved:
        return WayOut.DELETE
    if status.canceled:
        return WayOut.STUCK if status.state is LeaseState.FAILED else WayOut.WAIT
    return WayOut.CANCEL if status.ready else WayOut.FORCE


_FROM_NOW = re.compile(r"\+(\d{1,6})([hd])")


def lasting(start: str, end: str | None) -> float | None:
    """Hours from the beginning of a path to its end; None where its words do not tell.

    They do where both are counted from now ("now", "+1h", "+2d"), or both are moments.
    """
    if end is None:
        return None
    begins, ends = _from_now(start), _from_now(end)
    try:
        if begins is None and ends is None:
            return (datetime.fromisoformat(end) - datetime.fromisoformat(start)) / timedelta(hours=1)
    except (ValueError, TypeError):  # no moments, or one of them in nobody's time zone
        return None
    return None if begins is None or ends is None else ends - begins


def _from_now(when: str) -> float | None:
    if when == "now":
        return 0.0
    told = _FROM_NOW.fullmatch(when)
    return None if told is None else int(told[1]) * (24.0 if told[2] == "d" else 1.0)
