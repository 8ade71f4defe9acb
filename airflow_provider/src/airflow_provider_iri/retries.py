"""What a task does after its job has failed: try again soon, later, with more, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Context, RetryDecision, RetryPolicy
else:
    try:
        from airflow.sdk import RetryPolicy
    except ImportError:  # Airflow 3.2 asks nobody
        RetryPolicy = object

SOON = timedelta(seconds=30)


class RetryByCause(RetryPolicy):
    """Decides by why the job failed; where nobody can tell, as the task's ``retries`` say.

    A node that died, a job that gave way to another, an outage: again soon, whatever the task's
    ``retry_delay`` says; after an outage that is not over by then, as the task says. A time or memory limit,
    or a dependency that failed: not at all, unless the next try asks for more (``escalate``).

    Args:
        soon: The delay then, unless that of the task is shorter.
    """

    def __init__(self, soon: timedelta = SOON) -> None:
        self.soon = soon

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Airflow asks this in the worker, before it looks at ``retries``."""
        from airflow.sdk import RetryDecision

        sensible = getattr(exception, "retry_sensible", None)
        if sensible is None:
            return RetryDecision.default()
        if not sensible:
            return RetryDecision.fail("the same job would fail again")
        task = (context or {}).get("task")
        # Tries that follow one another soon would all be spent on an outage of minutes.
        first = max_tries - getattr(task, "retries", max_tries) + 1
        if getattr(exception, "outage", False) and try_number > first:
            return RetryDecision.default()
        usual = getattr(task, "retry_delay", self.soon)
        return RetryDecision.retry(min(self.soon, usual), "the same may well succeed now")
