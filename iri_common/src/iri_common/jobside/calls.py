"""Commands and functions as they travel to an endpoint of Globus Compute, and what comes back."""

from __future__ import annotations

import builtins
import dis
import hashlib
import inspect
import json
import shlex
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from types import CodeType
from typing import Any, Self, cast

from iri_common.jobside.guard import encodable
from iri_common.model.compute import ShellResult
from iri_common.model.errors import ReplyError, UsageError
from iri_common.model.key import JobKey

ENTRY = "iri_task"
REMOTE = resources.files("iri_common.jobside").joinpath("remote.py").read_text(encoding="utf-8")
"""The text of the function that runs both kinds of calls; read on import, away from the I/O loop."""
HOME = "~/.iri"  # as the guards of jobs: one directory per identity
TAIL = 65_536  # bytes of each stream that come back


@dataclass(frozen=True, slots=True)
class ShellCall:
    """A command line at an endpoint.

    Attributes:
        command: For bash, or ``sh`` where there is none; words are quoted.
        directory: Where it runs; None leaves that to the endpoint.
        environment: Beside that of the endpoint's worker.
        seconds: After which it is ended, with what it has begun; None for as long as the endpoint lets it.
        stdout: A path at the endpoint; None puts it beside the owner file of the key.
        stderr: A path at the endpoint; None puts it beside the owner file of the key.
    """

    command: str | Sequence[str]
    directory: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    seconds: float | None = None
    stdout: str | None = None
    stderr: str | None = None

    def __post_init__(self) -> None:
        if not self.line.strip():
            raise UsageError("a shell call needs a command")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UsageError(f"a command is given some seconds, not {self.seconds!r}")
        for name, value in self.environment.items():
            if not name or "=" in name:
                raise UsageError(f"{name!r} is no name of a variable")
            encodable(name + value, "the environment")

    @property
    def line(self) -> str:
        """The command as a shell reads it."""
        line = self.command if isinstance(self.command, str) else shlex.join(self.command)
        return encodable(line, "the command")

    @property
    def words(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "command": self.line,
            "directory": self.directory,
            "environment": dict(self.environment),
            "seconds": self.seconds,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "tail": TAIL,
        }


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A Python function at an endpoint, as text: no pickle crosses a site, and Python versions may differ.

    Attributes:
        name: Of the function.
        source: The text that defines it.
        args: Plain data.
        kwargs: Plain data.
        registered: The id of a function that the service has already, instead; it is run as it is, without
            knowing whether it is a double.
    """

    name: str = ""
    source: str = ""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    registered: str | None = None

    def __post_init__(self) -> None:
        if bool(self.registered) == bool(self.source):
            raise UsageError("a function call has a source, or the id of a registered function")
        if self.source and not self.name.isidentifier():
            raise UsageError(f"{self.name!r} is no name of a function")

    @classmethod
    def of(cls, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """The call of a function, with its arguments; everything that it uses it imports itself.

        Raises:
            UsageError: if it would not run elsewhere, or its source cannot be had.
        """
        name = getattr(function, "__name__", "")
        if not inspect.isfunction(function) or not name.isidentifier():
            raise UsageError(f"{function!r} is no function with a name")
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise UsageError(f"{name} is a coroutine: an endpoint calls plain functions")
        try:
            source = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError):
            raise UsageError(f"the source of {name} cannot be read; give it as FunctionCall(…)") from None
        if not source.startswith("def "):
            raise UsageError(f"{name} is decorated, or no function of its own: its source alone is not it")
        if found := set(_outer(function.__code__)) - {name, *dir(builtins)}:
            raise UsageError(
                f"{name} uses {', '.join(sorted(found))} from around it, which does not travel with it: "
                "import it within the function, or pass it as an argument"
            )
        return cls(name, source, args, kwargs)

    @property
    def words(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "name": self.name,
            "source": encodable(self.source, "the source"),
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
        }


def _outer(code: CodeType) -> Iterator[str]:
    """The names that a function looks up around itself; ``co_names`` has those of attributes, too."""
    yield from code.co_freevars
    for step in dis.get_instructions(code):
        if step.opname == "LOAD_GLOBAL":
            yield step.argval
        elif isinstance(step.argval, CodeType):
            own = {*code.co_varnames, *code.co_cellvars}
            yield from (each for each in _outer(step.argval) if each not in own)


Call = ShellCall | FunctionCall


def plain(value: Any, what: str) -> Any:
    """The same as JSON makes it.

    Raises:
        UsageError: if it is no plain data.
    """
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} is plain JSON: {error}") from None


def digest_of(words: Mapping[str, Any]) -> str:
    """Of a call: the same for the same one."""
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


def argument(
    call: Call, key: JobKey, digest: str, root: str | None, *, recall: bool = False
) -> dict[str, Any]:
    """What the remote text is called with.

    Args:
        call: What is to be done.
        key: Of whoever asks.
        digest: Of the call; kept in the owner file.
        root: The directory of all owner files at the endpoint, on a file system of all its workers; None for
            that in the home directory.
        recall: Only tell what an earlier task of this key has left.
    """
    guard = {"root": root or HOME, "identity": key.digest, "generation": key.generation, "digest": digest}
    return {**plain(call.words, "a call"), **guard, "recall": recall}


@dataclass(frozen=True, slots=True)
class Told:
    """What the remote text has returned; one of the three.

    Attributes:
        shell: What came of a command.
        value: What a function returned.
        double_of: The task that does the work; "" where it is not known.
    """

    shell: ShellResult | None = None
    value: Any = None
    double_of: str | None = None


def told(value: Any) -> Told:
    """What a task returned, if the remote text was it; otherwise what a registered function did.

    Raises:
        ReplyError: if it is neither.
    """
    if not isinstance(value, dict) or cast("dict[str, Any]", value).get("iri") != 1:
        return Told(value=value)
    words = cast("dict[str, Any]", value)
    if isinstance(words.get("double"), str):
        return Told(double_of=words["double"])
    if isinstance(words.get("shell"), dict):
        return Told(shell=_shell_result(words["shell"]))
    if "value" in words:
        return Told(value=words["value"])
    raise ReplyError("a task returned something in our name that is not ours")


def _shell_result(words: Mapping[str, Any]) -> ShellResult:
    code, texts = words.get("exit_code"), ("stdout", "stderr", "stdout_path", "stderr_path")
    if not isinstance(code, int) or not all(isinstance(words.get(name), str) for name in texts):
        raise ReplyError("the result of a command without its exit code or its output")
    return ShellResult(
        code, *(cast("str", words[name]) for name in texts), timed_out=words.get("timed_out") is True
    )
