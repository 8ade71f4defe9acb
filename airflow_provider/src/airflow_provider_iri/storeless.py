"""What an Airflow without a task state store (3.2) lets a try find again of what was asked for before it.

Nothing outlives a try there but the job's key, which the facility shows in the name of the job. So its
identity says which run of which task it is, and its generation why it was asked for.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from iri_common import AuthError, IriError, JobKey, JobState, NotOffered

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from airflow_provider_iri.record import JobRecord
    from iri_common import Facility, JobSpec

log = logging.getLogger(__name__)

BY_A_MOMENT = frozenset({"manual", "asset_triggered"})
"""Kinds of runs that are due at the moment in which somebody, or something, asked for them."""

_ASKED_ANEW = 10  # generations that one try may ask for by itself, when a clear has overtaken it
_WHATS = 10**6
_TRIES = 10**4


def nonce_of(context: Context) -> str | None:
    """What all tries of a task share, and no task of another run or deployment that has equal ids.

    A scheduled run is due at the same moment in two deployments, and when it was deleted and made again; but
    it begins in a microsecond of its own, which only a clear of a run that is over changes. A run that was
    asked for has such a moment from the beginning, which nothing changes. None where nothing is told.
    """
    run: Any = context.get("dag_run")
    if run is None:
        return None
    kind = str(getattr(run.run_type, "value", run.run_type))
    asked: datetime | None = run.run_after if kind in BY_A_MOMENT else None
    moment: datetime | None = asked if asked is not None and asked.microsecond else run.start_date
    if moment is None:
        return None
    return f"{int(moment.replace(microsecond=0).timestamp())}{moment.microsecond:06}"


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job was asked for; it is in the generation of its key.

    Attributes:
        round: How many jobs were asked for before it, and itself.
        max_tries: Airflow's at that time. A clear sets it anew, a retry does not.
        what: Of the digest of what was asked.
    """

    round: int
    max_tries: int
    what: int

    @classmethod
    def of(cls, record: JobRecord, round_: int) -> Self:
        """Why a try asks."""
        what = int(hashlib.sha256(record.digest.encode()).hexdigest(), 16) % _WHATS
        return cls(round_, record.max_tries % _TRIES, what)

    @classmethod
    def read(cls, generation: int) -> Self:
        """What :attr:`generation` says."""
        rest, what = divmod(generation // _ASKED_ANEW, _WHATS)
        return cls(*divmod(rest, _TRIES), what)

    @property
    def generation(self) -> int:
        """For a key; of two, that of the later round is the greater one."""
        return ((self.round * _TRIES + self.max_tries) * _WHATS + self.what) * _ASKED_ANEW


def first_ask(context: Context, ask: JobRecord) -> JobRecord:
    """The ask of a task of which nothing is known."""
    nonce = nonce_of(context)
    if nonce is None:
        log.warning("nothing tells this run from others of its name: a retry will ask for a job of its own")
        return ask
    return replace(ask, nonce=nonce, generation=Why.of(ask, 1).generation)


def recalled(context: Context, facility: Facility, ask: JobRecord) -> tuple[JobRecord | None, JobRecord]:
    """What was asked for last, as this home and the facility tell, and the ask that would follow it.

    The first try of all asks nobody.

    Args:
        context: Of the task.
        facility: Where jobs are.
        ask: What this try would ask for, by :func:`first_ask`.

    Raises:
        IriError: if the facility cannot be looked at now.
    """
    ti: Any = context["ti"]
    if ti.try_number <= 1 or nonce_of(context) is None:
        return None, ask
    try:
        known = facility.jobs.newest(JobKey(ask.key(ti).identity), resource=ask.resource)
    except NotOffered as error:
        log.warning("what the tries before have asked for cannot be found, and is left alone: %s", error)
        return None, replace(ask, generation=Why.of(ask, ti.try_number).generation)
    if known is None:
        return None, ask  # under the key of the try before: what comes to light yet is no other job
    was = Why.read(known.generation)
    now = Why.of(ask, was.round)
    following = replace(ask, generation=Why.of(ask, was.round + 1).generation)
    if not known.ran:
        return None, replace(ask, generation=known.generation) if was == now else following
    record = replace(
        ask,
        generation=known.generation,
        max_tries=ask.max_tries if was.max_tries == now.max_tries else was.max_tries,
        digest=ask.digest if was.what == now.what else "another",
        ref=str(known.ref) if known.ref else None,
        reported=str(known.reported) if known.reported else None,
    )
    return record, following


def looked_at(
    facility: Facility, record: JobRecord, sent: Callable[[Facility, JobRecord], JobSpec]
) -> JobRecord:
    """With how its job stands: a list may show one task of an array, and not the whole.

    Args:
        facility: Where it is.
        record: By :func:`recalled`.
        sent: What is sent for a record.

    Raises:
        IriError: if it cannot be looked at now.
    """
    if record.job is None:
        return record
    ref = record.job
    if ref.array is None and (attributes := sent(facility, record).attributes) and attributes.array:
        ref = replace(ref, array=attributes.array.partition("%")[0])
        record = replace(record, ref=str(ref))
    try:
        status = facility.jobs.status(ref)
    except AuthError:
        raise
    except IriError as error:
        if error.transient:
            raise
        return replace(record, astray=True)  # a try says so, and a clear passes it over
    if status.state is JobState.MISSING:
        return record
    return replace(record, reported=str(status.reported) if status.state.terminal else None)
