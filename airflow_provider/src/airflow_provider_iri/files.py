"""One operation on a facility's files."""

from __future__ import annotations

import inspect
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.errands import Errand
    from iri_common import FileStat

STORE_KEY = "iri_file"
READS = frozenset({"stat", "checksum", "ls", "head", "tail", "file_type"})
CHANGES = frozenset({"mkdir", "rm", "chmod", "chown"})
BETWEEN = frozenset({"cp", "mv", "compress", "extract"})
OPERATIONS = READS | CHANGES | BETWEEN


class IriFileOperator(BaseOperator):
    """Does one thing with a facility's files, in the words of ``facility.files``; a retry does no harm.

    What an earlier try may have done, its reply lost, is no error of the next one: a directory that is
    there, a file that is gone or has been moved. A directory that it may have copied in part is copied again.

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
        kwargs: Of every operator.

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

    def execute(self, context: Context) -> Any:
        """Do it, unless an earlier try has done it."""
        from airflow_provider_iri.errors import told_to_airflow
        from airflow_provider_iri.hooks import IriHook

        with told_to_airflow(self.iri_conn_id):
            files = IriHook(self.iri_conn_id).facility.files
            if self.operation in {"cp", "mv"}:
                return self._do_once(context, files)
            if self.operation == "rm" and self._seen(files, self.path) is None:
                self.log.info("%s is not there", self.path)
                return None
            return _plain(self._call(files))

    def _call(self, files: Any) -> Any:
        from iri_common import UsageError

        paths = [each for each in (self.path, self.target) if each is not None]
        call = getattr(files, self.operation)
        taken = inspect.signature(call)
        try:
            words = {name: _meant(name, each, taken) for name, each in (self.options or {}).items()}
            asked = taken.bind(*paths, **words, storage=self.storage)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self.operation} of {self.path} makes no sense: {error}") from None
        return call(*asked.args, **asked.kwargs)

    def _do_once(self, context: Context, files: Any) -> None:
        """Copy or move it, unless an earlier try has done it."""
        from airflow_provider_iri.errands import Errand

        errand = Errand(context, STORE_KEY, [self.operation, self.path, self.target, self.storage])
        if not self._done_before(errand, files):
            # Left until it is done: a clear after a try that failed goes on where that was, as a retry does.
            errand.note(ref=self.operation, left=True)
            self._call(files)
        errand.note(left=False)

    def _done_before(self, errand: Errand, files: Any) -> bool:
        """Whether an earlier try has moved it; what it has copied in part is taken away."""
        from iri_common import UsageError

        there = self._seen(files, str(self.target))
        if errand.record.ref is None:
            # cp would put it into that directory, under its name there: the next try could not tell this
            # directory from half a copy.
            if there is not None and stat.S_ISDIR(there.mode):
                raise UsageError(
                    f"{self.target} is a directory that is there already: name the new path itself"
                )
            return False
        if there is None:
            return False
        if self.operation == "mv":
            return self._seen(files, self.path) is None
        if stat.S_ISDIR(there.mode):
            self.log.info("%s may be half a copy, of an earlier try: copying it again", self.target)
            files.rm(self.target, storage=self.storage)
        return False

    def _seen(self, files: Any, path: str) -> FileStat | None:
        from iri_common import NotFound

        try:
            return files.stat(path, storage=self.storage)
        except NotFound:
            return None


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
