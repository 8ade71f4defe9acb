"""Tells a person what a task ran into: cause, job, facility, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

from airflow_provider_iri import lasting
from airflow_provider_iri.asked import ASKED, in_words
from airflow_provider_iri.recipients import Recipient, name_of, require_recipient, tell, told_by

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_iri.lateness import Late

LONGEST = 2000  # characters of a cause: a failed job's stderr may be long

# Why a run failed, in Airflow's words and in others.
_REASONS: Mapping[str, str] = {
    "task_failure": "a task failed",
    "timed_out": "it took longer than its dagrun_timeout",
    "all_tasks_deadlocked": "none of its tasks can go on",
}

_AWAY = "wait until the facility is back, then clear the task"
_WARNED = (
    "wait until it is back: tasks that wait for jobs go on by themselves. Only one that fails meanwhile is "
    "to be cleared then; an IriResourceSensor keeps others from beginning before"
)


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

    Of a DAG, it tells why a run failed, and by which task; in a deadline alert, what a run waits for that is
    late. It goes to the log and, in their own ways, to other notifiers, whose templates find it as ``iri``:
    ``{{ iri.text }}``, or one of the words of :class:`Notice`. Airflow masks the secrets that it knows in it.

    Example:
        >>> tell = IriNotifier(
        ...     to=[SmtpNotifier(to="me@a.org", subject="{{ iri.subject }}", html_content="{{ iri.text }}")]
        ... )
        >>> IriCredentialOperator(task_id="nersc", lasts=timedelta(days=3), on_failure_callback=tell)
        >>> late = AsyncCallback(IriNotifier, {"to": ["our_site.alerts.page"], "iri_conn_id": "nersc"})
        >>> DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=6), late)

    Args:
        to: Notifiers, or functions of Airflow's context; their import paths; or pairs of such a path and of a
            dictionary of words. A deadline alert takes only the last two.
        iri_conn_id: In a deadline alert that runs in the triggerer: by this connection the jobs of the late
            run are looked at. Without one, Airflow's word has to do.
        kwargs: Of every notifier: ``context``, which Airflow gives.
    """

    def __init__(self, to: Sequence[Recipient] = (), iri_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.to = list(to)
        self.iri_conn_id = iri_conn_id
        for each in self.to:
            require_recipient(each)

    def notify(self, context: Context) -> None:
        """Tell it; one of ``to`` that fails keeps it from none of the others."""
        notice = notice_of(context)
        self.log.warning("%s", notice.text)
        failed: list[str] = []
        for each in self.to:
            try:
                told_by(each)(_with(context, notice))
            except Exception as error:
                failed.append(f"{name_of(each)}: {error}")
        _require_told(failed)

    async def async_notify(self, context: Context) -> None:
        """Tell it in a triggerer, where Airflow calls back of a missed deadline."""
        known: Any = context
        late = None
        if _of_a_deadline(context):
            from airflow_provider_iri.lateness import look

            run = known["dag_run"]
            late = await look(run["dag_id"], run["dag_run_id"], self.iri_conn_id)
        # In a thread: it may ask Airflow.
        notice = await lasting.ask_airflow(notice_of, context, late, self.iri_conn_id)
        self.log.warning("%s", notice.text)
        failed: list[str] = []
        for each in self.to:
            try:
                await tell(each, _with(context, notice))
            except Exception as error:
                failed.append(f"{name_of(each)}: {error}")
        _require_told(failed)


def _with(context: Context, notice: Notice) -> Any:
    """A context of its own for each that is told: a notifier puts its fields into it."""
    return {**context, "iri": {**asdict(notice), "text": notice.text}}


def _require_told(failed: Sequence[str]) -> None:
    if failed:
        raise RuntimeError(f"it could not be told to {'; '.join(failed)}")


def notice_of(context: Context, late: Late | None = None, conn_id: str | None = None) -> Notice:
    """What there is to tell of a task, or a run, that did not succeed.

    Args:
        context: Airflow's.
        late: What a run that is late waits for, where that was asked.
        conn_id: By which connection.
    """
    if _of_a_deadline(context):
        return Notice(**_masked(_of_late(context, late, conn_id)))
    ti: Any = context.get("ti")
    retried = not _of_a_run(context) and _state(ti) == "up_for_retry"
    ref, job, left = _asked(context)
    cause = _cause(context)
    words = {
        "subject": _subject(context, "failed, and is tried again" if retried else "failed"),
        "cause": cause if len(cause) <= LONGEST else f"{cause[:LONGEST]} …",
        "job": job,
        "ref": ref,
        "connection": _connection(context),
        "advice": _advice(context, retried=retried, left=job if left else ""),
        "log_url": str(getattr(ti, "log_url", None) or ""),
    }
    return Notice(**_masked(words))


def _of_a_run(context: Context) -> bool:
    """Whether Airflow calls back for a DAG, with one of its tasks or with none."""
    return "reason" in context


def _of_a_deadline(context: Context) -> bool:
    """Whether Airflow calls back for a run that is late; it gives the run as the REST API shows it."""
    return "deadline" in context and isinstance(context.get("dag_run"), Mapping)


def _of_late(context: Context, late: Late | None, conn_id: str | None) -> dict[str, str]:
    known: Any = context
    run, due = known["dag_run"], known["deadline"].get("deadline_time")
    waiting = late.waiting if late is not None else ()
    begun = f" since {_minute(run['start_date'])}" if run.get("start_date") else ""
    causes = [f"it was to be over by {_minute(due)}, and is {run.get('state')}{begun}"]
    return {
        "subject": f"{run['dag_id']} is late (run {run['dag_run_id']})",
        "cause": "; ".join([*causes, late.tasks] if late is not None else causes),
        "job": late.jobs if late is not None else "",
        "ref": waiting[0].ref if len(waiting) == 1 else "",
        "connection": conn_id or "",
        "advice": "nothing, if it may take longer; a task that is marked as failed ends its job",
        "log_url": "",
    }


def _minute(time: object) -> str:
    """A time of Airflow's, which may come as text."""
    try:
        known = datetime.fromisoformat(str(time)).astimezone(UTC)
    except ValueError:
        return str(time)
    return f"{known:%Y-%m-%d %H:%M} UTC"


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
    from iri_common import UsageError

    for key, kind in ASKED.items():
        try:
            kept = _kept(context, key, kind.xcom)
            if ref := kept.get("ref"):
                return ref, in_words(ref, kind.what), bool(kept.get("left"))
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


def _advice(context: Context, *, retried: bool, left: str) -> str:
    from airflow.sdk.exceptions import AirflowFailException

    from airflow_provider_iri.outlook import IriOutlookOperator

    error: Any = context.get("exception")
    if left:
        return f"{left} is left alive: mend the cause, then clear the task, and it goes on with that"
    if retried:
        return "nothing, unless it comes again"
    if isinstance(error, AirflowFailException):
        return "no retry mends it: mend the cause, then clear the task"
    if getattr(error, "outage", False):
        return _WARNED if isinstance(context.get("task"), IriOutlookOperator) else _AWAY
    return "see the cause, then clear the task to have it tried again"


def _state(ti: Any) -> str:
    state = getattr(ti, "state", None)
    return str(getattr(state, "value", state) or "")


def _masked(words: dict[str, str]) -> dict[str, str]:
    from airflow.sdk.log import redact

    return {name: str(redact(value)) for name, value in words.items()}
