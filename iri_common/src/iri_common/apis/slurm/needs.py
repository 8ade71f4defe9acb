"""A job's spec in the fields of Slurm's API, as one version and site know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from iri_common.apis.slurm.versions import Site, Version
from iri_common.jobside.amounts import memory_per_node
from iri_common.jobside.batch import ONE_BY_ONE, plain_script
from iri_common.jobside.dependency import dependency_of
from iri_common.model.errors import UsageError

# A job has no variable but those that are sent, and slurmrestd takes none without any.
PATH = "/usr/local/bin:/usr/bin:/bin"

_PLACES: Mapping[str, str] = {
    "name": "name",
    "directory": "current_working_directory",
    "stdin_path": "standard_input",
    "stdout_path": "standard_output",
    "stderr_path": "standard_error",
}
_ATTRIBUTES: Mapping[str, str] = {
    "account": "account",
    "queue_name": "partition",
    "reservation_id": "reservation",
}
_COUNTS: Mapping[str, str] = {
    "process_count": "tasks",
    "processes_per_node": "tasks_per_node",
    "cpu_cores_per_process": "cpus_per_task",
}
# Custom attributes are called as sbatch's options are.
_CUSTOM: Mapping[str, str] = {
    "qos": "qos",
    "constraint": "constraints",
    "licenses": "licenses",
    "comment": "comment",
    "dependency": "dependency",
    "wckey": "wckey",
}
_FLAGS: Mapping[str, tuple[str, bool]] = {
    "hold": ("hold", True),
    "requeue": ("requeue", True),
    "no-requeue": ("requeue", False),
}
_TRUTH: Mapping[str, bool] = {"": True, "true": True, "false": False}
_INSTEAD: Mapping[str, str] = {
    "array": ONE_BY_ONE,
    "dependency": "wait for the other job and submit this one then",
    "constraints": "name a queue of such nodes",
    "tres_per_task": "name a queue whose jobs get GPUs",
}


def submission(spec: Mapping[str, Any], version: Version, site: Site) -> dict[str, Any]:
    """The body of a submit.

    Args:
        spec: In the wire form, as :meth:`Submission.wire_spec` gives it; guarded or not.
        version: Whose fields they are.
        site: Which of them it takes.

    Raises:
        UsageError: naming the field that cannot be carried, and what could serve instead.
    """
    if not spec.get("directory"):
        raise UsageError(
            "Slurm's API needs the directory that a job works in; set directory in the job or in the profile"
        )
    if spec.get("inherit_environment"):
        raise UsageError(
            "inherit_environment cannot be asked for: Slurm's API knows no environment to inherit. Name the "
            "variables in environment, or set them up in pre_launch"
        )
    job = changes(spec, version, site)
    variables = {"PATH": PATH, **spec.get("environment", {})}
    job["environment"] = (
        variables if version.plain else [f"{name}={value}" for name, value in variables.items()]
    )
    script = plain_script(spec, exports=False)
    if version.script_inside:
        return {"job": {**job, "script": script}}
    return {"script": script, "job": job}


def changes(spec: Mapping[str, Any], version: Version, site: Site) -> dict[str, Any]:
    """The fields for what a spec, or a part of one, asks of the scheduler."""
    found = dict(_fields(spec, version))
    unknown = sorted(each for each in found if site.fields is not None and each not in site.fields)
    if unknown:
        instead = _INSTEAD.get(unknown[0])
        raise UsageError(
            f"{site.name} takes no job with the field {unknown[0]}" + (f"; {instead}" if instead else "")
        )
    return found


def _fields(spec: Mapping[str, Any], version: Version) -> Iterator[tuple[str, Any]]:
    for name, field in _PLACES.items():
        if spec.get(name):
            yield field, spec[name]
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    for name, field in _ATTRIBUTES.items():
        if attributes.get(name):
            yield field, attributes[name]
    if attributes.get("duration"):
        yield "time_limit", _number(-(-attributes["duration"] // 60), version)
    yield from _resources(spec.get("resources") or {}, version)
    if attributes.get("array"):
        yield "array", attributes["array"]
    if attributes.get("after"):
        yield "dependency", dependency_of(attributes["after"])
    custom: Mapping[str, str] = attributes.get("custom_attributes") or {}
    for name, value in custom.items():
        yield _custom(name, value)


def _resources(resources: Mapping[str, Any], version: Version) -> Iterator[tuple[str, Any]]:
    for name, field in _COUNTS.items():
        if resources.get(name) is not None:
            yield field, resources[name]
    if (nodes := resources.get("node_count")) is not None:
        if version.plain:
            yield "nodes", [nodes, nodes]
        else:
            yield "minimum_nodes", nodes
            yield "maximum_nodes", nodes
    if (gpus := resources.get("gpu_cores_per_process")) is not None:
        yield ("gpus_per_task", str(gpus)) if version.plain else ("tres_per_task", f"gres/gpu:{gpus}")
    if resources.get("exclusive_node_use"):
        # v0.0.38 is described with "true", and takes only this.
        yield ("exclusive", "exclusive") if version.plain else ("shared", ["none"])
    if (mebibytes := memory_per_node(resources)) is not None:
        yield "memory_per_node", _number(mebibytes, version)


def _custom(name: str, value: str) -> tuple[str, Any]:
    if name in _CUSTOM:
        return _CUSTOM[name], value
    if name in _FLAGS and value.lower() in _TRUTH:
        field, meant = _FLAGS[name]
        return field, meant is _TRUTH[value.lower()]
    instead = "it has a word of its own among the attributes" if name == "array" else _INSTEAD.get(name)
    known = ", ".join(sorted({*_CUSTOM, *_FLAGS}))
    raise UsageError(
        f"the custom attribute {name}={value} is none that is carried to Slurm's API"
        + (f"; {instead}" if instead else f" (known: {known})")
    )


def _number(value: int, version: Version) -> Any:
    return value if version.plain else {"set": True, "number": value}
