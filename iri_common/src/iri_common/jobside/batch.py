"""A job's spec as a batch script, for facility APIs that take a script and not fields.

The opposite of :mod:`iri_common.jobside.directives`: what that reads out of these lines is what was asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from iri_common.jobside.amounts import memory_per_node
from iri_common.jobside.dependency import dependency_of
from iri_common.jobside.guard import encodable
from iri_common.model.errors import UsageError

Scheduler = Literal["slurm", "pbs"]

_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# What to do where an API has no arrays.
ONE_BY_ONE = (
    "submit each of its tasks as a job under a key of its own, or start them in one job by a launcher"
)
# Slurm's options that make something else of a submit than one job that can be found, or have a word here.
_NOT_CUSTOM: Mapping[str, str] = {
    "array": "it has a word of its own, `array`, among the attributes",
    "job-name": "the name by which a job is found again is in `name`",
    "wait": "sbatch would not answer until the job is over",
    "test-only": "sbatch would ask for no job at all",
}
_ARRAYS = frozenset({"a", "J"})
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def batch_script(
    spec: Mapping[str, Any],
    scheduler: Scheduler = "slurm",
    *,
    queue_option: str = "--partition",
    omit: Collection[str] = (),
) -> str:
    """The whole script of a job: directives for what it needs, then the program.

    Args:
        spec: In the wire form, as :meth:`Submission.wire_spec` gives it; guarded or not.
        scheduler: Who reads the directives.
        queue_option: Slurm's option for the queue: some sites' queues are qualities of service.
        omit: Fields that the API is told beside the script, such as ``name`` or ``account``.

    Raises:
        UsageError: naming the field that no directive can carry.
    """
    if scheduler == "slurm":
        lines = [f"#SBATCH {each}" for each in _slurm(spec, queue_option, frozenset(omit))]
    else:
        lines = [f"#PBS {each}" for each in _pbs(spec, frozenset(omit))]
    first, _, rest = plain_script(spec, directory=scheduler == "pbs").partition("\n")
    return "\n".join([first, *lines, rest])


def plain_script(spec: Mapping[str, Any], *, exports: bool = True, directory: bool = False) -> str:
    """The script without directives, for an API that takes the job's needs as fields.

    Args:
        spec: As for :func:`batch_script`.
        exports: The script sets the job's environment.
        directory: The script goes to the job's directory.

    Raises:
        UsageError: if the spec has a container, or text that no script can hold.
    """
    if spec.get("container"):
        raise UsageError(
            "this facility's API has no field for a container; name its runtime as the executable, for "
            "example podman-hpc, shifter, sarus or apptainer"
        )
    framed = bool(spec.get("pre_launch") or spec.get("post_launch"))
    lines = ["#!/bin/bash" if framed else "#!/bin/sh"]  # `module` and `source` are mostly written for bash
    if exports:
        lines += export_lines(spec)
    if directory and spec.get("directory"):
        lines.append(f"cd -- {shlex.quote(spec['directory'])} || exit")
    words = [*_launcher(spec), spec["executable"], *spec.get("arguments", ())]
    command = shlex.join(encodable(word, "the command line") for word in words)
    return "\n".join([*lines, *(_framed(spec, command) if framed else [f"exec {command}"]), ""])


def export_lines(spec: Mapping[str, Any]) -> list[str]:
    """What sets the job's environment in a script."""
    return [f"export {name}={shlex.quote(value)}" for name, value in _environment(spec)]


def _framed(spec: Mapping[str, Any], command: str) -> list[str]:
    before = encodable(spec.get("pre_launch") or ":", "pre_launch")
    after = encodable(spec.get("post_launch") or ":", "post_launch")
    # Schedulers look for directives up to the first command, which this one is.
    return [":", before, command, "iri_code=$?", after, 'exit "$iri_code"']


