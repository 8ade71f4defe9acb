"""Which run of which engine a process belongs to, as the engine tells its processes. No I/O here."""

from __future__ import annotations

from collections.abc import Mapping

LONGEST = 200  # letters of a name
# The first variable of each is there whenever the engine runs the process; no other one is read.
_TOLD: Mapping[str, Mapping[str, str]] = {
    "airflow": {
        "dag": "AIRFLOW_CTX_DAG_ID",
        "run": "AIRFLOW_CTX_DAG_RUN_ID",
        "task": "AIRFLOW_CTX_TASK_ID",
        "try": "AIRFLOW_CTX_TRY_NUMBER",
    },
    "prefect": {"flow_run": "PREFECT__FLOW_RUN_ID"},
    "github": {
        "repository": "GITHUB_REPOSITORY",
        "workflow": "GITHUB_WORKFLOW",
        "run": "GITHUB_RUN_ID",
        "attempt": "GITHUB_RUN_ATTEMPT",
        "job": "GITHUB_JOB",
        "actor": "GITHUB_ACTOR",
    },
}


def engine_run(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The engine by its ``name``, and the run in the words of the engine; nothing where there is none."""
    for engine, variables in _TOLD.items():
        told = {word: environ[name][:LONGEST] for word, name in variables.items() if environ.get(name)}
        if told and next(iter(variables)) in told:
            return {"name": engine, **told}
    return {}
