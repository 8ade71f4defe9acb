"""What each operation of a dialect is in the words of a grant, and what a call asks for. No I/O here."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from iri_common.model.array import indices_of
from iri_common.model.compute import TaskRequest
from iri_common.model.flows import RunRequest
from iri_common.model.grant import Verb
from iri_common.model.network import PathIntent, Quality
from iri_common.model.reservation import NodesIntent
from iri_common.policy.grants import Ask, JobAsk, LinkAsk, unclear_words
from iri_common.policy.leases import lasting


@dataclass(frozen=True, slots=True)
class Row:
    """What an operation of a port is, in the words of a grant.

    Attributes:
        verb: Of the grant; None for what goes on with something that was asked for, or sends nothing.
        paths: The arguments that are paths.
        spec: The argument that describes a job, or what is to be changed of one.
        resource: The argument that names the resource, or several, or what has a field of that name; "" for
            none.
        of: What is named there, where it is no resource and only the facility knows which one it belongs to.
        nodes: The argument that says which nodes are reserved, and for how long.
        link: The argument that describes a path through a network.
        stream: The argument that tells what is chosen of a cluster of message brokers.
    """

    verb: Verb | None
    paths: tuple[str, ...] = ()
    spec: str = ""
    resource: str = "resource_id"
    of: str = ""
    nodes: str = ""
    link: str = ""
    stream: str = ""

    @property
    def acts(self) -> bool:
        """Whether it changes something there."""
        return self.verb not in {None, Verb.LOOK, Verb.READ}


_FREE = Row(None)
_LOOK, _LOOK_AT = Row(Verb.LOOK), Row(Verb.LOOK, ("path",))
_READ, _WRITE = Row(Verb.READ, ("path",)), Row(Verb.WRITE, ("path",))
_WRITE_TWO = Row(Verb.WRITE, ("source", "target"))
_UPLOAD = Row(Verb.WRITE, ("upload",))
_LEASE, _LOOK_ROUND = Row(Verb.LEASE, resource=""), Row(Verb.LOOK, resource="")
_LINK = Row(Verb.LEASE, resource="", link="intent")

RUN = "run"  # of a flow, which the service knows

# Every operation of the ports of a dialect, and of Globus' services. What is missing here is refused.
OPERATIONS: Mapping[str, Mapping[str, Row]] = {
    "jobs": {
        "submit": Row(Verb.SUBMIT, spec="spec"),
        "submit_request": _FREE,
        "status": _LOOK,
        "list": _LOOK,
        "output_paths": _LOOK,
        "cancel": Row(Verb.CANCEL),
        "update": Row(Verb.SUBMIT, spec="changes"),
    },
    "files": {
        **dict.fromkeys(("ls", "checksum", "file_type", "stat"), _LOOK_AT),
        **dict.fromkeys(("head", "tail", "view", "download"), _READ),
        **dict.fromkeys(("upload", "chmod", "chown", "mkdir"), _WRITE),
        "rm": Row(Verb.DELETE, ("path",)),
        # A link that leads out would open what lies there.
        "symlink": Row(Verb.WRITE, ("target", "link")),
        **dict.fromkeys(("cp", "mv", "compress", "extract"), _WRITE_TWO),
    },
    "parts": {
        "begin": _WRITE,
        **dict.fromkeys(("again", "arrived", "finish", "abandon"), _UPLOAD),
        "clear": _WRITE,
        "link": _READ,
    },
    "attaching": {"attach": Row(Verb.SUBMIT)},
    "behalf": {
        "begin": Row(Verb.WRITE, ("source", "target"), resource="collections"),
        "look": _LOOK_ROUND,
    },
    "ranges": {"read": _READ, "write": _WRITE},
    "networks": {
        **dict.fromkeys(("new", "provision", "cancel", "delete"), _LEASE),
        **dict.fromkeys(("compute", "modify"), _LINK),
        **dict.fromkeys(("provision_requests", "modify_request"), _FREE),
        **dict.fromkeys(("status", "find", "verification", "manifest", "profiles"), _LOOK_ROUND),
    },
    "flows": {
        "origin": _FREE,
        "start": Row(Verb.SUBMIT, resource="request.flow_id"),
        "find": Row(Verb.LOOK, resource="flow_id"),
        "runs": Row(Verb.LOOK, resource="run_ids", of=RUN),
        "log": Row(Verb.LOOK, resource="run_id", of=RUN),
        "resume": Row(Verb.SUBMIT, resource="run.flow_id"),
        "cancel": Row(Verb.CANCEL, resource="run_id", of=RUN),
        "release": Row(Verb.DELETE, resource="run_id", of=RUN),
    },
    "compute": {
        "origin": _FREE,
        "submit": Row(Verb.SUBMIT, spec="request", resource="request.endpoint"),
        "endpoint": Row(Verb.LOOK, resource="endpoint"),
        **dict.fromkeys(("endpoints", "tasks"), _LOOK_ROUND),
    },
    "streaming": {
        "provision": Row(Verb.LEASE, resource="", stream="settings"),
        "provision_request": _FREE,
        **dict.fromkeys(("access", "extend", "release"), _LEASE),
        **dict.fromkeys(("backends", "clusters", "cluster"), _LOOK_ROUND),
    },
    "reservations": {
        "create": Row(Verb.LEASE, nodes="intent"),
        "delete": Row(Verb.LEASE),
        **dict.fromkeys(("reservations", "nodes"), _LOOK),
    },
}


def ask_of(port: str, operation: str, arguments: Mapping[str, Any]) -> Ask:
    """What a call of a port asks for.

    Args:
        port: A name of :data:`OPERATIONS`.
        operation: Of its own, one with a verb.
        arguments: By name.
    """
    row = OPERATIONS[port][operation]
    if row.verb is None:
        raise ValueError(f"{port} {operation} asks for nothing")
    where = tuple((each,) for each in _named(row, arguments))
    given = [arguments[each] for each in row.paths]
    paths = [each if isinstance(each, str) else str(each.path) for each in given]
    if operation == "symlink":
        paths[0] = posixpath.join(posixpath.dirname(paths[1]), paths[0])
    job = None
    if isinstance(task := arguments.get(row.spec), TaskRequest):
        job, paths = _TASK, list(_task_paths(task))
    elif row.spec:
        # Where a container sees its guard is not the caller's affair: its mounts were judged before that.
        spec = {name: value for name, value in arguments[row.spec].items() if name != "container"}
        partly = row.spec == "changes"
        job, paths = job_ask(spec, partly=partly), list(job_paths(spec, partly=partly))
    if row.nodes:
        job = _reserved(arguments[row.nodes])
    resource = where[0] if where else ()
    link = link_ask(arguments[row.link]) if row.link else None
    stream = arguments[row.stream] if row.stream else None
    what = f"{port} {operation}"
    return Ask(row.verb, what, resource, tuple(paths), job, beside=where[1:], link=link, stream=stream)


def _named(row: Row, arguments: Mapping[str, Any]) -> Iterable[str]:
    """The resources that a call names, or what belongs to one."""
    argument, _, field = row.resource.partition(".")
    value = arguments.get(argument) or ()
    value = getattr(value, field) if field else value
    names: Iterable[str] = (value,) if isinstance(value, str) else value
    return (f"{row.of} {each}" for each in names) if row.of else names


def _reserved(intent: NodesIntent) -> JobAsk:
    """Nodes that are kept are nodes that nobody else uses, so they count as those of a job do."""
    account = intent.accounts[0] if len(intent.accounts) == 1 else None
    hours = intent.nodes * intent.seconds / 3600
    # Words of the facility's own may be more nodes, or longer.
    return JobAsk(intent.nodes, hours, account=account, queue=intent.queue, custom=tuple(intent.flags))


def link_ask(intent: PathIntent) -> LinkAsk:
    """What a path asks for; of one that the network's operators describe, only they can tell."""
    if intent.profile is not None:
        return LinkAsk()
    open_end = intent.quality is Quality.AVAILABLE or not (
        intent.mbps or intent.quality is Quality.BEST_EFFORT
    )
    ends = tuple(each.uri for each in intent.ends)
    return LinkAsk(ends, None if open_end else intent.mbps, lasting(intent.start, intent.end))


