"""Where the guard of a job keeps its files, and the shell text that is the guard."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from importlib import resources

from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey

_HOME_FOLDER = ".iri"
NO_ID = "node:"  # how a job calls itself whose scheduler tells it no id
_DIGEST = re.compile(r"[0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class Guard:
    """One directory per identity; in it one owner file and one journal per generation.

    Attributes:
        key: Of the job.
        root: The directory of all guard directories at the facility, absolute; None means ``.iri`` in the
            home directory that the job's shell sees.
        digest: Of the spec (:meth:`JobSpec.digest`), kept in the owner file so that a client without a
            ledger can tell a changed spec from the same ask.
        counted: A double tells by its exit code how many ids it lies behind the job that works: for clients
            that see ids and nothing else. A program that ends with such a number ends the job with another.
    """

    key: JobKey
    root: str | None = None
    digest: str = ""
    counted: bool = False

    def __post_init__(self) -> None:
        if self.root is not None:
            if not self.root.startswith("/") or re.search(r"[\x00-\x1f\x7f]", self.root):
                raise UsageError(f"a guard directory is an absolute path, not {self.root!r}")
            encodable(self.root, "the guard directory")
        if not _DIGEST.fullmatch(self.digest):
            raise UsageError(f"a spec's digest is in letters and digits, not {self.digest!r}")

    def directory_at(self, home: str | None) -> str | None:
        """The guard directory as a path at the facility; None if it lies in a home that is not known."""
        if self.root is not None:
            return posixpath.join(self.root, self.key.digest)
        if home is None or not home.startswith("/"):
            return None
        return posixpath.join(home, _HOME_FOLDER, self.key.digest)

    @property
    def owner_name(self) -> str:
        """The file that names the one job that works; a directory of that name cancels the job."""
        return f"{self.key.generation}.owner"

    def journal_name(self, index: int | str | None = None) -> str:
        """The file that tells what became of the program; ``index`` is that of a task of an array."""
        name = f"{self.key.generation}.journal"
        return name if index is None else f"{name}.{index}"

    def words(self, mode: str) -> tuple[str, ...]:
        """The arguments of the guard's shell text that come before the program's."""
        counted = "counted" if self.counted else ""
        return (self.root or "", self.key.digest, str(self.key.generation), self.digest, counted, mode)


def encodable(text: str, what: str) -> str:
    """The text itself, if it can be handed to a process.

    Raises:
        UsageError: a NUL or half a character (a surrogate) is in it.
    """
    if "\0" in text:
        raise UsageError(f"{what} has a NUL character in it, which no process can be given")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{what} is not text that can be encoded") from None
    return text


def _without_comments(name: str) -> str:
    text = resources.files("iri_common.jobside").joinpath(name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("#"))


# Read here, on import: jobs are wrapped on the I/O loop, which must not touch the disk.
RUNNER = _without_comments("run.sh")
"""The shell function ``iri_run``: a program as a child, its signals and its exit code."""
TEMPLATE = RUNNER + _without_comments("guard.sh")
"""The whole guard; its arguments are ``Guard.words`` and the program."""
