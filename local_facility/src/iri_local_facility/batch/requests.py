"""From a batch script and what an API says beside it to a job request; refusals are Slurm's own words."""

from __future__ import annotations

import dataclasses
from typing import Any

from iri_local_facility.accounts import User
from iri_local_facility.arrays import tasks_of
from iri_local_facility.dependencies import check_terms
from iri_local_facility.errors import Rejected
from iri_local_facility.jobs import JobRequest
from iri_local_facility.settings import Settings

from .directives import BadScript, Fields, Scheduler, directives

_DEFAULTS: dict[str, Fields] = {
    "slurm": {"name": "sbatch", "stdout": "slurm-%j.out"},
    "pbs": {"name": "STDIN", "stdout": "%x.o%j", "stderr": "%x.e%j"},
}
# What nodes and users of a laptop have, for those who ask for something.
FEATURE = "local"
QOS = "normal"
_REFUSALS = {
    "constraint": (FEATURE, "Invalid feature specification"),
    "qos": (QOS, "Invalid qos specification"),
}
_NO_SCRIPT = """\
This does not look like a batch script.  The first
line must start with #! followed by the path to an interpreter.
For instance: #!/bin/sh"""
_DOS = """\
Batch script contains DOS line breaks (\\r\\n)
instead of expected UNIX line breaks (\\n)."""
_FIELDS = {field.name for field in dataclasses.fields(JobRequest)}


def check_script(script: str) -> None:
    """Refuse what sbatch does not take for a script.

    Raises:
        BadScript: It is empty, has no interpreter, or comes from another system.
    """
    if not script:
        raise BadScript("Batch script is empty!")
    if not script.startswith("#!"):
        raise BadScript(_NO_SCRIPT)
    if "\r\n" in script:
        raise BadScript(_DOS)


def batch_request(
    settings: Settings,
    user: User,
    script: str,
    *,
    scheduler: Scheduler = "slurm",
    read_directives: bool = True,
    **fields: Any,
) -> JobRequest:
    """A request that runs a script file with its own interpreter.

    Args:
        settings: The facility.
        user: Whose job it will be.
        script: All of the script.
        scheduler: Whose directives the script has, and whose variables the job sees.
        read_directives: Whether the script's directives count; slurmrestd does not look at them.
        fields: What the API's own fields say: names of `JobRequest`, and ``array``, ``constraint``,
            ``dependency``, ``processes_per_node``, ``qos``. Each wins over a directive; ``None`` leaves the
            word to it.

    Raises:
        BadScript: A directive that there is not, or that makes no sense.
        Rejected: In Slurm's words, what this machine does not have.
    """
    asked = {
        **_DEFAULTS[scheduler],
        **(directives(script, scheduler) if read_directives else {}),
        **{name: value for name, value in fields.items() if value is not None},
    }
    if asked.get("array"):
        _check_array(asked, scheduler)
    per_node = asked.pop("processes_per_node", 1)
    nodes = asked.setdefault("node_count", 1)
    asked.setdefault("process_count", nodes * per_node)
    if (joined := asked.pop("joined", None)) is not None:
        # The first of the two letters is the stream that takes the other one in.
        asked["stdout" if joined == "eo" else "stderr"] = asked["stderr" if joined == "eo" else "stdout"]
    _check_words(asked)
    interpreter = _interpreter(script)
    wanted = {name: value for name, value in asked.items() if name in _FIELDS}
    request = JobRequest(
        executable=interpreter[0], arguments=interpreter[1:], script=script, scheduler=scheduler, **wanted
    )
    _check_machine(settings, user, request)
    return request


def _interpreter(script: str) -> list[str]:
    first = script.partition("\n")[0]
    words = first[2:].strip().split(None, 1) if first.startswith("#!") else []
    return words or ["/bin/sh"]


def _check_words(asked: Fields) -> None:
    for name, (known, words) in _REFUSALS.items():
        if asked.get(name) not in (None, known):
            raise Rejected(words)
    if asked.get("dependency"):
        check_terms(asked["dependency"])


def _check_array(asked: Fields, scheduler: Scheduler) -> None:
    if scheduler == "pbs":
        raise Rejected("qsub: this PBS has no job arrays")
    tasks_of(asked["array"])
    if asked["stdout"] == _DEFAULTS[scheduler]["stdout"]:
        asked["stdout"] = "slurm-%A_%a.out"


def _check_machine(settings: Settings, user: User, request: JobRequest) -> None:
    """What the scheduler would refuse in words of its own."""
    queue = settings.queues.get(request.queue or "regular")
    if queue is None:
        raise Rejected("Invalid partition name specified")
    if request.account is not None and request.account not in user.projects:
        raise Rejected("Invalid account or account/partition combination specified")
    if request.node_count > settings.nodes or request.process_count > request.node_count * 64:
        raise Rejected("Requested node configuration is not available")
    if request.node_count > queue.max_nodes:
        raise Rejected("Node count specification invalid")
    if (request.duration or 0) > queue.max_duration:
        raise Rejected("Requested time limit is invalid (missing or exceeds some limit)")
