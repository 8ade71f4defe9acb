"""``iri github run`` and ``iri github cancel``: what the steps of ``action.yml`` do, told to GitHub's runner.

Inputs are read from ``INPUT_*``. The key is made of what stays the same when a workflow run is run again:
repository, workflow, run, job, matrix and step, not the attempt.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import typer

from iri_common.cli import running, tending
from iri_common.cli.github_report import Report, RunnerScreen
from iri_common.cli.github_runner import group, mask, output, say, summary
from iri_common.cli.guarded import ended
from iri_common.cli.options import AskWords, DoorWords, JobWords
from iri_common.cli.running import RunWords
from iri_common.model.errors import UsageError

TOKEN = "IRI_TOKEN"  # the variable of this process that holds the token of a door without a profile
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the workflow says with the action, as the environment holds it."""

    environ: Mapping[str, str]

    def text(self, name: str) -> str | None:
        """One input; None if it is empty."""
        return self.environ.get(f"INPUT_{name.upper().replace('-', '_')}", "").strip() or None

    def path(self, name: str) -> Path | None:
        """A file of the workspace."""
        text = self.text(name)
        return Path(text) if text else None

    def lines(self, name: str) -> list[str]:
        """An input of several lines, blank ones left out."""
        return [line.strip() for line in (self.text(name) or "").splitlines() if line.strip()]

    def number(self, name: str) -> int | None:
        """A whole number."""
        text = self.text(name)
        if text is not None and not (text.strip().isdecimal() and int(text) > 0):
            raise UsageError(f"the input {name} is a whole number, not {text!r}")
        return int(text) if text else None

    def yes(self, name: str, default: bool) -> bool:
        """``true`` or ``false``."""
        text = (self.text(name) or str(default)).strip().lower()
        if text not in {"true", "false"}:
            raise UsageError(f"the input {name} is true or false, not {text!r}")
        return text == "true"


