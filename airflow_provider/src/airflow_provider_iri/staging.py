"""Files that a job finds when it begins, and those that are fetched when it has succeeded."""

from __future__ import annotations

import logging
import posixpath
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from iri_common import JobKey, UsageError

if TYPE_CHECKING:
    from iri_common import Facility, Progress

log = logging.getLogger(__name__)

SAY_AGAIN = 30.0  # seconds between two words about one transfer


def pairs_of(word: str, given: Any) -> list[tuple[str, str]]:
    """What is staged, as pairs of source and target.

    Args:
        word: Of the operator, for messages.
        given: As the author wrote it, or another task gave it.

    Raises:
        UsageError: if these are no pairs of texts.
    """
    # What a mapped task gives is a sequence of Airflow's own, each item of which costs a request.
    listed = None if isinstance(given, str | bytes) or not isinstance(given, Sequence) else list(given)
    if listed is None or not all(_is_pair(each) for each in listed):
        raise UsageError(f"{word} is a list of pairs, [source, target] each, not {given!r}")
    return [(source, target) for source, target in listed]


class Staging:
    """Moves the files of one task; asked for again, it moves what is not the same at its target yet.

    Args:
        ti: The task's instance.
        facility: Where its job runs.
        directory: Of the job; paths at the facility that do not begin with a slash are meant from there.
        words: Of each transfer, as :meth:`iri_common.Transfers.sync` takes them.
        saw: Called with how far each is.
    """

    def __init__(
        self,
        ti: Any,
        facility: Facility,
        directory: str | None,
        words: Mapping[str, Any],
        saw: Callable[[Progress], object],
    ) -> None:
        # The same in every try of the task, and another one than that of any task that moves the same files.
        self._key = JobKey.of("airflow", ti.dag_id, ti.run_id, ti.task_id, ti.map_index, "files")
        self._facility = facility
        self._directory = directory or facility.directory or ""
        self._words = words
        self._saw = saw

    def put(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """From here, or anywhere, to the facility; tells what came of each."""
        return [self._move(source, self._there(target)) for source, target in pairs]

    def fetch(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """From the facility to here, or anywhere."""
        return [self._move(self._there(source), target) for source, target in pairs]

    def _there(self, path: str) -> Any:
        return path if "://" in path else self._facility.files.at(posixpath.join(self._directory, path))

    def _move(self, source: Any, target: Any) -> dict[str, Any]:
        from iri_common import Transfers  # it loads the wire, which the reading of a DAG does without

        tell = _Teller(f"{source} to {target}")

        def saw(now: Progress) -> None:
            self._saw(now)
            tell(now)

        # The job's directory is often one of its run, which nobody has made before.
        words = {"parents": True, **self._words, "key": self._key, "on_progress": saw}
        result = Transfers().sync(source, target, **words)
        for caution in result.cautions:
            log.warning("%s", caution)
        return {
            "source": result.source,
            "target": result.target,
            "road": str(result.road),
            "files": result.files,
            "files_skipped": result.files_skipped,
            "bytes": result.bytes,
            "seconds": round(result.seconds, 3),
            "sha256": result.sha256,
        }


class _Teller:
    """Says now and then how far a transfer is, and how it ended."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._next = time.monotonic() + SAY_AGAIN

    def __call__(self, now: Progress) -> None:
        if not now.finished and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + SAY_AGAIN
        of = f" of {now.files_total}" if now.files_total is not None else ""
        log.info("%s: %d%s files, %d bytes, by %s", self._label, now.files_done, of, now.bytes_done, now.road)


def _is_pair(given: Any) -> bool:
    pair = isinstance(given, list | tuple) and len(given) == 2
    return pair and all(isinstance(each, str) and each for each in given)
