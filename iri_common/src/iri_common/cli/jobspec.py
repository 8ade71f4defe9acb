"""From the words of a command line to a JobSpec."""

from __future__ import annotations

import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from iri_common.cli.options import JobWords
from iri_common.jobside.amounts import bytes_of, seconds_of
from iri_common.jobside.directives import script_needs
from iri_common.jobside.script import command_of, merged
from iri_common.model.errors import UsageError
from iri_common.model.spec import JobSpec

T = TypeVar("T")


def job_spec(words: JobWords, command: Sequence[str]) -> JobSpec:
    """What is to be run: the script's lines, then the file of ``--spec``, then the options, last one wins.

    Raises:
        UsageError: for words that make no sense.
    """
    said: dict[str, Any] = {}
    if words.script:
        name = "stdin" if str(words.script) == "-" else words.script.name
        text = _script_text(words.script)
        said = script_needs(text, name)
        command = command_of(text, name, command)
    if words.spec:
        said = merged(said, spec_file(words.spec))
    said = merged(said, option_words(words))
    if command:
        said |= {"executable": command[0], "arguments": list(command[1:])}
    if "executable" not in said:
        raise UsageError("say what to run: iri run -- COMMAND ARGS…, or --script FILE")
    return JobSpec.of(said)


def option_words(words: JobWords) -> dict[str, Any]:
    """The fields of a JobSpec that the options ask for."""
    resources = {
        "node_count": words.nodes,
        "process_count": words.processes,
        "processes_per_node": words.processes_per_node,
        "cpu_cores_per_process": words.cpus,
        "gpu_cores_per_process": words.gpus,
        "exclusive_node_use": words.exclusive,
        "memory": amount("--memory", bytes_of, words.memory),
    }
    attributes = {
        "duration": amount("--time", seconds_of, words.time),
        "queue_name": words.queue,
        "account": words.account,
        "reservation_id": words.reservation,
        "array": words.array,
        "after": {"ok": words.after} if words.after else None,
        "custom_attributes": pairs("--attr", words.attr or ()),
    }
    return _said(
        {
            "name": words.name,
            "directory": words.directory,
            "environment": pairs("--env", words.env or (), take=_variable_from_here),
            "stdin_path": words.stdin,
            "stdout_path": words.stdout,
            "stderr_path": words.stderr,
            "launcher": words.launcher,
            "pre_launch": words.pre,
            "post_launch": words.post,
            "container": {"image": words.container} if words.container else None,
            "resources": _said(resources),
            "attributes": _said(attributes),
        }
    )


def spec_file(path: Path) -> dict[str, Any]:
    """The fields in a file of JSON or TOML.

    Raises:
        UsageError: if it cannot be read, or holds something else.
    """
    text = _text(path)
    try:
        content: object = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        kind = "TOML" if path.suffix == ".toml" else "JSON"
        raise UsageError(f"{path} is not {kind}: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JobSpec: its outermost value must be a table of fields")
    return content  # pyright: ignore[reportUnknownVariableType]


def pairs(
    option: str, given: Iterable[str], take: Callable[[str], str] | None = None
) -> dict[str, str] | None:
    """``NAME=VALUE`` words as a mapping.

    Args:
        option: For messages.
        given: The words.
        take: Gives the value of a name that stands alone, where that has a meaning.

    Raises:
        UsageError: for a word without a value.
    """
    result: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not (equals or take):
            raise UsageError(f"{option} {each}: write NAME=VALUE")
        result[name] = value if equals or take is None else take(name)
    return result or None


def amount(option: str, read: Callable[[str], T], text: str | None) -> T | None:
    """A time or size of an option, if it was given.

    Raises:
        UsageError: naming the option.
    """
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def _variable_from_here(name: str) -> str:
    if name not in os.environ:
        raise UsageError(f"--env {name}: there is no such variable here; write {name}=VALUE")
    return os.environ[name]


def _script_text(path: Path) -> str:
    return sys.stdin.read() if str(path) == "-" else _text(path)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not a text") from None


def _said(words: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None and value != {}}
