"""The ``#SBATCH`` and ``#PBS`` lines of a batch script, as fields of a job request.

Options that a laptop has nothing to do with (memory, mail, GPUs, …) are known and have no effect; what is not
known is refused, as sbatch and qsub do.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from typing import Any, Literal

from iri_local_facility.errors import Rejected

Scheduler = Literal["slurm", "pbs"]
Fields = dict[str, Any]
_Taker = Callable[[str], Fields]
_MARKS: dict[str, str] = {"slurm": "#SBATCH", "pbs": "#PBS"}


class BadScript(Rejected):
    """What sbatch or qsub refuses by itself, before the scheduler hears of it."""


def directives(script: str, scheduler: Scheduler) -> Fields:
    """What the lines for a scheduler ask for; of two that ask for the same the later one has it.

    Raises:
        BadScript: An option that the scheduler does not have, or a value that it does not take.
    """
    fields: Fields = {}
    for words in _lines(script, _MARKS[scheduler]):
        while words:
            fields.update(_option(words, scheduler))
    return fields


def _lines(script: str, mark: str) -> Iterator[list[str]]:
    """The words of each such line before the first command."""
    for line in script.splitlines():
        if not line.startswith("#"):
            if line.strip():
                return
            continue
        if line.startswith(mark) and line[len(mark) : len(mark) + 1] in ("", " ", "\t"):
            try:
                yield shlex.split(line[len(mark) :], comments=True)
            except ValueError:
                raise BadScript(f"unmatched quote in {line}") from None


def _option(words: list[str], scheduler: Scheduler) -> Fields:
    """Take one option and its value off the front."""
    word = words.pop(0)
    takers = _SLURM if scheduler == "slurm" else _PBS
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
    else:
        name, equals, value = _SHORT.get(word[1:2], word[1:2]), word[2:], word[2:].removeprefix("=")
    if scheduler == "pbs":
        name = word[1:2]
    if not word.startswith("-") or (name not in takers and name not in _FLAGS[scheduler]):
        raise BadScript(f"unrecognized option '{word}'")
    if name in _FLAGS[scheduler]:
        return dict(_FLAGS[scheduler][name])
    if not equals:
        if not words:
            raise BadScript(f"option requires an argument -- '{name}'")
        value = words.pop(0)
    return takers[name](value)


def exported(text: str) -> Fields:
    """What ``--export`` means: names to pass on, ``NAME=value`` to set, ``ALL`` or ``NONE``.

    Commas separate, except between quotes; a quote that is not closed goes on to the end.
    """
    environment: dict[str, str] = {}
    parts = re.findall(r"""(?:"[^"]*(?:"|$)|'[^']*(?:'|$)|[^,"'])+""", text)
    for part in parts:
        name, equals, value = part.partition("=")
        if equals:
            environment[name] = value
    return {"environment": environment, "inherit_environment": not {"NONE", "NIL"} & set(parts)}


def seconds(text: str) -> Fields:
    """A time limit as Slurm writes it: minutes, ``M:S``, ``H:M:S``, ``D-H``, ``D-H:M`` or ``D-H:M:S``."""
    if text.upper() in ("UNLIMITED", "INFINITE", "-1"):
        return {}
    days, dash, clock = text.rpartition("-")
    try:
        numbers = [int(part) for part in clock.split(":")]
        if dash:
            hours, minutes, rest = (*numbers, 0, 0, 0)[:3]
        elif len(numbers) < 3:
            hours, minutes, rest = 0, numbers[0], (*numbers, 0)[1]
        else:
            hours, minutes, rest = numbers
        return {"duration": ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + rest}
    except ValueError:
        raise BadScript("Invalid --time specification") from None


def _set(field: str) -> _Taker:
    return lambda text: {field: text}


def _count(field: str, option: str) -> _Taker:
    def take(text: str) -> Fields:
        # "2-4" asks for two at least, and two it gets.
        if not (found := re.fullmatch(r"(\d+)(-\d+)?", text)) or int(found[1]) < 1:
            raise BadScript(f'Invalid numeric value "{text}" for {option}.')
        return {field: int(found[1])}

    return take


def _nothing(text: str) -> Fields:
    return {}


def _walltime(text: str) -> Fields:
    try:
        parts = [int(part) for part in text.split(":")]
    except ValueError:
        raise BadScript(f"qsub: Illegal attribute or resource value Resource_List.walltime: {text}") from None
    return {"duration": sum(part * 60**power for power, part in enumerate(reversed(parts)))}


def _resources(text: str) -> Fields:
    """``-l walltime=1:00:00,select=2:ncpus=4:mpiprocs=4`` or ``-l nodes=2:ppn=4``."""
    fields: Fields = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name == "walltime":
            fields.update(_walltime(value))
        elif name in ("select", "nodes"):
            chunk, *more = value.split(":")
            fields.update(_count("node_count", "-l")(chunk))
            each = [int(size) for kind, _, size in (item.partition("=") for item in more) if kind in _EACH]
            fields["process_count"] = fields["node_count"] * (each[0] if each else 1)
    return fields


def _pbs_path(field: str) -> _Taker:
    """A path may name the host; a directory gets a file of the usual name."""
    usual = "%x.o%j" if field == "stdout" else "%x.e%j"

    def take(text: str) -> Fields:
        path = re.sub(r"^[\w.-]*:", "", text)
        return {field: path + usual if path.endswith("/") else path}

    return take


def _joined(text: str) -> Fields:
    return {"joined": text} if text in ("oe", "eo") else {}


_EACH = ("mpiprocs", "ppn")
_SHORT = {
    "A": "account", "C": "constraint", "D": "chdir", "G": "gpus", "H": "hold", "J": "job-name",
    "L": "licenses", "M": "clusters", "N": "nodes", "O": "overcommit", "Q": "quiet", "W": "wait",
    "a": "array", "c": "cpus-per-task", "d": "dependency", "e": "error", "i": "input", "k": "no-kill",
    "m": "distribution", "n": "ntasks", "o": "output", "p": "partition", "q": "qos", "s": "oversubscribe",
    "t": "time", "v": "verbose", "w": "nodelist", "x": "exclude",
}  # fmt: skip
_WITHOUT_EFFECT = """
begin clusters comment cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline distribution exclude
extra gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket gpus-per-task gres gres-flags hint licenses
mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice nodelist
ntasks-per-core ntasks-per-gpu ntasks-per-socket open-mode prefer priority profile signal sockets-per-node
switches threads-per-core time-min tmp wckey"""
_FLAGS_WITHOUT_EFFECT = """
contiguous exclusive get-user-env ignore-pbs no-kill no-requeue overcommit oversubscribe parsable quiet reboot
requeue spread-job use-min-nodes verbose wait"""
_SLURM: dict[str, _Taker] = {
    "account": _set("account"),
    "array": _set("array"),
    "chdir": _set("directory"),
    "constraint": _set("constraint"),
    "dependency": _set("dependency"),
    "error": _set("stderr"),
    "export": exported,
    "input": _set("stdin"),
    "job-name": _set("name"),
    "nodes": _count("node_count", "--nodes"),
    "ntasks": _count("process_count", "--ntasks"),
    "ntasks-per-node": _count("processes_per_node", "--ntasks-per-node"),
    "output": _set("stdout"),
    "partition": _set("queue"),
    "qos": _set("qos"),
    "reservation": _set("reservation"),
    "time": seconds,
    **dict.fromkeys(_WITHOUT_EFFECT.split(), _nothing),
}
_PBS: dict[str, _Taker] = {
    "A": _set("account"),
    "J": _set("array"),
    "N": _set("name"),
    "P": _set("account"),
    "W": lambda text: {"dependency": text} if text.startswith("depend=") else {},
    "e": _pbs_path("stderr"),
    "j": _joined,
    "l": _resources,
    "o": _pbs_path("stdout"),
    "q": _set("queue"),
    "v": lambda text: {"environment": exported(text)["environment"]},
    **dict.fromkeys("MSackmprtu", _nothing),
}
_FLAGS: dict[str, dict[str, Fields]] = {
    "slurm": {"hold": {"hold": True}, **{name: {} for name in _FLAGS_WITHOUT_EFFECT.split()}},
    "pbs": {"h": {"hold": True}, **{name: {} for name in "VIXz"}},
}
