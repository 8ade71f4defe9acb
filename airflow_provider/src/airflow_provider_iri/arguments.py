"""What an author says of a job: what of it is filled in later, and what makes no sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

SCRIPTS = (".sh", ".sbatch", ".pbs")
OF_THE_END = ("stage_out", "follow", "queue_limit", "run_limit", "escalate", "skip_on_exit_code")


def included(script: str | None) -> str | None:
    """The name of a file as what Jinja puts in its place."""
    # Not by template_ext: for Airflow, any text with such an end is a file to read, in `job` as well, where
    # it is an argument, or a path at the facility.
    named = isinstance(script, str) and script.endswith(SCRIPTS) and "\n" not in script
    return f"{{% include {script!r} %}}" if named else script


def final(value: object) -> bool:
    """Whether nothing in it waits to be rendered: no template, no other task's result."""
    if isinstance(value, str):
        return not any(mark in value for mark in ("{{", "{%", "{#"))
    if isinstance(value, Mapping):
        return all(final(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return all(final(each) for each in value)
    return value is None or isinstance(value, bool | int | float)


def given(value: Any) -> Any:
    """What was rendered, with what a mapped task gave as a list.

    That is a sequence of Airflow's own, each item of which costs a request, and a slice of it one.
    """
    if isinstance(value, dict):
        return {name: given(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [given(each) for each in value]
    return list(value[:]) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value


def require_sense(task: Any) -> None:
    """Refuse what would be found out when the job is there.

    Raises:
        UsageError: naming the argument.
    """
    from iri_common import UsageError

    for name in ("queue_limit", "run_limit"):
        limit = getattr(task, name)
        if limit is not None and not (isinstance(limit, timedelta) and limit > timedelta(0)):
            raise UsageError(f"{name} is a timedelta of more than nothing, not {limit!r}")
    if not isinstance(task.tail_lines, int) or task.tail_lines < 0:
        raise UsageError(f"tail_lines is a number of lines, 0 for none, not {task.tail_lines!r}")
    vain = [name for name in OF_THE_END if getattr(task, name)]
    if vain and not task.wait_for_completion:
        raise UsageError(f"a task that does not wait for its job has no use for {', '.join(vain)}")
