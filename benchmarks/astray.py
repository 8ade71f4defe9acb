"""Jobs that come to be when the reply to a submit goes astray: ours beside the API's own client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from iri_common import JobKey
from iri_local_facility import LocalFacility

from . import ours
from .created import FAULTS
from .processes import together
from .table import Row

Submit = Callable[[LocalFacility, JobKey, str], str]
"""Has a shell script run under a key, or under the key's name; gives the job's id."""

_ASKS = 3  # as an engine's `retries=2`
_PAUSE = 1.0
# What an adapter does between the API and its scheduler is IRI's alone.
_FAULTS = {name: fault for name, fault in FAULTS.items() if fault[0] != "adapter_error"}


@dataclass(frozen=True)
class Fate:
    """What became of one job asked for.

    Attributes:
        created: Jobs at the facility.
        worked: How often its program really ran.
        told: Whether the caller has the id of one of these jobs.
    """

    created: int
    worked: int
    told: bool


def rows(api: str, group: str, operation: str, clients: Mapping[str, Submit], faults: int) -> list[Row]:
    """What so many faults add up to for a caller who asks again when its client raises."""
    some = tuple(_FAULTS)[:: max(1, len(_FAULTS) // faults)]
    calls = {name: (_measure, submit, name, operation, some) for name, submit in clients.items()}
    fates: dict[str, dict[str, Fate]] = together(calls)
    details = {name: {fault: asdict(fate) for fault, fate in each.items()} for name, each in fates.items()}
    sums = (
        ("worked twice", lambda fate: fate.worked > 1),
        ("jobs too many", lambda fate: fate.created - 1 if fate.created else 0),
        ("no job id after three asks", lambda fate: not fate.told),
    )
    found: list[Row] = []
    for what, count in sums:
        values = {name: sum(map(count, each.values())) for name, each in fates.items()}
        told = ", ".join(f"{name} {value}" for name, value in values.items())
        note = f"each fault strikes the first submit of a job, asked for three times at most: {told}"
        title = f"{api}: {what}, of {len(some)} faults"
        found.append(Row(title, group, values, "0", values[ours.NAME] == 0, note, details=details))
    return found


def _measure(submit: Submit, client: str, operation: str, faults: tuple[str, ...]) -> dict[str, Fate]:
    with LocalFacility(nodes=2 * len(faults)) as place:
        keys = {fault: JobKey.of("astray", client, number) for number, fault in enumerate(faults)}
        for fault, key in keys.items():
            kind, options = _FAULTS[fault]
            place.order(kind, operation, job=key.job_name("case"), **options)
        with ThreadPoolExecutor(len(faults)) as pool:
            told = dict(
                zip(faults, pool.map(lambda fault: _ask(submit, place, keys[fault]), faults), strict=True)
            )
        assert all(each["struck"] for each in place.faults()), "a fault has met nobody"
        while any(job["ended"] is None for job in place.jobs()):
            time.sleep(0.1)
        return {fault: _fate(place, key, told[fault]) for fault, key in keys.items()}


def _ask(submit: Submit, place: LocalFacility, key: JobKey) -> str | None:
    for attempt in range(_ASKS):
        if attempt:
            time.sleep(_PAUSE)
        with contextlib.suppress(Exception):  # each client has errors of its own
            return submit(place, key, f"echo ran >> {place.scratch}/marks-{key.digest}; sleep 0.2")
    return None


def _fate(place: LocalFacility, key: JobKey, told: str | None) -> Fate:
    mine = [job["id"] for job in place.jobs() if job["name"] == key.job_name("case")]
    worked = 0
    with contextlib.suppress(FileNotFoundError):
        worked = len((place.scratch / f"marks-{key.digest}").read_text().splitlines())
    return Fate(len(mine), worked, told in mine)
