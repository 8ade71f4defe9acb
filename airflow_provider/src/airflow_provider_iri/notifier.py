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

# What a task asked for, by the names under which its tries remember it, and those of its XComs.
_ASKED: Mapping[str, tuple[str, str]] = {
    "iri_job": ("iri_job", "job"),
    "iri_flow": ("iri_flow_run", "run"),
    "iri_transfer": ("iri_transfer", "task of Globus"),
    "iri_path": ("iri_path", "path"),
}

# Why a run failed, in Airflow's words and in others.
_REASONS: Mapping[str, str] = {
    "task_failure": "a task failed",
    "timed_out": "it took longer than its dagrun_timeout",
    "all_tasks_deadlocked": "none of its tasks can go on",
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
    """Tells what a task ran into, for ``on_failure_callback`` and ``on_retry_callback``.

    Of a DAG, it tells why a run failed, and by which task. It goes to the log and, in their own ways, to
    other notifiers, whose templates find it as ``iri``: ``{{ iri.text }}``, or one of the words of
    :class:`Notice`. Airflow masks the secrets that it knows in it.

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
    """What there is to tell of a task, or a run, that did not succeed."""
    ti: Any = context.get("ti")
    error: Any = context.get("exception")
    retried = not _of_a_run(context) and _state(ti) == "up_for_retry"
    ref, job, left = _asked(context)
    cause = _cause(context)
    words = {
        "subject": _subject(context, "failed, and is tried again" if retried else "failed"),
        "cause": cause if len(cause) <= LONGEST else f"{cause[:LONGEST]} …",
        "job": job,
        "ref": ref,
        "connection": _connection(context),
        "advice": _advice(error, retried=retried, left=job if left else ""),
        "log_url": str(getattr(ti, "log_url", None) or ""),
    }
    return Notice(**_masked(words))


def _of_a_run(context: Context) -> bool:
    """Whether Airflow calls back for a DAG, with one of its tasks or with none."""
    return "reason" in context


def _subject(context: Context, verb: str) -> str:
    known: Any = context
    if _of_a_run(context):
        return f"{known['dag'].dag_id} {verb} (run {known['run_id']})"
    ti = known["ti"]
    return f"{ti.dag_id}.{_name(ti)} {verb} (run {ti.run_id})"


def _cause(context: Context) -> str:
    known: Any = context
    if _of_a_run(context):
        why = _REASONS.get(known["reason"], known["reason"])
        return f"{why} ({_name(known['ti'])}): see its log" if "ti" in known else str(why)
    if (error := known.get("exception")) is None:
        return "its process died: see the log"
    return str(error).strip() or type(error).__name__


def _name(ti: Any) -> str:
    return f"{ti.task_id}{f'[{ti.map_index}]' if ti.map_index >= 0 else ''}"


def _connection(context: Context) -> str:
    """As the task names it; nothing where that is a template, which only a worker fills in."""
    name = str(getattr(context.get("task"), "iri_conn_id", None) or "")
    return "" if "{{" in name else name


def _asked(context: Context) -> tuple[str, str, bool]:
    """What the task has at the facility: its reference, in words, and whether it was left alive."""
    from iri_common import JobRef, UsageError

    for key, (xcom_key, what) in _ASKED.items():
        try:
            kept = _kept(context, key, xcom_key)
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


def _kept(context: Context, key: str, xcom_key: str) -> Mapping[str, Any]:
    """What the task remembers, of which an XCom holds the reference."""
    ti: Any = context.get("ti")
    if ti is None:
        return {}
    # Of a run, and of a task whose process died, Airflow calls back in its DAG processor. That has no answer
    # to a question about the store: who asks it there waits until he is killed.
    if context.get("exception") is None:
        return {"ref": ti.xcom_pull(key=xcom_key, map_indexes=ti.map_index)}
    store: Any = context.get("task_state_store")
    return (store.get(key) if store is not None else None) or {}


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