def _environment(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in spec.get("environment", {}).items():
        yield name, encodable(value, f"the environment variable {name}")


def _launcher(spec: Mapping[str, Any]) -> list[str]:
    launcher = spec.get("launcher") or ""
    # PSI/J's word for no launcher at all.
    try:
        return [] if launcher == "single" else shlex.split(launcher)
    except ValueError as error:
        raise UsageError(f"launcher: {launcher!r} cannot be split into words: {error}") from None


# -------------------------------------------------------------------------------------------- Slurm

_PLACES: Mapping[str, str] = {
    "name": "--job-name",
    "directory": "--chdir",
    "stdin_path": "--input",
    "stdout_path": "--output",
    "stderr_path": "--error",
}
_COUNTS: Mapping[str, str] = {
    "node_count": "--nodes",
    "process_count": "--ntasks",
    "processes_per_node": "--ntasks-per-node",
    "cpu_cores_per_process": "--cpus-per-task",
    "gpu_cores_per_process": "--gpus-per-task",
}


def _slurm(spec: Mapping[str, Any], queue_option: str, omit: frozenset[str]) -> Iterator[str]:
    for field, option in _PLACES.items():
        if spec.get(field) and field not in omit:
            yield _option(option, spec[field], field)
    if spec.get("inherit_environment") is not None:
        yield f"--export={'ALL' if spec['inherit_environment'] else 'NONE'}"
    resources: Mapping[str, Any] = _group(spec, "resources")
    for field, option in _COUNTS.items():
        if resources.get(field) is not None:
            yield f"{option}={resources[field]}"
    if resources.get("exclusive_node_use"):
        yield "--exclusive"
    if (mebibytes := memory_per_node(resources)) is not None:
        yield f"--mem={mebibytes}M"
    yield from _slurm_attributes(_group(spec, "attributes"), queue_option, omit)


def _slurm_attributes(
    attributes: Mapping[str, Any], queue_option: str, omit: frozenset[str]
) -> Iterator[str]:
    if attributes.get("duration"):
        yield f"--time={clock(attributes['duration'])}"
    options = {"account": "--account", "queue_name": queue_option, "reservation_id": "--reservation"}
    for field, option in options.items():
        if attributes.get(field) and field not in omit:
            yield _option(option, attributes[field], field)
    if attributes.get("array"):
        yield f"--array={attributes['array']}"
    if attributes.get("after"):
        yield f"--dependency={dependency_of(attributes['after'])}"
    for name, value in _group(attributes, "custom_attributes").items():
        yield _custom("--", name, value)


# ---------------------------------------------------------------------------------------------- PBS


def _pbs(spec: Mapping[str, Any], omit: frozenset[str]) -> Iterator[str]:
    if spec.get("stdin_path"):
        raise UsageError("PBS has no option for stdin_path; read the file in the job instead")
    for field, option in {"name": "-N", "stdout_path": "-o", "stderr_path": "-e"}.items():
        if spec.get(field) and field not in omit:
            yield f"{option} {_value(spec[field], field)}"
    if spec.get("inherit_environment"):
        yield "-V"
    attributes: Mapping[str, Any] = _group(spec, "attributes")
    for field, option in {"account": "-A", "queue_name": "-q"}.items():
        if attributes.get(field) and field not in omit:
            yield f"{option} {_value(attributes[field], field)}"
    if attributes.get("reservation_id") and "reservation_id" not in omit:
        raise UsageError("PBS has a queue for each reservation; name that as queue_name, not reservation_id")
    yield f"-l select={_chunks(spec.get('resources') or {})}"
    if _group(spec, "resources").get("exclusive_node_use"):
        yield "-l place=excl"
    if attributes.get("duration"):
        yield f"-l walltime={clock(attributes['duration'])}"
    if attributes.get("array"):
        yield f"-J {_one_range(attributes['array'])}"
    if attributes.get("after"):
        yield f"-W depend={dependency_of(attributes['after'])}"
    for name, value in _group(attributes, "custom_attributes").items():
        yield _custom("-l ", name, value)


def _chunks(resources: Mapping[str, Any]) -> str:
    nodes: int = resources.get("node_count") or 1
    total: int | None = resources.get("process_count")
    if total is not None and total % nodes:
        raise UsageError(
            f"{total} processes cannot be shared evenly by {nodes} nodes; say processes_per_node"
        )
    processes: int = resources.get("processes_per_node") or (total // nodes if total else 1)
    words = [str(nodes)]
    if cores := resources.get("cpu_cores_per_process"):
        words.append(f"ncpus={cores * processes}")
    if total or resources.get("processes_per_node"):
        words.append(f"mpiprocs={processes}")
    if gpus := resources.get("gpu_cores_per_process"):
        words.append(f"ngpus={gpus * processes}")
    if (mebibytes := memory_per_node(resources)) is not None:
        words.append(f"mem={mebibytes}mb")
    return ":".join(words)


# ------------------------------------------------------------------------------------------- both


def clock(seconds: int) -> str:
    """Seconds as H:MM:SS."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _one_range(array: str) -> str:
    if "," in array:
        raise UsageError(f"PBS numbers an array by one range of indices, such as 0-20:4, and not by {array}")
    return array


def _group(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return fields.get(name) or {}


def _option(option: str, value: str, field: str) -> str:
    return f"{option}={_value(value, field)}"


def _custom(prefix: str, name: str, value: str) -> str:
    for option, why in _NOT_CUSTOM.items():
        # getopt takes what an option begins with for it.
        if (len(name) > 1 and option.startswith(name)) or (option == "array" and name in _ARRAYS):
            raise UsageError(f"the custom attribute {name!r} cannot be asked for: {why}")
    if not _OPTION.fullmatch(name):
        raise UsageError(f"the custom attribute {name!r} is not the name of an option of this scheduler")
    return f"{prefix}{name}={_value(value, name)}" if value else f"{prefix}{name}"


def _value(value: str, field: str) -> str:
    if _CONTROLS.search(value):
        raise UsageError(f"{field} has a control character in it, which no directive can carry: {value!r}")
    if "\\" in value:  # sbatch takes it for an escape in single quotes, too
        escaped = re.sub(r'(["\\])', r"\\\1", encodable(value, field))
        return f'"{escaped}"'
    return shlex.quote(encodable(value, field))
