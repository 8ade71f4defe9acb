"""HPC jobs from Prefect, through facility APIs: a block, tasks for both kinds of flows, a table of jobs.

Importing this registers the block type: Prefect imports it through the entry point ``prefect.collections``.
The rest is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prefect_iri.block import IriFacility

if TYPE_CHECKING:
    from prefect_iri.artifacts import ajob_table, job_table
    from prefect_iri.tasks import arun_job, asubmit_job, await_for_job, run_job, submit_job, wait_for_job

__version__ = "0.1.0"

_HOMES = {
    "tasks": ("run_job", "arun_job", "submit_job", "asubmit_job", "wait_for_job", "await_for_job"),
    "artifacts": ("job_table", "ajob_table"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "__version__",
    "IriFacility",
    "run_job",
    "arun_job",
    "submit_job",
    "asubmit_job",
    "wait_for_job",
    "await_for_job",
    "job_table",
    "ajob_table",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
