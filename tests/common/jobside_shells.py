"""Guards in real shells: one job is one process of a shell, one place is one guard directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from iri_common.apis.iri import SITES
from iri_common.jobside.guard import Guard
from iri_common.jobside.journal import Journal, read_journal
from iri_common.jobside.wrap import wrap_script, wrap_spec
from iri_common.model.key import JobKey

CANDIDATES = {
    "dash": ["dash"],
    "bash": ["bash"],
    "bash-posix": ["bash", "--posix"],
    "busybox": ["busybox", "sh"],
    "sh": ["/bin/sh"],
}
SHELLS = {name: command for name, command in CANDIDATES.items() if shutil.which(command[0])}

# Everything a program is given, as NUL-ended words: directory, standard input, arguments, environment.
DUMP = (
    "import os, sys\n"
    "words = [os.getcwdb(), sys.stdin.buffer.read().hex().encode()]\n"
    "words += [b'%d' % (len(sys.argv) - 1)] + [os.fsencode(word) for word in sys.argv[1:]]\n"
    "words += [name + b'=' + value for name, value in os.environb.items()]\n"
    "sys.stdout.buffer.write(b''.join(word + b'\\0' for word in words))\n"
)
PYTHON = os.path.realpath(sys.executable)
# What any shell sets for itself, guard or not.
SHELLS_OWN = {"PWD", "OLDPWD", "SHLVL", "_", "LC_CTYPE"}


@dataclass(frozen=True)
class Ended:
    """How one job ended."""

    code: int
    stdout: bytes
    stderr: str
    seconds: float

    @property
    def seen(self) -> tuple[bytes, bytes, list[bytes], dict[str, str]]:
        """What DUMP told: directory, standard input, arguments, environment."""
        directory, stdin, count, *rest = self.stdout.split(b"\0")[:-1]
        arguments, variables = rest[: int(count)], rest[int(count) :]
        pairs = (os.fsdecode(word).partition("=") for word in variables)
        return (
            directory,
            bytes.fromhex(stdin.decode()),
            arguments,
            {name: value for name, _, value in pairs if name not in SHELLS_OWN},
        )


@dataclass
class Place:
    """Jobs of one guard in one shell."""

    shell: list[str]
    root: Path
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = Guard(JobKey.random(), root=str(self.root))

    @property
    def directory(self) -> Path:
        return Path(str(self.guard.directory_at(None)))

    @property
    def journal(self) -> Journal:
        return read_journal(self.lines())

    def lines(self, index: int | None = None) -> str:
        path = self.directory / self.guard.journal_name(index)
        return path.read_text() if path.exists() else ""

    def owner(self) -> str:
        return (self.directory / self.guard.owner_name).read_text().split("\n")[0]

    def start(self, spec: dict, job: str = "1", environment: dict[str, str] | None = None, **words):
        wrapped = wrap_spec(spec, self.guard)
        if words.pop("plain", False):
            wrapped = SITES["alcf"].said(wrapped)
        return self._start(wrapped["arguments"], job, environment, words)

    def start_script(self, text: str, job: str = "1", environment: dict[str, str] | None = None, **words):
        path = self.root.parent / f"script-{job}"
        path.write_bytes(wrap_script(text, self.guard).encode())
        return self._start([str(path)], job, environment, words)

    def _start(self, arguments: list[str], job: str, environment: dict[str, str] | None, words: dict):
        bare = words.pop("bare", False)
        base = {} if bare else {"PATH": os.defpath, "HOME": str(self.root.parent), "IRI_JOB_ID": job}
        words = {"stdin": subprocess.DEVNULL, **words}
        return subprocess.Popen(
            [*[shutil.which(self.shell[0]), *self.shell[1:]], *arguments],
            env={**base, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **words,
        )

    def run(self, spec: dict, job: str = "1", environment: dict[str, str] | None = None, **words) -> Ended:
        return ended(*self._with_input(self.start, spec, job, environment, words))

    def run_script(
        self, text: str, job: str = "1", environment: dict[str, str] | None = None, **words
    ) -> Ended:
        return ended(*self._with_input(self.start_script, text, job, environment, words))

    @staticmethod
    def _with_input(start, what, job, environment, words):
        data = words.pop("input", None)
        if data is not None:
            words["stdin"] = subprocess.PIPE
        return start(what, job, environment, **words), data


def ended(process: subprocess.Popen[bytes], data: bytes | None = None) -> Ended:
    began = time.monotonic()
    stdout, stderr = process.communicate(data, timeout=60)
    return Ended(process.returncode, stdout, stderr.decode(errors="replace"), time.monotonic() - began)


def sh(text: str, *arguments: str, **words) -> dict:
    """A spec whose program is a line of shell."""
    return {"executable": "/bin/sh", "arguments": ["-c", text, "sh", *arguments], **words}


def python(text: str, *arguments: str, **words) -> dict:
    """A spec whose program is some Python."""
    return {"executable": PYTHON, "arguments": ["-I", "-c", text, *arguments], **words}


def until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
