"""Striking a job when it runs a certain command for the n-th time.

The job finds a program of the command's name in front of its PATH. It writes down what it is going to do and
kills the job's process group, so the moment is exact and no server needs to be up. A job that is a command
line for a shell (``sh -c …``) may look for tools with ``command -p``, past any PATH, or use a built-in; its
command line gets functions of these names in front. So does a batch script, and each ``/bin/sh -c`` in it.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .jobs import JobRequest

_SHIM = """\
#!/bin/sh
iri_n=1
while [ "$iri_n" -le {nth} ] && ! {mkdir} {counter}."$iri_n" 2>/dev/null; do iri_n=$((iri_n + 1)); done
iri_strike() {{ printf '%s\\n' {note} >{marker}; kill -KILL 0; }}
[ "$iri_n" -ne {nth} ] || {before}
PATH={path} {command} "$@"
iri_code=$?
[ "$iri_n" -ne {nth} ] || {after}
exit "$iri_code"
"""

# The function steps aside while the true `command` works, and comes back afterwards.
_COMMAND = """\
command() {{
  case "${{1-}} ${{2-}}" in
{cases}
    *)
      unset -f command
      iri_shim_code=0
      command "$@" || iri_shim_code=$?
      eval "$iri_shim"
      return "$iri_shim_code"
      ;;
  esac
}}
"""
_CASE = """\
    "-p {command}") shift 2; {shim} "$@" ;;
    "{command} "*) shift; {shim} "$@" ;;"""

# What stands for /bin/sh in a batch script.
_SHELL = """\
#!/bin/sh
[ "$1" = -c ] || exec /bin/sh "$@"
iri_line=$2
shift 2
exec /bin/sh -c {prelude}"$iri_line" "$@"
"""
_SHELL_LINE = re.compile(r"(?<![\w./-])/bin/sh(?= +-c\b)")

_SHELLS = re.compile(r"(.*/)?(sh|bash|dash|ash|ksh)")
# Built-ins that a program can stand in for.
_BUILT_IN = {"echo", "false", "printf", "pwd", "test", "true"}


@dataclass(frozen=True)
class Strike:
    """One moment in a job.

    Attributes:
        note: Who strikes, why, and whether the job is requeued; `struck` gives it back.
    """

    command: str
    nth: int
    before: bool
    note: tuple[str, str, bool]


@dataclass(frozen=True)
class Trap:
    """How a job is started so that it meets its strikes."""

    path: str
    prelude: str = ""
    shell: str = ""

    def around(self, request: JobRequest) -> JobRequest:
        """The request with the functions in front, if it is a command line or a script for a shell."""
        arguments = request.arguments
        if self.prelude and request.script is not None:
            return replace(request, script=self._within(request.script, request.executable))
        if not (self.prelude and _SHELLS.fullmatch(request.executable) and arguments[:1] == ["-c"]):
            return request
        return replace(request, arguments=["-c", self.prelude + "".join(arguments[1:2]), *arguments[2:]])

    def _within(self, script: str, interpreter: str) -> str:
        script = _SHELL_LINE.sub(lambda _: shlex.quote(self.shell), script)
        if not _SHELLS.fullmatch(interpreter):
            return script
        first, newline, rest = script.partition("\n")
        return f"{first}{newline}{self.prelude}{rest}" if first.startswith("#!") else self.prelude + script


def lay(strikes: Iterable[Strike], job_dir: Path, path: str) -> Trap:
    """Prepare the strikes of a job that is about to start with ``path`` as its PATH."""
    shims = job_dir / "shims"
    shutil.rmtree(shims, ignore_errors=True)  # of the last attempt
    commands = {strike.command: strike for strike in strikes}
    if not commands:
        return Trap(path)
    shims.mkdir(parents=True)
    cases, functions = [], []
    for command, strike in commands.items():
        shim = shims / command
        shim.write_text(_shim(strike, shim, path))
        shim.chmod(0o755)
        cases.append(_CASE.format(command=command, shim=shlex.quote(str(shim))))
        if command in _BUILT_IN:
            functions.append(f'{command}() {{ {shlex.quote(str(shim))} "$@"; }}\n')
    definition = _COMMAND.format(cases="\n".join(cases))
    prelude = f"iri_shim={shlex.quote(definition)}\n" + 'eval "$iri_shim"\n' + "".join(functions)
    shell = shims / ".shell"
    shell.write_text(_SHELL.format(prelude=shlex.quote(prelude)))
    shell.chmod(0o755)
    return Trap(f"{shims}:{path}", prelude, str(shell))


def struck(job_dir: Path) -> tuple[str, str, bool] | None:
    """The note of the strike that a job has met, once."""
    marker = _marker(job_dir)
    try:
        fault_id, ending, requeue = json.loads(marker.read_text())
    except (OSError, ValueError):
        return None
    marker.unlink()
    return fault_id, ending, requeue


def _marker(job_dir: Path) -> Path:
    return job_dir / "struck"


def _shim(strike: Strike, shim: Path, path: str) -> str:
    return _SHIM.format(
        nth=strike.nth,
        mkdir=shlex.quote(shutil.which("mkdir") or "/bin/mkdir"),
        counter=shlex.quote(str(shim.with_name(f".{strike.command}"))),
        note=shlex.quote(json.dumps(strike.note)),
        marker=shlex.quote(str(_marker(shim.parent.parent))),
        path=shlex.quote(path),
        command=shlex.quote(strike.command),
        before="iri_strike" if strike.before else ":",
        after=":" if strike.before else "iri_strike",
    )
