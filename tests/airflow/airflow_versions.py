"""What a test needs of Airflow that not every supported one has."""

from __future__ import annotations

from importlib.util import find_spec

import airflow
import airflow.sdk
import pytest
from airflow.triggers.base import BaseTrigger

STORE = hasattr(airflow.sdk, "NEVER_EXPIRE")
ON_KILL = hasattr(BaseTrigger, "on_kill")
FORGETS = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 4)
"""A clear discards what the task remembers: its next try does not wait for the end of the job before."""
TRIES_DAGS = not airflow.__version__.startswith("3.2.2")
"""``dag.test()`` works; that of 3.2.2 asks an API in its own process before that is set up, and gets 500."""


def _needs(there: bool, what: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not there, reason=f"Airflow 3.3 and newer: {what}")


needs_store = _needs(STORE, "what a task remembers from one try to the next")
needs_policies = _needs(hasattr(airflow.sdk, "RetryPolicy"), "retry policies")
needs_on_kill = _needs(ON_KILL, "triggers are told that a person ended their task")
needs_bookmarks = _needs(ON_KILL, "a trigger keeps how far it has told what a job writes")
needs_shared_looks = _needs(
    find_spec("airflow.triggers.shared_stream") is not None, "watchers share their looks, and remember"
)
