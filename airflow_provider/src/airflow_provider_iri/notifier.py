"""Tells a person what a task ran into: cause, job, facility, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

LONGEST = 2000  # characters of a cause: a failed job's stderr may be long

# What a task asked for, by the names under which its tries remember it.
_ASKED: Mapping[str, str] = {
    "iri_job": "job",
    "iri_flow": "run",
    "iri_transfer": "task of Globus",
    "iri_path": "path",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """What there is to tell.

    Attributes:
        subject: One line.
        cause: What happened, as the task's log has it.
        job: What the task has at the facility, in words; "" for nothing that is known.
        ref: The same as a reference.
        connection: Through which it was asked for; "" for none.
        advice: What to do.
        log_url: Of the task's log.
    """

    subject: str
    cause: str
    job: str
    ref: str
    connection: str
    advice: str
    log_url: str

    @property
    def text(self) -> str:
        """All of it, a line each."""
        lines = [self.subject, f"cause: {self.cause}"]
        lines += [f"{word}: {said}" for word, said in self._more() if said]
        return "\n".join(lines)

    def _more(self) -> Sequence[tuple[str, str]]:
        job = f"{self.job} ({self.ref})" if self.ref else self.job
        where = ("connection", self.connection)
        return (("at the facility", job), where, ("to do", self.advice), ("log", self.log_url))


class IriNotifier(BaseNotifier):
    """Tells what a task ran into, for ``on_failure_callback`` and ``on_retry_callback`` of a task.

    It goes to the log and, in their own ways, to other notifiers, whose templates find it as ``iri``:
    ``{{ iri.text }}``, or one of the words of :class:`Notice`. Airflow masks the secrets that it knows in it.

    Example:
        >>> tell = IriNotifier(
        ...     to=[SmtpNotifier(to="me@a.org", subject="{{ iri.subject }}", html_content="{{ iri.text }}")]
        ... )
        >>> IriCredentialOperator(task_id="nersc", lasts=timedelta(days=3), on_failure_callback=tell)

    Args:
        to: Notifiers, or functions of Airflow's context.
    """

    def __init__(self, to: Sequence[Callable[[Context], object]] = ()) -> None:
        super().__init__()
        self.to = list(to)

    def notify(self, context: Context) -> None:
        """Tell it; one of ``to`` that fails keeps it from none of the others."""
        notice = notice_of(context)
        self.log.warning("%s", notice.text)
        failed: list[str] = []
        for each in self.to:
            try:
                # A context of its own for each: a notifier puts its fields into it.
                each({**context, "iri": {**asdict(notice), "text": notice.text}})  # type: ignore[typeddict-unknown-key]
            except Exception as error:
                failed.append(f"{type(each).__name__}: {error}")
        if failed:
            raise RuntimeError(f"it could not be told to {'; '.join(failed)}")


def notice_of(context: Context) -> Notice:
    """What there is to tell of a task that did not succeed."""
    ti: Any = context["ti"]
    task: Any = context.get("task")
    error: Any = context.get("exception")
    ref, job, left = _asked(context)
    name = f"{ti.dag_id}.{ti.task_id}{f'[{ti.map_index}]' if ti.map_index >= 0 else ''}"
    retried = _state(ti) == "up_for_retry"
    verb = "failed, and is tried again" if retried else "failed"
    cause = (
        str(error).strip() or type(error).__name__ if error is not None else "its process died: see the log"
    )
    words = {
        "subject": f"{name} {verb} (run {ti.run_id})",
        "cause": cause if len(cause) <= LONGEST else f"{cause[:LONGEST]} …",
        "job": job,
        "ref": ref,
        "connection": str(getattr(task, "iri_conn_id", None) or ""),
        "advice": _advice(error, retried=retried, left=job if left else ""),
        "log_url": str(getattr(ti, "log_url", None) or ""),
    }
    return Notice(**_masked(words))


def _asked(context: Context) -> tuple[str, str, bool]:
    """What the task has at the facility: its reference, in words, and whether it was left alive."""
    from iri_common import JobRef, UsageError

    store: Any = context.get("task_state_store")
    for key, what in _ASKED.items():
        try:
            kept: Mapping[str, Any] = (store.get(key) if store is not None else None) or {}
            ref = kept.get("ref")
            if ref and "://" in ref:
                return ref, JobRef.parse(ref).describe().replace("job", what, 1), bool(kept.get("left"))
            if ref:
                return ref, f"{what} {ref}", bool(kept.get("left"))
        except UsageError:
            continue
        except Exception:  # Airflow does not tell: then what is known is told all the same
            break
    return "", "", False


def _advice(error: Any, *, retried: bool, left: str) -> str:
    from airflow.sdk.exceptions import AirflowFailException

    if left:
        return f"{left} is left alive: mend the cause, then clear the task, and it goes on with that"
    if retried:
        return "nothing, unless it comes again"
    if isinstance(error, AirflowFailException):
        return "no retry mends it: mend the cause, then clear the task"
    return "see the cause, then clear the task to have it tried again"


def _state(ti: Any) -> str:
    state = getattr(ti, "state", None)
    return str(getattr(state, "value", state) or "")


def _masked(words: dict[str, str]) -> dict[str, str]:
    from airflow.sdk.log import redact

    return {name: str(redact(value)) for name, value in words.items()}
