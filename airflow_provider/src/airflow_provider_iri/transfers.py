"""Moves files between this worker, object stores, facilities and Globus collections."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_provider_iri.ends import moving_words
from airflow_provider_iri.lineage import TransferLineage

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_provider_iri.ends import End
    from airflow_provider_iri.errands import Errand
    from airflow_provider_iri.rounds import Turn
    from iri_common import EntrustedTransfers, Progress

STORE_KEY = "iri_transfer"
SAY_EVERY = 30.0  # seconds between two lines of the log about bytes that run through a worker
CANCEL_PATIENCE = 60.0  # for a transfer of before to end, which writes to the same paths


class IriTransferOperator(TransferLineage, BaseOperator):
    """Moves a file, a directory with all that is in it, or what a pattern names; the core picks the road.

    What Globus moves by itself, from one collection to the other, is waited for in the triggerer: it is asked
    for once however often the task is tried, a clear or a mark ends it. All else runs through the worker,
    whose slot is held while bytes move: a facility that goes away, a copy that it makes by itself, a job that
    a road takes are waited for in the triggerer. Then, as in a retry, a worker with the same home goes on
    where the last one was.

    Example:
        >>> IriTransferOperator(
        ...     task_id="results",
        ...     source="/pscratch/sd/a/alice/{{ ds }}",
        ...     source_conn_id="nersc",
        ...     target="globus://36d521b3-c182-4071-b7d5-91db5d380d42/runs/{{ ds }}",
        ... )

    Args:
        source: A path on the worker, ``iri://<profile>/<file system>/<path>``,
            ``globus://<collection>/<path>``, or what Airflow's ObjectStoragePath takes (``s3://…``), which
            passes through a temporary directory of the worker. With ``source_conn_id``, a path at its
            facility. Templated.
        target: Likewise. Templated.
        source_conn_id: An ``iri`` connection, or that of the object store. Templated.
        target_conn_id: Likewise. Templated.
        source_storage: Name or id of the file system at the connection's facility. Templated.
        target_storage: Likewise. Templated.
        options: In the words of :meth:`iri_common.Transfers.copy`: ``{"road": "globus"}``,
            ``{"allow_job": True}``, ``{"checksum": True}`` …
        deferrable: Wait in the triggerer for a facility: one that goes away, or does something by itself.
            Otherwise the worker's slot is held for its work, and going away fails the try. What Globus moves
            by itself is waited for there in any case.
        kwargs: Of every operator. ``execution_timeout`` counts while the task is deferred, too.

    Returns:
        ``{"source": …, "target": …, "road": …, "files": …, "bytes": …, "sha256": …, "task": …}``; ``task`` is
        that of Globus, which the XCom ``iri_transfer`` holds from the start.
    """

    template_fields: Sequence[str] = (
        "source",
        "target",
        "source_conn_id",
        "target_conn_id",
        "source_storage",
        "target_storage",
    )
    ui_color = "#e2ecd8"

    def __init__(
        self,
        *,
        source: str | Path | ObjectStoragePath,
        target: str | Path | ObjectStoragePath,
        source_conn_id: str | None = None,
        target_conn_id: str | None = None,
        source_storage: str | None = None,
        target_storage: str | None = None,
        options: Mapping[str, Any] | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.target = target
        self.source_conn_id = source_conn_id
        self.target_conn_id = target_conn_id
        self.source_storage = source_storage
        self.target_storage = target_storage
        self.options = moving_words("options", options)
        self.deferrable = deferrable

    def execute(self, context: Context) -> dict[str, Any]:
        """Have Globus move it where that is the road, and wait in the triggerer; else move it here."""
        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.rounds import Turn
        from iri_common import UsageError

        with told_to_airflow():
            source, target = self._ends()
            if not (source.far or target.far):
                raise UsageError(f"neither {source} nor {target} is at a facility or in a Globus collection")
            errand = Errand(context, STORE_KEY, [asdict(source), asdict(target), self.options])
            return self._move(context, errand, Turn(self, context), source, target)

    def go_on(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on where an outage ended the last round, in another worker maybe."""
        from airflow_provider_iri.ends import End
        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.rounds import Turn

        with told_to_airflow():
            turn, kept = Turn(self, context, event), event["kept"]
            source, target = End(**kept["source"]), End(**kept["target"])
            return self._move(context, Errand(context, STORE_KEY), turn, source, target)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Tell what came of it; called when the trigger has fired."""
        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import tell_again, told_to_airflow

        with told_to_airflow():
            errand = Errand(context, STORE_KEY)
            if event.get("trouble") == "WaitTimeout":
                return self._give_up(errand, event["task"], event["message"])
            if "trouble" in event:
                errand.note(left=event["trouble"] in {"AuthError", "PermissionDenied"})
                tell_again(event["trouble"], event["message"])
        return self._told(*self._ends(), "globus", event["files"], event["bytes"], task=event["task"])

    def _move(self, context: Context, errand: Errand, turn: Turn, source: End, target: End) -> dict[str, Any]:
        from airflow_provider_iri.guard import require_wanted
        from iri_common import IriError

        try:
            task = self._entrusted(errand, source, target) if source.far and target.far else None
            if task is None:
                return self._carried(errand, turn, source, target)
        except IriError as error:
            # What Globus was asked for under a submission that nothing remembers would be asked for twice.
            if context.get("task_state_store") is not None or errand.record.submission is None:
                turn.wait_out(error, (source, target), {"source": asdict(source), "target": asdict(target)})
            raise
        end = partial(self._end, errand, task)
        require_wanted(context["ti"], f"task {task} of Globus is cancelled", end)
        context["ti"].xcom_push(key="iri_transfer", value=task)
        return self._wait(context, source, target, task)

    def _give_up(self, errand: Errand, task: str, why: str) -> dict[str, Any]:
        """End it, unless it is over by now: then that counts, and this is what came of it.

        Raises:
            AirflowTaskTimeout: if it was not over.
        """
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from iri_common import EntrustedTransfers

        source, target = self._ends()
        transfers, ends = EntrustedTransfers(), (source.open(), target.open())
        seen = transfers.status(*ends, task)
        if seen is None or not seen.state.over:
            self._end(errand, task)
            raise AirflowTaskTimeout(why)
        self.log.info("task %s of Globus has ended after all, by the end of its time", task)
        done = transfers.wait(*ends, task)
        return self._told(source, target, "globus", done.files_done, done.bytes_done, task=task)

    def _end(self, errand: Errand, task: str) -> None:
        from iri_common import EntrustedTransfers

        source, target = self._ends()
        EntrustedTransfers().cancel(source.open(), target.open(), task)
        errand.note(ended=True)

    def _ends(self) -> tuple[End, End]:
        from airflow_provider_iri.ends import End

        source = End(_path("source", self.source), self.source_conn_id, self.source_storage)
        return source, End(_path("target", self.target), self.target_conn_id, self.target_storage)

    def _entrusted(self, errand: Errand, source: End, target: End) -> str | None:
        """The task of Globus that moves it, from this try or one before; None if it takes another road."""
        from iri_common import EntrustedTransfers

        transfers, ends = EntrustedTransfers(), (source.open(), target.open())
        self._end_before(errand, transfers, ends)
        if (task := errand.record.ref) is not None:
            seen = transfers.status(*ends, task)
            if seen is not None and (not seen.state.over or seen.whole):
                self.log.info("going on with task %s of Globus", task)
                return task
            self.log.info("task %s of Globus came to nothing: asking for another one", task)
            errand.again()
        prepared = transfers.prepare(
            *ends, submission=errand.record.submission, key=errand.key, **self.options
        )
        if prepared is None:
            return None
        self.log.info("%s", prepared.plan.explain())
        errand.note(submission=prepared.submission)  # before anything is sent: under it, once is once
        task = transfers.submit(prepared)
        errand.note(ref=task)
        self.log.info("asked Globus for task %s", task)
        return task

    def _end_before(self, errand: Errand, transfers: EntrustedTransfers, ends: tuple[Any, Any]) -> None:
        """A task that a clear left behind; its trigger may have ended it already."""
        from iri_common import NotFound, PermissionDenied, Refused, TransferError, UsageError, WaitTimeout

        if (before := errand.record.before) is None:
            return
        try:
            transfers.cancel(*ends, before)
            transfers.wait(*ends, before, timeout=CANCEL_PATIENCE)
        except (TransferError, NotFound):
            pass  # it is over, which is what was wanted
        except (UsageError, PermissionDenied, Refused, WaitTimeout) as error:
            self.log.warning("task %s of Globus, asked for before: %s", before, error)
        errand.note(before=None)

    def _wait(self, context: Context, source: End, target: End, task: str) -> Any:
        from airflow_provider_iri.globus_triggers import IriTransferTrigger
        from airflow_provider_iri.rounds import end_of_try

        deadline = end_of_try(context, self.execution_timeout)
        trigger = IriTransferTrigger(asdict(source), asdict(target), task, deadline)
        return self.defer(trigger=trigger, method_name="execute_complete")

    def _carried(self, errand: Errand, turn: Turn, source: End, target: End) -> dict[str, Any]:
        """Move it through this worker."""
        from iri_common import Transfers

        tell = _Teller(self.log)

        def saw(now: Progress) -> None:
            turn.saw(now)
            tell(now)

        with tempfile.TemporaryDirectory(prefix="iri-transfer-") as stage:
            from_ = _fetched(source, Path(stage)) if source.stored else source.open()
            to = _staged(target, source, Path(stage)) if target.stored else target.open()
            self.log.info("this worker moves it, and its slot is held while bytes run through it")
            words = {"wait": turn.wait, **self.options}
            done = Transfers().copy(from_, to, key=errand.key, on_progress=saw, **words)
            if target.stored:
                _stored(to, target)
        files, size = turn.moved if turn.resumed else (done.files, done.bytes)
        self.log.info("moved %d files, %d bytes, by the road %s", files, size, done.road)
        return self._told(source, target, done.road, files, size, sha256=done.sha256, task=done.task_id)

    def _told(
        self,
        source: End,
        target: End,
        road: str,
        files: int,
        size: int,
        *,
        sha256: str | None = None,
        task: str | None = None,
    ) -> dict[str, Any]:
        self._note_move(source, target)
        words = {"road": str(road), "files": files, "bytes": size, "sha256": sha256, "task": task}
        return {"source": str(source), "target": str(target), **words}


class _Teller:
    """Says how far it is, now and then."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._again = time.monotonic() + SAY_EVERY

    def __call__(self, now: Progress) -> None:
        if time.monotonic() < self._again:
            return
        self._again = time.monotonic() + SAY_EVERY
        files = f"{now.files_done} of {now.files_total} files"
        self._log.info("%s, %d of %s bytes", files, now.bytes_done, now.bytes_total)


def _path(word: str, given: Any) -> str:
    from iri_common import UsageError

    # A template may come to nothing, which would be the worker's own directory, or a file of that name in it.
    if str(given).strip() in {"", "None"}:
        raise UsageError(f"the {word} of a transfer is a path, not {given!r}")
    return str(given)


def _fetched(end: End, stage: Path) -> Path:
    """What is in the object store, on this worker."""
    stored = end.object()
    here = stage / (stored.name or "data")
    stored.fs.get(stored.path, str(here), recursive=stored.is_dir())
    return here


def _staged(end: End, source: End, stage: Path) -> Path:
    """Where it lies on this worker before it goes to the object store."""
    return stage / (end.object().name or Path(source.path).name or "data")


def _stored(here: Path, end: End) -> None:
    stored = end.object()
    if here.is_dir():
        for each in sorted(here.rglob("*")):
            if each.is_file():
                _put(each, stored / each.relative_to(here).as_posix())
    else:
        _put(here, stored)


def _put(here: Path, stored: Any) -> None:
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.fs.put(str(here), stored.path)