def key_text(environ: Mapping[str, str]) -> str:
    """Who asks: the same in every attempt of a workflow run, and another for every leg of a matrix.

    Raises:
        UsageError: outside of a workflow run.
    """
    words = {name: environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY", "WORKFLOW", "RUN_ID", "JOB")}
    if missing := [f"GITHUB_{name}" for name, value in words.items() if not value]:
        raise UsageError(f"this is not a step of a GitHub workflow: {', '.join(missing)} is not set")
    step = environ.get("INPUT_STEP") or environ.get("GITHUB_ACTION") or "-"
    segments = ["github", *words.values(), matrix_text(environ.get("IRI_MATRIX", "")), step]
    return "/".join(quote(each, safe="") for each in segments)


def matrix_text(matrix: str) -> str:
    """The leg of a matrix in a form that its order and spacing do not change; "-" without a matrix."""
    try:
        values: Any = json.loads(matrix or "null")
    except ValueError:
        values = matrix
    if not isinstance(values, dict):
        return "-" if values is None else json.dumps(values)
    leg: dict[str, Any] = values  # pyright: ignore[reportUnknownVariableType]
    return ",".join(f"{_word(name)}={_word(leg[name])}" for name in sorted(leg)) or "-"


def _word(value: Any) -> str:
    bare = isinstance(value, str) and _PLAIN.fullmatch(value) and value not in {"true", "false", "null"}
    return str(value) if bare else json.dumps(value, sort_keys=True, separators=(",", ":"))


def door_words(inputs: Inputs, environ: MutableMapping[str, str]) -> DoorWords:
    """Which facility; puts the token where the command looks for it.

    Raises:
        UsageError: if neither facility nor url is said.
    """
    name, url, token = inputs.text("facility"), inputs.text("url"), inputs.text("token")
    if name is None and url is None:
        raise UsageError("say which facility: the input facility or url")
    if name is None:
        if token:
            environ[TOKEN] = token
        return DoorWords(url=url, token_env=TOKEN if token else None, json=True)
    prefix = f"IRI_FACILITY_{name.upper().replace('-', '_')}_"
    for word, value in (("URL", url), ("TOKEN", token)):
        if value:
            environ[prefix + word] = value
    return DoorWords(facility=name, json=True)


def job_words(inputs: Inputs) -> tuple[JobWords, list[str]]:
    """The job, and the command or the script's arguments.

    Raises:
        UsageError: unless there is one thing to run.
    """
    said = [name for name in ("command", "script", "spec") if inputs.text(name)]
    if not said or {"command", "script"} <= set(said):
        raise UsageError("say what to run: the input command, script or spec; one of command and script")
    if inputs.text("arguments") and not inputs.text("script"):
        raise UsageError("the input arguments goes with script")
    command = inputs.text("command")
    text = inputs.text
    words = JobWords(
        script=inputs.path("script"),
        spec=inputs.path("spec"),
        name=text("name"),
        directory=text("directory"),
        env=inputs.lines("env") or None,
        pre=text("pre"),
        launcher=text("launcher"),
        container=text("container"),
        resource=text("resource"),
        nodes=inputs.number("nodes"),
        processes=inputs.number("processes"),
        processes_per_node=inputs.number("processes-per-node"),
        cpus=inputs.number("cpus"),
        gpus=inputs.number("gpus"),
        memory=text("memory"),
        time=text("time"),
        queue=text("queue"),
        account=text("account"),
        reservation=text("reservation"),
        attr=inputs.lines("attributes") or None,
    )
    return words, ["/bin/sh", "-e", "-c", command] if command else inputs.lines("arguments")


def ask_words(inputs: Inputs, key: str) -> AskWords:
    """In whose name, and how hard to try."""
    return AskWords(
        key=key,
        again=inputs.yes("again", False),
        no_guard=not inputs.yes("guard", True),
        on_outage=inputs.text("on-outage"),
        outage_limit=inputs.text("outage-limit"),
    )


def run_words(inputs: Inputs) -> RunWords:
    """What happens beside asking."""
    return RunWords(
        timeout=inputs.text("timeout"),
        lines=inputs.number("lines") or 20,
        put=inputs.lines("put"),
        get=inputs.lines("get"),
    )


def run() -> int:
    """The step that runs the job; gives the exit code of ``iri run``."""

    def work(inputs: Inputs, key: str, screen: RunnerScreen) -> int:
        job, command = job_words(inputs)
        asking, beside = ask_words(inputs, key), run_words(inputs)
        return running.run(screen, door_words(inputs, os.environ), job, asking, beside, command)

    report, code = _told("Job", work)
    for name, value in report.outputs().items():
        output(name, value)
    report.show(code)
    summary(report.markdown())
    return code


def cancel() -> int:
    """The step for a workflow that is cancelled: whatever was asked for under its key does not run."""

    def work(inputs: Inputs, key: str, screen: RunnerScreen) -> int:
        return tending.cancel(screen, door_words(inputs, os.environ), (), key, inputs.text("resource"))

    report, code = _told("Cancel the job", work)
    if code:
        report.show(code)
    else:
        words = "the job was cancelled, as the workflow was"
        say("notice", words, title="iri")
        summary(f"{words.capitalize()}.")
    return code


def _told(title: str, work: Callable[[Inputs, str, RunnerScreen], int]) -> tuple[Report, int]:
    """Do it where the log takes it for no command; an error becomes part of the report."""
    inputs, screen = Inputs(dict(os.environ)), RunnerScreen()
    if token := inputs.text("token"):
        mask(token)
    key = ""

    def keyed() -> int:
        nonlocal key
        key = key_text(os.environ)
        return work(inputs, key, screen)

    with group(title):
        try:
            ended(screen, keyed)
        except typer.Exit as end:
            told = {**screen.kept, "resource": inputs.text("resource")}
            return Report(told, key, screen.seen, _way_back(inputs)), end.exit_code


def _way_back(inputs: Inputs) -> str:
    """The options by which a person comes to the same facility."""
    name, url = inputs.text("facility"), inputs.text("url")
    return (
        f"--facility {shlex.quote(name)}" if name else f"--url {shlex.quote(url or '')} --token-env {TOKEN}"
    )
