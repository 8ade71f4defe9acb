"""``iri select``: which of several facilities a job had best go to, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from iri_common.cli.exits import Exit
from iri_common.cli.jobspec import amount
from iri_common.cli.speak import Screen
from iri_common.jobside.amounts import seconds_of
from iri_common.model.errors import UsageError
from iri_common.policy.choice import Choice, Requirements


def select(screen: Screen, names: Sequence[str], nodes: int, time: str | None, *, mixed: bool) -> int:
    """Ask them all, and show them in order; fails where none is open."""
    from iri_common.facility.among import Facilities
    from iri_common.facility.profiles import profile_names

    among = list(names) or profile_names()
    if not among:
        raise UsageError("there is no profile yet; iri doctor shows how to write one")
    wanted = Requirements(nodes, amount("--time", seconds_of, time))
    choices = Facilities(*among, mixed=mixed).select(wanted)
    code = Exit.OK if any(each.open for each in choices) else Exit.DOWN
    if screen.as_json:
        screen.document(
            {"ok": code is Exit.OK, "exit": code, "facilities": [_words(each) for each in choices]}
        )
        return code
    for each in choices:
        head = " ".join(filter(None, (each.prospect.resource, "" if each.open else "(closed)")))
        screen.entry(each.facility, head, each.reasons, "" if each.open else "red")
    screen.say("No start is promised: what others have in the queue is not told.", "dim")
    return code


def _words(choice: Choice) -> dict[str, Any]:
    prospect = choice.prospect
    return {
        "facility": choice.facility,
        "resource": prospect.resource or None,
        "open": choice.open,
        "reasons": choice.reasons,
        "status": str(prospect.status),
        "away": prospect.away.isoformat() if prospect.away else None,
        "back": prospect.back.isoformat() if prospect.back else None,
        "credential_ends": prospect.credential_ends.isoformat() if prospect.credential_ends else None,
        "node_hours_left": prospect.node_hours_left,
        "waiting": prospect.waiting,
        "running": prospect.running,
        "queue": asdict(prospect.queue) if prospect.queue else None,
    }