def job_ask(spec: Mapping[str, Any], *, partly: bool = False) -> JobAsk:
    """What a spec in its wire form asks for; ``partly`` of changes to a job that is there."""
    attributes: Mapping[str, Any] = spec.get("attributes") or {}
    resources: Mapping[str, Any] = spec.get("resources") or {}
    custom: Mapping[str, str] = attributes.get("custom_attributes") or {}
    nodes, hours, unclear = _size(resources, attributes, partly)
    return JobAsk(
        nodes=nodes,
        hours=hours,
        unclear=unclear,
        account=attributes.get("account"),
        queue=attributes.get("queue_name"),
        partly=partly,
        custom=tuple(unclear_words(custom)),
    )


# Whose batch job runs a task at an endpoint, how large and for how long, is its owner's to say.
_TASK = JobAsk(None, unclear="a task at an endpoint, whose nodes and hours nobody can tell")


def _task_paths(request: TaskRequest) -> Iterable[str]:
    """The paths that a task names; "" where it works wherever its endpoint has it."""
    # A function that is registered gets what it gets; ours is told everything in one argument.
    words = cast("Mapping[str, Any]", {} if request.function else request.args[0])
    directory: str = words.get("directory") or ""
    yield directory
    yield from (posixpath.join(directory, words[each]) for each in ("stdout", "stderr") if words.get(each))
    if str(root := words.get("root", "")).startswith("/"):  # and not the library's own place in the home
        yield root


