"""A job's spec as FirecREST takes it: a script, and the few needs that have a field beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from iri_common.apis.firecrest.wire import SystemReply
from iri_common.jobside.batch import ONE_BY_ONE, Scheduler, batch_script, plain_script
from iri_common.model.errors import UsageError

_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")
LONGEST_NAME = 128

# Words of a spec that have a field of their own; all others are directives.
_FIELDS: Mapping[str, str] = {
    "directory": "workingDirectory",
    "stdin_path": "standardInput",
    "stdout_path": "standardOutput",
    "stderr_path": "standardError",
}
_ATTRIBUTES: Mapping[str, str] = {
    "account": "account",
    "queue_name": "partition",
    "reservation_id": "reservation",
}

# Slurm's REST daemon gives a job the variables that it is told and no others, and the guard lives in a home.
_SURROUNDINGS = """\
export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"
export USER="${USER:-$(id -un)}"
export HOME="${HOME:-$(eval echo "~$USER")}"
"""


def described(spec: Mapping[str, Any], directory: str, system: SystemReply | None) -> dict[str, Any]:
    """The object ``job`` of a submit.

    The environment is in the script: as a field it is pasted together with commas, which cuts every value at
    its own comma.

    Args:
        spec: In the wire form, as :meth:`Submission.wire_spec` gives it; guarded or not.
        directory: Where the job works, if the spec does not say.
        system: Where it goes; None while nothing is known of that.

    Raises:
        UsageError: naming what cannot be said here.
    """
    scheduler: Scheduler = "pbs" if system is not None and system.scheduler.type == "pbs" else "slurm"
    spec = _named(spec, scheduler)
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    fields = {"name": spec["name"]} if spec.get("name") else {}
    fields |= {field: spec[word] for word, field in _FIELDS.items() if spec.get(word)}
    fields |= {field: attributes[word] for word, field in _ATTRIBUTES.items() if attributes.get(word)}
    script = _script(spec, scheduler, "ssh" if system is None else system.scheduler.connection_mode)
    return {"workingDirectory": directory, **fields, "script": script}


def output_paths(job: Mapping[str, Any]) -> dict[str, str]:
    """Where a described job's streams go, as it was asked for."""
    names = {"stdout": "standardOutput", "stderr": "standardError"}
    return {stream: str(job[field]) for stream, field in names.items() if job.get(field)}


def clean_name(name: str) -> str:
    """The name in letters that harm nothing; what it ends with, the key's tag, stays.

    A ``|`` in one name has the server fail over every list of this user's jobs for a week.
    """
    head, dot, tag = _UNFIT.sub("_", name).rpartition(".")
    head = head[: max(0, LONGEST_NAME - len(dot) - len(tag))].lstrip(".-") if dot else ""
    return f"{head or 'job'}{dot}{tag}" if dot else tag[:LONGEST_NAME].lstrip(".-") or "job"


def _named(spec: Mapping[str, Any], scheduler: Scheduler) -> Mapping[str, Any]:
    """The same spec under a clean name, and so the output that is named after it."""
    _require_sayable(spec, scheduler)
    name = spec.get("name")
    if not name or clean_name(name) == name:
        return spec
    changed = {"name": clean_name(name)}
    for field in ("stdout_path", "stderr_path"):
        if (spec.get(field) or "").startswith(f"{name}."):
            changed[field] = changed["name"] + spec[field].removeprefix(name)
    return {**spec, **changed}


def _require_sayable(spec: Mapping[str, Any], scheduler: Scheduler) -> None:
    if "|" in (spec.get("directory") or ""):
        raise UsageError(
            "directory: while a job works at a path with a '|', FirecREST shows no job of its user"
        )
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    if scheduler == "pbs" and attributes.get("array"):
        raise UsageError(
            "array: FirecREST's own address of a job takes no [], which PBS has in the id of an array "
            f"(firecrest-v2#173); {ONE_BY_ONE}"
        )
    if spec.get("inherit_environment") is False and scheduler == "slurm":
        raise UsageError(
            "inherit_environment: FirecREST always hands a job the environment of its own session; unset in "
            "pre_launch what must not be there"
        )


def _script(spec: Mapping[str, Any], scheduler: Scheduler, mode: str) -> str:
    if mode == "ssh":
        return batch_script(spec, scheduler, omit=("name", *_FIELDS, *_ATTRIBUTES))
    _require_fields(spec, mode)
    first, _, rest = plain_script(spec).partition("\n")
    return f"{first}\n{_SURROUNDINGS}{rest}"


def _require_fields(spec: Mapping[str, Any], mode: str) -> None:
    """Slurm's REST daemon reads no ``#SBATCH`` lines, so a need without a field would be dropped there."""
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    lost = [f"attributes.{word}" for word in attributes if word not in _ATTRIBUTES and attributes[word]]
    resources: Mapping[str, Any] = spec.get("resources") or {}
    lost += [f"resources.{word}" for word, value in resources.items() if value]
    if lost:
        raise UsageError(
            f"{', '.join(lost)}: FirecREST speaks to this scheduler in {mode} mode, which has no field for "
            "it and reads no directives; leave it to the defaults of a partition (queue_name)"
        )
