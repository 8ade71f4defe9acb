"""Commands that list: ``iri jobs`` and ``iri facilities``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from iri_common.cli.documents import grades_words, ref_words, status_words
from iri_common.cli.door import Choice, home_of, open_facility, settings_of
from iri_common.cli.exits import Exit
from iri_common.cli.options import DoorWords
from iri_common.cli.speak import Screen, elapsed
from iri_common.model.counts import many
from iri_common.model.errors import IriError

if TYPE_CHECKING:
    from iri_common.facility.keeping import MyJob


def jobs(screen: Screen, door: DoorWords, resource: str | None, *, every: bool) -> int:
    """All keys of mine; without ``every``, those that are not over."""
    facility = open_facility(door)
    mine = facility.jobs.mine(resource=resource)
    shown = [each for each in mine if every or not _over(each)]
    if screen.as_json:
        grades = grades_words(facility.grades)
        screen.document({"ok": True, "exit": 0, "jobs": [_words(each) for each in shown], "grades": grades})
        return Exit.OK
    if shown:
        columns = ("STATE", "JOB", "ASKED", "GEN", "KEY")
        screen.table(columns, [_row(each) for each in shown], states=("STATE",))
    orphans = sum(each.orphan for each in shown)
    if orphans:
        which = "1 orphan: it has" if orphans == 1 else f"{orphans} orphans: they have"
        screen.say(
            f"{which} one of our names at the facility, and no ledger here knows the key. "
            "iri adopt JOB --key … takes one over, iri cancel --key … ends it then.",
            "yellow",
        )
    hidden = len(mine) - len(shown)
    if not shown or hidden:
        rest = f" ({hidden} that ended; --all shows them)" if hidden else ""
        screen.say(f"{many(len(shown) or 'No', 'live job')} at {facility.name}{rest}.", "dim")
    return Exit.OK


def _over(job: MyJob) -> bool:
    if job.status is None:
        return str(job.stage) in {"refused", "settled"}
    return job.status.state.terminal


def _row(job: MyJob) -> tuple[str, ...]:
    state = str(job.status.reported) if job.status else str(job.stage or "")
    if job.status and job.status.exit_code is not None and job.status.state.terminal:
        state = f"{state} ({job.status.exit_code})"
    asked = f"{elapsed(time.time() - job.asked_at)} ago" if job.asked_at else ""
    return (
        state,
        job.job_id or "",
        asked,
        str(job.key.generation) if job.key else "",
        job.key.identity if job.key and not job.orphan else f"{job.name} (orphan)",
    )


def _words(job: MyJob) -> dict[str, Any]:
    which = ref_words(job.ref) if job.ref else {"ref": None}
    return {
        "name": job.name,
        "tag": job.tag,
        "orphan": job.orphan,
        "stage": str(job.stage) if job.stage else None,
        "asked_at": job.asked_at,
        **which,
        "job_id": job.job_id,
        "key": job.key.identity if job.key else None,
        "generation": job.key.generation if job.key else None,
        **status_words(job.status),
    }


def facilities(screen: Screen) -> int:
    """The profiles that there are, and what is wrong with those that cannot be used."""
    from iri_common.facility.profiles import config_file, profile_names

    found = [_profile(name) for name in profile_names()]
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "facilities": found})
        return Exit.OK
    if not found:
        screen.say(f"There is no profile yet; write one to {config_file()} (iri doctor shows how).")
        return Exit.OK
    for each in found:
        if each["error"]:
            screen.entry(each["name"], "cannot be used", [each["error"]], "red")
            continue
        goes = f"jobs go to {each['resource']}; " if each["resource"] else ""
        token = each["token"] or "no token"
        screen.entry(each["name"], each["url"], [f"{goes}{token}; written in {each['from']}"])
    return Exit.OK


def _profile(name: str) -> dict[str, Any]:
    words: dict[str, Any] = {"name": name, "from": home_of(name), "url": None, "token": None, "error": None}
    try:
        settings = settings_of(DoorWords(), Choice(name, "listed"))
    except IriError as error:
        return words | {"error": str(error)}
    token = settings.token.identity if settings.token else None
    return words | {"url": settings.url, "resource": settings.resource, "token": token}