def confided(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of a call may be a secret and may be repeated by whoever it is sent to, in the words of a spec."""
    if changes := arguments.get("changes"):
        return changes
    match arguments.get("request"):
        case RunRequest(body=body):
            return {"arguments": list(_texts_in(body))}
        case TaskRequest(args=args, kwargs=kwargs, config=config):
            return {"arguments": list(_texts_in([args, kwargs, config]))}
        case _:
            return {"arguments": [arguments.get("command", "")]}


def _texts_in(value: object) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts_in(list(cast("Mapping[object, object]", value).values()))
    elif isinstance(value, Sequence):
        for each in cast("Sequence[object]", value):
            yield from _texts_in(each)


def _size(
    resources: Mapping[str, Any], attributes: Mapping[str, Any], partly: bool
) -> tuple[int | None, float | None, str]:
    """Nodes at once, node hours, and why one of them cannot be told."""
    array, seconds = attributes.get("array") or "", attributes.get("duration")
    if partly:
        changed = bool(resources or array or seconds)
        why = "another size for a job that is there, which its other words count in" if changed else ""
        return None, None, why
    each, unclear = _nodes(resources)
    if each is None:
        return None, None, unclear
    tasks, at_once = _tasks(array)
    if not seconds:
        return each * at_once, None, "a job that names no duration, whose node hours nobody can tell"
    return each * at_once, each * tasks * seconds / 3600, ""


def _nodes(resources: Mapping[str, Any]) -> tuple[int | None, str]:
    """The nodes of one task, or why they cannot be told."""
    if nodes := resources.get("node_count"):
        return nodes, ""
    processes, on_each = resources.get("process_count") or 1, resources.get("processes_per_node")
    if on_each:
        return -(-processes // on_each), ""
    if processes == 1:
        return 1, ""
    return None, f"a job of {processes} processes that names no node_count"


def _tasks(array: str) -> tuple[int, int]:
    """How many there are, and how many may run at once."""
    if not array:
        return 1, 1
    count, limit = len(indices_of(array)), array.partition("%")[2]
    return count, min(count, int(limit)) if limit else count


def job_paths(spec: Mapping[str, Any], *, partly: bool = False, root: str = "") -> Iterable[str]:
    """The paths that a spec in its wire form names; "" where it works wherever its machine has it."""
    directory: str = spec.get("directory") or ""
    if directory or not partly:
        yield directory
    for each in ("stdin_path", "stdout_path", "stderr_path"):
        if path := spec.get(each):
            yield posixpath.join(directory, path)
    container: Mapping[str, Any] = spec.get("container") or {}
    for mount in container.get("volume_mounts") or ():
        if mount["source"] != root:
            yield mount["source"]
