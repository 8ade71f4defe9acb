"""Putting the guard around a job: a spec that names a program, or a batch script."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from typing import Any

from iri_common.jobside.guard import RUNNER, TEMPLATE, Guard, encodable
from iri_common.model.errors import UsageError

_SHELL = "/bin/sh"
_NAME = "iri"  # what the guard's shell calls itself in its own messages

# Commands before the program are often written for bash (`source`, `[[`), and batch scripts mostly are bash.
_BEST_SHELL = 'iri_word=$(command -v bash || command -pv bash || echo /bin/sh)\nexec "$iri_word" -c "$1" iri'

# Lines that a scheduler reads from a script; a burst buffer's (DW, BB) too.
_DIRECTIVE = re.compile(r"#(?:SBATCH|PBS|BSUB|COBALT|DW|BB)\b|#\s*(?:FLUX|flux):")


# --------------------------------------------------------------------------------------------- specs


def obstacle(spec: Mapping[str, Any], *, container_has_shell: bool = False) -> str | None:
    """Why no guard can be placed in front of this job, None if one can.

    Args:
        spec: In the wire form, as :meth:`Submission.wire_spec` gives it.
        container_has_shell: The caller knows that the image has a POSIX shell and sees the guard directory.
    """
    if spec.get("container") and not container_has_shell:
        return "it runs in a container, whose image may have no shell and may not see the guard directory"
    executable = spec.get("executable")
    if not executable:
        return "it names no executable"
    if "\n" in executable or executable.startswith("#!"):
        return "its executable is a whole script, not the name of a program"
    return None


def placeable(spec: Mapping[str, Any], *, container_has_shell: bool = False) -> bool:
    """Whether a guard can be placed in front of this job (:func:`obstacle` says why not)."""
    return obstacle(spec, container_has_shell=container_has_shell) is None


def mounted(spec: Mapping[str, Any], guard: Guard) -> Mapping[str, Any]:
    """The same job; one in a container sees the guard directory under the path that it has outside."""
    container, root = spec.get("container"), guard.root
    if not container or root is None:
        return spec
    mount = {"source": root, "target": root, "read_only": False}
    mounts = [each for each in container.get("volume_mounts", ()) if each["target"] != root]
    return {**spec, "container": {**container, "volume_mounts": [*mounts, mount]}}


def wrap_spec(spec: Mapping[str, Any], guard: Guard, *, container_has_shell: bool = False) -> dict[str, Any]:
    """The same job behind its guard: a new spec, everything but the command line as it was.

    Without a launcher the commands before and after the program move behind the guard, because a double must
    not run them; with one they stay where they are, for they run once and the guard runs in every process.

    Args:
        spec: In the wire form, as :meth:`Submission.wire_spec` gives it.
        guard: Of this job.
        container_has_shell: As for :func:`obstacle`.

    Raises:
        UsageError: no guard can be placed, or the command line cannot be handed to a process.
    """
    if reason := obstacle(spec, container_has_shell=container_has_shell):
        raise UsageError(f"no guard can be placed in front of this job: {reason}")
    wrapped = dict(spec)
    command = [
        encodable(word, "the command line") for word in (spec["executable"], *spec.get("arguments", ()))
    ]
    if not spec.get("launcher"):
        before, after = wrapped.pop("pre_launch", None), wrapped.pop("post_launch", None)
        if before or after:
            command = [_SHELL, "-c", _BEST_SHELL, _NAME, _between(before, command, after)]
    words = [*guard.words("spec"), *command]
    return {**wrapped, "executable": _SHELL, "arguments": ["-c", TEMPLATE, _NAME, *words]}


def _between(before: str | None, command: list[str], after: str | None) -> str:
    # In a shell of their own: `exit`, `set -e`, a trap or a `cd` in them is theirs, as without a guard. The
    # command is written out because a sourced file may look at the positional parameters, and "|| :" keeps
    # `set -e` out of iri_run; the line after it has the program's code for `set -e` and for `$?`.
    text = (
        f"{RUNNER}{before or ':'}\n"
        f"iri_listen || :\niri_run {shlex.join(command)} || :\n"
        "trap - HUP INT QUIT ALRM USR1 USR2 TERM XCPU\n"
        '(exit "$iri_code")\n'
        f"{after or ':'}\n"
        'exit "$iri_code"\n'
    )
    return encodable(text, "the commands before and after the program")


# ------------------------------------------------------------------------------------------- scripts


def wrap_script(text: str, guard: Guard) -> str:
    """A batch script behind its guard: directives first, then the guard, which runs the script unchanged.

    The script's own interpreter reads it from a private file that is removed at the end.

    Raises:
        UsageError: a line ends with CR LF (the kernel would look for an interpreter of that name), or the
            script cannot be written to a file as it is.
    """
    encodable(text, "the script")
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line.endswith("\r"):
            raise UsageError(
                f"line {number} of the script ends with CR LF, as on Windows: save it with line ends of Unix"
            )
    interpreter = _interpreter(lines[0])
    end = _unused_line(text)
    content = text if text.endswith("\n") or not text else f"{text}\n"
    # A here-document ends with a line end; `$( )` takes the one away that the script did not have.
    body = "iri_text" if text.endswith("\n") or not text else 'printf %s "$(iri_text)"'
    return (
        f"#!{_outer_shell(interpreter)}\n"
        + "".join(f"{line}\n" for line in _directives(lines))
        + f"iri_text() {{\niri_tool cat <<'{end}'\n{content}{end}\n}}\n"
        + f"iri_body() {{ {body}; }}\n"
        + f"set -- {shlex.join([*guard.words('script'), *interpreter])}\n"
        + TEMPLATE
    )


def _interpreter(first: str) -> list[str]:
    # As the kernel reads it: one word, then at most one argument that holds all the rest.
    if not first.startswith("#!"):
        return [_SHELL]
    return first[2:].strip(" \t").split(None, 1) or [_SHELL]


def _outer_shell(interpreter: list[str]) -> str:
    # dash forgets what bash exports as functions (`module` is one): a script for bash stays in its hands.
    return interpreter[0] if interpreter[0].endswith("/bin/bash") else _SHELL


def _directives(lines: list[str]) -> list[str]:
    # Schedulers stop reading at the first command; so must this, or a comment far below becomes an order.
    found: list[str] = []
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            break
        if _DIRECTIVE.match(line):
            found.append(line)
    return found


def _unused_line(text: str) -> str:
    lines = set(text.split("\n"))
    number = 0
    while True:
        end = "IRI_" + hashlib.sha256(f"{number}\n{text}".encode()).hexdigest()[:16]
        if end not in lines:
            return end
        number += 1
