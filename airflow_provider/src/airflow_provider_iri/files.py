"""One operation on a facility's files."""

from __future__ import annotations

import asyncio
import inspect
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.errands import Errand
    from iri_common import FacilityTask, FileStat

STORE_KEY = "iri_file"
READS = frozenset({"stat", "checksum", "ls", "head", "tail", "file_type"})
CHANGES = frozenset({"mkdir", "rm", "chmod", "chown"})
BETWEEN = frozenset({"cp", "mv", "compress", "extract"})
OPERATIONS = READS | CHANGES | BETWEEN
LASTING = BETWEEN | {"rm", "checksum"}
"""What takes the longer the more there is."""

AT_ONCE = 10.0  # seconds for which a worker waits: most are over by then, and a deferral takes as long


class IriFileOperator(BaseOperator):
    """Does one thing with a facility's files, in the words of ``facility.files``; a retry does no harm.

    What takes the facility long is asked for once, whatever becomes of workers and tries, and is waited for
    in the triggerer. No API ends it: it goes on though a person ends the task, and a clear goes on with it.

    What an earlier try may have done is no error of the next one: a directory that is there, a file that is
    gone or has been moved. A directory that it may have copied in part is copied again. But a copy or a move
    whose answer was lost may wait in a queue there: a retry looks until it is done and does not ask again,
    which is for a person to say, by a clear.

    Example:
        >>> IriFileOperator(
        ...     task_id="done", operation="mv", path="/scratch/alice/new", target="/scratch/alice/{{ ds }}"
        ... )

    Args:
        operation: mkdir (with those above it), rm (with all that is in it; what is not there is no error),
            cp, mv, compress, extract, chmod, chown; to be told something stat, checksum, ls, head, tail,
            file_type.
        path: At the facility. Templated.
        target: Of cp, mv, compress and extract. For the first two the new path itself, no directory to put
            it into. Templated.
        options: More words of the operation: ``{"mode": 0o750}``, ``{"lines": 20}``, ``{"recursive": True}``.
            Templated; a text means the same: ``"750"``, ``"20"``, ``"true"``.
        storage: Name or id of the file system; the connection's if None. Templated.
        iri_conn_id: The connection. Templated.
        deferrable: Wait in the triggerer for what is not over within seconds. Otherwise the worker's slot is
            held until the facility is done.
        kwargs: Of every operator. ``execution_timeout`` counts while the task is deferred, too.

    Returns:
        What was asked for, as plain JSON; None of what only changes something.
    """

    template_fields: Sequence[str] = ("path", "target", "options", "storage", "iri_conn_id")
    template_fields_renderers: ClassVar[dict[str, str]] = {"options": "json"}
    ui_color = "#ece6d6"

    def __init__(
        self,
        *,
        operation: str,
        path: str,
        target: str | None = None,
        options: Mapping[str, Any] | None = None,
        storage: str | None = None,
        iri_conn_id: str = "iri_default",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if operation not in OPERATIONS:
            raise ValueError(f"operation is one of {', '.join(sorted(OPERATIONS))}, not {operation!r}")
        if (target is not None) is not (operation in BETWEEN):
            wants = "wants a target" if operation in BETWEEN else "has no target"
            raise ValueError(f"{operation} {wants}")
        self.operation = operation
        self.path = path
        self.target = target
        self.options = options  # maybe what another task gives: there is nothing in it yet
        self.storage = storage
        self.iri_conn_id = iri_conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Do it, unless an earlier try has done it; wait here for a moment, then in the triggerer."""
        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook

        with told_to_airflow(self.iri_conn_id):
            self._require_paths()
            files = IriHook(self.iri_conn_id).facility.files
            if self.operation not in LASTING:
                return _plain(self._call(files))
            asked = [self.operation, self.path, self.target, self.storage, self.options, self.iri_conn_id]
            return self._do_once(Errand(context, STORE_KEY, asked), files)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Tell what came of it; called when the trigger has fired."""
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.errands import Errand
        from airflow_provider_iri.errors import tell_again, told_to_airflow

        self.iri_conn_id = event.get("iri_conn_id", self.iri_conn_id)  # where it was asked for
        with told_to_airflow(self.iri_conn_id):
            errand = Errand(context, STORE_KEY)
            if event.get("trouble") == "WaitTimeout":
                if "facility_task" not in event:
                    raise AirflowTaskTimeout(event["message"])
                told = self._at_last(event["facility_task"], event["message"])
            elif "trouble" in event:
                tell_again(event["trouble"], event["message"], self.iri_conn_id)
            else:
                told = event["told"]
            errand.note(left=False, doubt=None)
        return told

    def _require_paths(self) -> None:
        from iri_common import UsageError

        for word in ("path", "target") if self.operation in BETWEEN else ("path",):
            # A template that comes to nothing is the text "None", which would be a file beside others.
            if str(given := getattr(self, word)).strip() in {"", "None"}:
                raise UsageError(f"the {word} of {self.operation} has come to nothing: it is {given!r}")

    def _call(self, files: Any, **more: Any) -> Any:
        from iri_common import UsageError

        paths = [str(each) for each in (self.path, self.target) if each is not None]
        options = self.options or {}
        if not isinstance(options, Mapping):
            raise UsageError(f"the options of {self.operation} are words and their values, not {options!r}")
        call = getattr(files, self.operation)
        taken = inspect.signature(call)
        try:
            words = {name: _meant(name, each, taken) for name, each in options.items()}
            asked = taken.bind(*paths, **words, storage=self.storage, **more)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.operation} of {self.path} makes no sense: {error}") from None
        return call(*asked.args, **asked.kwargs)

    def _do_once(self, errand: Errand, files: Any) -> Any:
        """What it gives; asked for unless an earlier try has, and that goes on or is done."""
        # Left until it is done: a clear after a try that failed goes on where that was, as a retry does.
        if errand.record.ref is not None:
            errand.note(left=True)
        going_on, told = self._gone_on(errand, files)
        if not going_on and errand.record.doubt is not None:
            self._await_fate(errand.record.doubt)
        elif not going_on and not self._done_before(errand, files):
            errand.note(ref=self.operation, left=True, doubt=self._doubt(files))
            told = self._asked(errand, files)
        errand.note(left=False, doubt=None)
        return told

    def _doubt(self, files: Any) -> str | None:
        """What to look for if no answer tells whether the facility has taken it, as it is remembered."""
        from airflow_provider_iri.doubts import Doubt, version_of

        if self.operation not in {"cp", "mv"}:
            return None
        was = version_of(self._seen(files, str(self.target)))
        return json.dumps(asdict(Doubt(self.operation, str(self.path), str(self.target), self.storage, was)))

    def _await_fate(self, remembered: str) -> None:
        """Look until it is done, in the triggerer; whatever else is seen, it is not asked for again here."""
        from airflow_provider_iri.doubts import Doubt, settled
        from airflow_provider_iri.file_triggers import IriDoubtTrigger
        from airflow_provider_iri.hooks import IriHook
        from airflow_provider_iri.limits import deadline_of

        doubt, deadline = Doubt(**json.loads(remembered)), deadline_of(self.execution_timeout)
        self.log.info("an earlier try has asked for it, and its answer was lost")
        if self.deferrable:
            trigger = IriDoubtTrigger(self.iri_conn_id, asdict(doubt), deadline)
            self.defer(trigger=trigger, method_name="execute_complete")
        asyncio.run(settled(IriHook(self.iri_conn_id).facility.aio, doubt, deadline, self.log))

    def _gone_on(self, errand: Errand, files: Any) -> tuple[bool, Any]:
        """Whether there is a task of the facility from an earlier try that comes to something; to what."""
        from airflow_provider_iri.file_triggers import is_end_of
        from iri_common import IriError

        if (task := _task_of(errand)) is None:
            return False, None
        self.log.info("an earlier try has asked for it")
        try:
            return True, self._awaited(files, task)
        except IriError as error:
            if not is_end_of(task, error):
                raise
            self.log.info("what an earlier try has asked for came to nothing: %s", error)
            return False, None

    def _asked(self, errand: Errand, files: Any) -> Any:
        from iri_common import AmbiguousReply, IriError, WaitTimeout

        try:
            # Before any wait: a worker that dies in it leaves the task to the next try.
            return _plain(self._call(files, timeout=0.0))
        except AmbiguousReply:
            raise
        except WaitTimeout as error:
            if (task := error.task) is None:
                raise
        except IriError:
            errand.note(doubt=None)  # refused, or it never came
            raise
        errand.note(ref=json.dumps(asdict(task)), doubt=None)
        return self._awaited(files, task)

    def _awaited(self, files: Any, task: FacilityTask) -> Any:
        """What the facility's task gives; where that takes long, the triggerer waits for it."""
        from airflow_provider_iri.file_triggers import is_end_of
        from iri_common import IriError

        try:
            return _plain(files.finish(task, timeout=AT_ONCE))
        except IriError as error:
            if not error.transient or is_end_of(task, error):
                raise
            self.log.info("%s", error)
        if self.deferrable:
            self._defer(task)
        return _plain(files.finish(task))

    def _defer(self, task: FacilityTask) -> None:
        from airflow_provider_iri.file_triggers import IriFileTrigger
        from airflow_provider_iri.limits import deadline_of

        deadline = deadline_of(self.execution_timeout)
        trigger = IriFileTrigger(self.iri_conn_id, asdict(task), deadline)
        self.defer(trigger=trigger, method_name="execute_complete")

    def _at_last(self, task: dict[str, str], why: str) -> Any:
        """What it gives, if it is over by now though nobody looked in time.

        Raises:
            AirflowTaskTimeout: if it is not; it goes on, and the next try goes on with it.
        """
        from airflow.sdk.exceptions import AirflowTaskTimeout

        from airflow_provider_iri.hooks import IriHook
        from iri_common import FacilityTask, WaitTimeout

        files = IriHook(self.iri_conn_id).facility.files
        try:
            return _plain(files.finish(FacilityTask(**task), timeout=0.0))
        except WaitTimeout:
            raise AirflowTaskTimeout(why) from None

    def _done_before(self, errand: Errand, files: Any) -> bool:
        """Whether there is nothing left to do."""
        if self.operation == "rm":
            if gone := self._seen(files, self.path) is None:
                self.log.info("%s is not there", self.path)
            return gone
        return self.operation in {"cp", "mv"} and self._moved_before(errand, files)

    def _moved_before(self, errand: Errand, files: Any) -> bool:
        """Whether an earlier try has moved it; what it has copied in part is taken away.

        Raises:
            UsageError: if the target is somebody's directory.
            TransientError: if nobody can tell whether an earlier try still moves it.
        """
        from iri_common import TransientError

        there = self._seen(files, str(self.target))
        if there is None:
            return False
        if errand.record.ref is None:
            self._require_no_directory(there)
            return False
        source = self._seen(files, self.path)
        if source is None:
            return self.operation == "mv"  # what was copied may be all that is left of it
        if stat.S_ISREG(source.mode):
            self._require_no_directory(there)
        if not stat.S_ISDIR(there.mode):
            return False
        if self.operation == "mv":
            raise TransientError(
                f"{self.path} and the directory {self.target} are both there: the move that an earlier try "
                "has asked for may go on yet; if it does not, take away what of the two is not wanted"
            )
        self.log.info("%s may be half a copy, of an earlier try: copying it again", self.target)
        files.rm(str(self.target), storage=self.storage, timeout=None)
        return False

    def _require_no_directory(self, there: FileStat) -> None:
        from iri_common import UsageError

        # cp and mv would put it into that directory, under its name there: the next try could not tell this
        # directory from half a copy. No copy of a file is one.
        if stat.S_ISDIR(there.mode):
            raise UsageError(f"{self.target} is a directory that is there already: name the new path itself")

    def _seen(self, files: Any, path: str) -> FileStat | None:
        from iri_common import NotFound

        try:
            return files.stat(str(path), storage=self.storage)
        except NotFound:
            return None


def _task_of(errand: Errand) -> FacilityTask | None:
    """What the facility works on, as far as it is remembered; else it is only known what was asked for."""
    from iri_common import FacilityTask

    ref = errand.record.ref
    return FacilityTask(**json.loads(ref)) if ref is not None and ref not in OPERATIONS else None


def _meant(name: str, value: Any, taken: inspect.Signature) -> Any:
    """The value of an option; what was a template is a text, whatever is meant by it."""
    known = taken.parameters.get(name)
    if not isinstance(value, str) or known is None:
        return value
    kind = str(known.annotation)
    if kind.startswith("bool"):
        if value.lower() not in {"true", "false"}:
            raise ValueError(f"{name} is true or false, not {value!r}")
        return value.lower() == "true"
    if kind.startswith("int"):
        try:
            return int(value, 8 if name == "mode" else 10)
        except ValueError:
            raise ValueError(f"{name} is a number, not {value!r}") from None
    return value


def _plain(told: Any) -> Any:
    """As an XCom holds it."""
    if isinstance(told, list | tuple):
        return [asdict(each) for each in told]
    return told if told is None or isinstance(told, str) else asdict(told)
