"""The ``#SBATCH`` and ``#PBS`` lines of a batch script, in the words of a JobSpec.

A facility API takes a job's needs as fields and never looks at such lines, so what they say is lifted out.
What has no field is refused with its line number: a dropped line is a job that runs with other needs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from iri_common.jobside.amounts import bytes_of, count_of, seconds_of
from iri_common.jobside.dependency import after_of
from iri_common.model.array import array_text
from iri_common.model.errors import UsageError

MIB = 2**20


@dataclass(slots=True)
class Needs:
    """What the lines ask for, while they are read.

    A queue, GPUs and memory can be said in several ways where the API has one word, so they are kept as
    they were written until everything else is known.
    """

    plain: dict[str, Any] = field(default_factory=dict[str, Any])
    environment: dict[str, str] = field(default_factory=dict[str, str])
    resources: dict[str, Any] = field(default_factory=dict[str, Any])
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    custom: dict[str, str] = field(default_factory=dict[str, str])
    partition: str | None = None
    qos: str | None = None
    gpus: int | None = None
    gpus_per_node: int | None = None
    memory_per_node: int | None = None
    memory_per_cpu: int | None = None
    joined: bool = False

    def words(self) -> dict[str, Any]:
        """The fields of a JobSpec that were asked for.

        Raises:
            ValueError: for what only shows when all lines are known.
        """
        self._settle_queue()
        self._settle_gpus()
        self._settle_memory()
        if self.joined:
            if "stdout_path" not in self.plain:
                raise ValueError("-j joins the streams in a file that must be named: add #PBS -o <file>")
            self.plain["stderr_path"] = self.plain["stdout_path"]
        if self.custom:
            self.attributes["custom_attributes"] = self.custom
        grouped = {
            "environment": self.environment,
            "resources": self.resources,
            "attributes": self.attributes,
        }
        return self.plain | {name: value for name, value in grouped.items() if value}

    @property
    def processes(self) -> int:
        """How many processes the job has; one a node where nothing is said."""
        per_node = self.resources.get("processes_per_node", 1)
        return self.resources.get("process_count") or self.nodes * per_node

    @property
    def nodes(self) -> int:
        """How many nodes; one where nothing is said."""
        return self.resources.get("node_count", 1)

    def _settle_queue(self) -> None:
        # Either of them alone is the queue, whichever a site's users write; beside a partition, the quality
        # of service is something the API has no field for.
        if queue := self.partition or self.qos:
            self.attributes["queue_name"] = queue
        if self.partition and self.qos:
            self.custom["qos"] = self.qos

    def _settle_gpus(self) -> None:
        said = [self.gpus, self.gpus_per_node, self.resources.get("gpu_cores_per_process")]
        if sum(each is not None for each in said) > 1:
            raise ValueError("GPUs are asked for in more than one way; keep one of them")
        gpus = self.gpus_per_node * self.nodes if self.gpus_per_node else self.gpus
        if gpus is None:
            return
        if gpus % self.processes:
            raise ValueError(
                f"{gpus} GPUs for {self.processes} processes: the API counts GPUs by process, "
                "and these cannot be shared evenly"
            )
        self.resources["gpu_cores_per_process"] = gpus // self.processes

    def _settle_memory(self) -> None:
        if self.memory_per_node and self.memory_per_cpu:
            raise ValueError("memory is asked for by node and by CPU; keep one of them")
        if self.memory_per_node:
            self.resources["memory"] = self.memory_per_node * self.nodes
        elif self.memory_per_cpu:
            cpus = self.processes * self.resources.get("cpu_cores_per_process", 1)
            self.resources["memory"] = self.memory_per_cpu * cpus


Taker = Callable[[Needs, str], None]


def script_needs(script: str, source: str = "the script") -> dict[str, Any]:
    """The fields of a JobSpec that a script's directives ask for; empty without any.

    As with the schedulers, only lines before the first command count, and ``##SBATCH`` is a comment.

    Args:
        script: The whole text.
        source: What messages call it.

    Raises:
        UsageError: naming the line, for a directive that the API has no field for or that makes no sense.
    """
    needs = Needs()
    for number, kind, text in _lines(script):
        try:
            for option, value in _options(kind, text):
                _take(kind, needs, option, value)
        except ValueError as error:
            raise UsageError(f"{source}, line {number}: #{kind} {text}: {error}") from None
    try:
        return needs.words()
    except ValueError as error:
        raise UsageError(f"{source}: {error}") from None


def _lines(script: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(script.splitlines(), start=1):
        text = line.strip()
        found = re.fullmatch(r"#(SBATCH|PBS)(?:\s+([^#].*))?", text)
        if found and found[2]:
            yield number, found[1], found[2]
        elif text and not text.startswith("#"):
            return


def _options(kind: str, text: str) -> Iterator[tuple[str, str | None]]:
    """Options and their values, written ``--name=v``, ``--name v``, ``-nv`` or ``-n v``."""
    words = shlex.split(text, comments=True)
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            attached = value if equals else None
        elif re.match(r"-[A-Za-z]", word):
            option, attached = word[:2], word[2:].removeprefix("=") or None
        else:
            raise ValueError(f"{word!r} is not an option")
        if attached is None and option not in _FLAGS[kind] and words and not words[0].startswith("-"):
            attached = words.pop(0)
        yield option, attached


def _take(kind: str, needs: Needs, option: str, value: str | None) -> None:
    if option in _FLAGS[kind] and value is None:
        _FLAGS[kind][option](needs, "")
    elif option not in _TAKERS[kind]:
        raise ValueError(
            f"the API has no field for {option}; remove the line if the job can do without it, or say it in "
            "the facility's own words as a custom attribute"
        )
    elif not value:
        raise ValueError(f"{option} needs a value")
    else:
        _TAKERS[kind][option](needs, value)


# ------------------------------------------------------------------------------ how one option is taken


def _plain(name: str) -> Taker:
    return lambda needs, value: needs.plain.__setitem__(name, value)


def _attribute(name: str, read: Callable[[str], Any] = str) -> Taker:
    return lambda needs, value: needs.attributes.__setitem__(name, read(value))


def _custom(name: str) -> Taker:
    return lambda needs, value: needs.custom.__setitem__(name, value)


def _kept(name: str, read: Callable[[str], Any] = str) -> Taker:
    return lambda needs, value: setattr(needs, name, read(value))


def _count(name: str) -> Taker:
    return lambda needs, value: needs.resources.__setitem__(name, count_of(value))


def _whole_nodes(needs: Needs, value: str) -> None:
    needs.resources["exclusive_node_use"] = True


def _duration(plain: int) -> Taker:
    return _attribute("duration", lambda value: seconds_of(value, plain=plain))


def _mebibytes(value: str) -> int:
    return bytes_of(value, plain=MIB)


def _slurm_nodes(needs: Needs, value: str) -> None:
    low, _, high = value.partition("-")
    if high and high != low:
        raise ValueError("the API takes one number of nodes, not a range")
    needs.resources["node_count"] = count_of(low)


def _slurm_gpus(name: str) -> Taker:
    def take(needs: Needs, value: str) -> None:
        kind, _, number = value.rpartition(":")
        if kind:
            raise ValueError(f"the API has no field for the kind of GPU ({kind}); write the number alone")
        setattr(needs, name, count_of(number))

    return take


def _slurm_gres(needs: Needs, value: str) -> None:
    kind, _, rest = value.partition(":")
    if kind != "gpu" or "," in value:
        raise ValueError("of generic resources the API knows GPUs only")
    _slurm_gpus("gpus_per_node")(needs, rest or "1")


def _slurm_export(needs: Needs, value: str) -> None:
    for each in value.split(","):
        if each in {"ALL", "NONE"}:
            needs.plain["inherit_environment"] = each == "ALL"
        else:
            _variable(needs, each)


def _variable(needs: Needs, value: str) -> None:
    name, equals, content = value.partition("=")
    if not equals:
        raise ValueError(f"the value of {name} here is not known there; write {name}=value")
    needs.environment[name] = content


def _pbs_list(needs: Needs, value: str) -> None:
    for each in value.split(","):
        name, _, amount = each.partition("=")
        if not amount:
            raise ValueError(f"{name} needs a value")
        _PBS_RESOURCES.get(name, _refused(name))(needs, amount)


def _refused(name: str) -> Taker:
    def take(needs: Needs, value: str) -> None:
        raise ValueError(f"the API has no field for {name}")

    return take


def _pbs_select(needs: Needs, value: str) -> None:
    if "+" in value:
        raise ValueError("the API knows nodes of one kind only, not a sum of several")
    number, *rest = value.split(":")
    needs.resources["node_count"] = count_of(number)
    for each in rest:
        name, _, amount = each.partition("=")
        _PBS_CHUNK.get(name, _refused(name))(needs, amount)
    if (cpus := needs.resources.pop("ncpus", None)) is not None:
        processes = needs.resources.get("processes_per_node", 1)
        if cpus % processes:
            raise ValueError(f"{cpus} CPUs cannot be shared evenly by {processes} processes of a chunk")
        needs.resources["cpu_cores_per_process"] = cpus // processes


def _pbs_place(needs: Needs, value: str) -> None:
    for each in value.split(":"):
        if each in {"excl", "exclhost"}:
            needs.resources["exclusive_node_use"] = True
        elif each == "shared":
            needs.resources["exclusive_node_use"] = False
        elif each not in {"free", "scatter"}:  # chunks are nodes here, so these two say nothing more
            raise ValueError(f"the API has no field for place={each}")


def _pbs_join(needs: Needs, value: str) -> None:
    if value not in {"oe", "n"}:
        raise ValueError("only oe can be said to the API: both streams in the file of -o")
    needs.joined = value == "oe"


def _pbs_variables(needs: Needs, value: str) -> None:
    for each in value.split(","):
        _variable(needs, each)


def _pbs_path(name: str) -> Taker:
    def take(needs: Needs, value: str) -> None:
        host, colon, path = value.rpartition(":")
        if colon and host:
            raise ValueError("the API has no field for the host of a path")
        needs.plain[name] = path

    return take


def _pbs_words(needs: Needs, value: str) -> None:
    name, equals, terms = value.partition("=")
    if name != "depend" or not equals:
        raise ValueError(f"the API has no field for {name}")
    needs.attributes["after"] = after_of(terms)


def _inherit(needs: Needs, value: str) -> None:
    needs.plain["inherit_environment"] = True


_SLURM: Mapping[str, Taker] = {
    "--job-name": _plain("name"),
    "--output": _plain("stdout_path"),
    "--error": _plain("stderr_path"),
    "--input": _plain("stdin_path"),
    "--chdir": _plain("directory"),
    "--account": _attribute("account"),
    "--reservation": _attribute("reservation_id"),
    "--time": _duration(60),
    "--partition": _kept("partition"),
    "--qos": _kept("qos"),
    "--nodes": _slurm_nodes,
    "--ntasks": _count("process_count"),
    "--ntasks-per-node": _count("processes_per_node"),
    "--cpus-per-task": _count("cpu_cores_per_process"),
    "--gpus-per-task": _count("gpu_cores_per_process"),
    "--gpus-per-node": _slurm_gpus("gpus_per_node"),
    "--gpus": _slurm_gpus("gpus"),
    "--gres": _slurm_gres,
    "--mem": _kept("memory_per_node", _mebibytes),
    "--mem-per-cpu": _kept("memory_per_cpu", _mebibytes),
    "--export": _slurm_export,
    "--array": _attribute("array", array_text),
    "--dependency": _attribute("after", after_of),
    "--constraint": _custom("constraint"),
    "--licenses": _custom("licenses"),
}
_SHORT = {
    "-J": "--job-name",
    "-a": "--array",
    "-d": "--dependency",
    "-o": "--output",
    "-e": "--error",
    "-i": "--input",
    "-D": "--chdir",
    "-A": "--account",
    "-t": "--time",
    "-p": "--partition",
    "-q": "--qos",
    "-N": "--nodes",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-G": "--gpus",
    "-C": "--constraint",
    "-L": "--licenses",
}
_PBS: Mapping[str, Taker] = {
    "-N": _plain("name"),
    "-A": _attribute("account"),
    "-q": _attribute("queue_name"),
    "-d": _plain("directory"),
    "-o": _pbs_path("stdout_path"),
    "-e": _pbs_path("stderr_path"),
    "-j": _pbs_join,
    "-l": _pbs_list,
    "-v": _pbs_variables,
    "-J": _attribute("array", array_text),
    "-W": _pbs_words,
}
_PBS_RESOURCES: Mapping[str, Taker] = {
    "walltime": _duration(1),
    "select": _pbs_select,
    "place": _pbs_place,
    "filesystems": _custom("filesystems"),  # ALCF's own, and wanted by its IRI service too
    "mem": lambda needs, value: needs.resources.__setitem__("memory", bytes_of(value)),
}
_PBS_CHUNK: Mapping[str, Taker] = {
    "ncpus": _count("ncpus"),
    "mpiprocs": _count("processes_per_node"),
    "ngpus": _kept("gpus_per_node", count_of),
    "mem": _kept("memory_per_node", bytes_of),
    "system": _custom("system"),
}
_TAKERS = {"SBATCH": _SLURM | {short: _SLURM[long] for short, long in _SHORT.items()}, "PBS": _PBS}
_FLAGS: Mapping[str, Mapping[str, Taker]] = {"SBATCH": {"--exclusive": _whole_nodes}, "PBS": {"-V": _inherit}}
