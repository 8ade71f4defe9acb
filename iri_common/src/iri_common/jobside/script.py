"""A script as the executable and arguments of a job, for an API that takes no scripts."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from iri_common.jobside.directives import script_needs
from iri_common.jobside.guard import RUNNER
from iri_common.model.errors import UsageError
from iri_common.model.spec import JobSpec

LONGEST = 128 * 1024 - 1  # bytes of one argument on Linux, the closing NUL not counted
_SHELLS = frozenset({"sh", "bash", "dash", "ksh", "zsh"})
_GROUPS = ("environment", "resources", "attributes", "custom_attributes")

# For interpreters that want a file: it is private, and gone afterwards. `mkdir` is exclusive everywhere,
# `mktemp` is not everywhere. The runner hands input and signals on to the program.
_FROM_A_FILE = """\
iri_umask=$(umask)
umask 077
iri_text=$1 iri_name=$2
shift 2
iri_place=${TMPDIR:-/tmp}/iri-script.$$.$(date +%s)
mkdir "$iri_place" || exit 1
trap 'rm -rf "$iri_place"' EXIT
printf '%s\\n' "$iri_text" >"$iri_place/$iri_name" || exit 1
umask "$iri_umask"
iri_listen
iri_run INTERPRETER "$iri_place/$iri_name" "$@"
exit "$iri_code"
"""


def job_of_script(script: str, words: Mapping[str, Any] | None = None, *, name: str = "script") -> JobSpec:
    """The job that a batch script describes: what its ``#SBATCH`` or ``#PBS`` lines ask for, and its text.

    Args:
        script: The whole text, with a first line ``#!interpreter``.
        words: Of a JobSpec, on top of the script's own; ``arguments`` are handed to the script.
        name: What the script is called, by messages and by itself.

    Raises:
        UsageError: naming the line, for a directive that the API has no field for or that makes no sense; for
            a script that nothing can run, or that is too long.
    """
    if words and "executable" in words:
        raise UsageError(f"a job runs {name} or an executable, not both")
    rest = JobSpec.of(merged(script_needs(script, name), words or {}) | {"executable": name})
    executable, *arguments = command_of(script, name, rest.arguments)
    return rest.model_copy(update={"executable": executable, "arguments": tuple(arguments)})


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """The words of ``over`` on top of those of ``under``, group by group."""
    result = dict(under)
    for name, value in over.items():
        below: Any = result.get(name)
        grouped = name in _GROUPS and isinstance(below, dict) and isinstance(value, dict)
        result[name] = merged(below, value) if grouped else value  # pyright: ignore[reportUnknownArgumentType]
    return result


def command_of(script: str, name: str, arguments: Sequence[str] = ()) -> list[str]:
    """The command that runs a script: its interpreter, and the text as an argument.

    Args:
        script: The whole text, with a first line ``#!interpreter``.
        name: What the script is called; ``$0`` of a shell.
        arguments: Handed to the script.

    Raises:
        UsageError: for a script without an interpreter, or one that is too long for an argument.
    """
    text = script.rstrip("\n")
    if "\x00" in text:
        raise UsageError(f"{name} is not a text; a program is named as the command")
    if len(text.encode()) > LONGEST:
        raise UsageError(
            f"{name} is longer than {LONGEST} bytes, the most that fits an argument; upload it "
            "and name it as the command"
        )
    interpreter = _interpreter(script, name)
    if _program(interpreter) in _SHELLS:
        return [*interpreter, "-c", text, name, *arguments]
    wrapper = RUNNER + _FROM_A_FILE.replace("INTERPRETER", shlex.join(interpreter))
    return ["/bin/sh", "-c", wrapper, "iri", text, posixpath.basename(name) or "script", *arguments]


def _interpreter(script: str, name: str) -> list[str]:
    first = script.split("\n", 1)[0]
    if first.endswith("\r"):
        raise UsageError(
            f"{name} has the line ends of Windows (CR LF), which no interpreter's name has; save it anew"
        )
    words = first.removeprefix("#!").split(maxsplit=1)
    if not first.startswith("#!") or not words:
        raise UsageError(f"{name} does not say what runs it; begin it with a line such as #!/bin/sh")
    if posixpath.basename(words[0]) == "env" and len(words) == 2:
        # The kernel hands over the rest as one word; `env -S` is the way to say several.
        rest = words[1].strip()
        return [words[0], *(shlex.split(rest[2:]) if rest.startswith("-S") else [rest])]
    return [words[0], *(each.strip() for each in words[1:])]


def _program(interpreter: Sequence[str]) -> str:
    if posixpath.basename(interpreter[0]) != "env":
        return posixpath.basename(interpreter[0])
    # `env -i NAME=value bash -l`: the program is the first word that is neither option nor variable.
    named = [each for each in interpreter[1:] if not each.startswith("-") and "=" not in each]
    return posixpath.basename(named[0]) if named else ""
