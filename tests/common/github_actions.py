"""A runner of GitHub Actions, as far as ``action.yml`` and the example workflow need one.

Steps run in bash as the runner runs them, with its files in the environment; signals go to the step's own
process and to no other (actions/runner, ``ProcessInvoker.CancelAndKillProcessTree``).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
LIMIT = 60.0  # seconds of one step

# ---------------------------------------------------------------------------------------- expressions

_TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([A-Za-z_][\w.-]*)|(&&|\|\||==|!=|[!(),])|(\d+))")


def evaluated(text: object, contexts: Mapping[str, Any]) -> str:
    """A text with every ``${{ }}`` in it replaced."""
    return re.sub(r"\$\{\{(.*?)\}\}", lambda found: _text(value_of(found[1], contexts)), str(text))


def value_of(expression: str, contexts: Mapping[str, Any]) -> Any:
    """The value of one expression: operators, strings, contexts, ``toJSON`` and the status functions."""
    tokens = [found for found in _TOKEN.findall(expression.strip()) if any(found)]
    value, rest = _either(tokens, contexts)
    assert not rest, f"not understood in {expression!r}: {rest}"
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _either(tokens, contexts):
    value, tokens = _both(tokens, contexts)
    while tokens and tokens[0][2] == "||":
        other, tokens = _both(tokens[1:], contexts)
        value = value or other
    return value, tokens


def _both(tokens, contexts):
    value, tokens = _compared(tokens, contexts)
    while tokens and tokens[0][2] == "&&":
        other, tokens = _compared(tokens[1:], contexts)
        value = value and other
    return value, tokens


def _compared(tokens, contexts):
    value, tokens = _single(tokens, contexts)
    if tokens and tokens[0][2] in ("==", "!="):
        same = tokens[0][2] == "=="
        other, tokens = _single(tokens[1:], contexts)
        value = (_text(value) == _text(other)) is same
    return value, tokens


def _single(tokens, contexts):
    (quoted, name, sign, number), rest = tokens[0], tokens[1:]
    if quoted:
        return quoted[1:-1].replace("''", "'"), rest
    if number:
        return int(number), rest
    if sign == "!":
        value, rest = _single(rest, contexts)
        return not value, rest
    if sign == "(":
        value, rest = _either(rest, contexts)
        return value, rest[1:]
    if rest and rest[0][2] == "(":
        if rest[1][2] == ")":
            return contexts["status"] == {"cancelled": "cancelled", "success": "success"}[name], rest[2:]
        assert name == "toJSON", name
        value, rest = _either(rest[1:], contexts)
        return json.dumps(value, indent=2), rest[1:]
    value: Any = contexts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value, rest


# --------------------------------------------------------------------------------------------- a step


@dataclass
class Done:
    """What a step, or all steps of the action, left behind."""

    code: int
    log: str
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    def commands(self, name: str) -> list[str]:
        """Texts of the workflow commands of one name that the runner obeys."""
        found, stopped = [], None
        for line in self.log.splitlines():
            if stopped:
                stopped = None if line == f"::{stopped}::" else stopped
            elif command := re.fullmatch(r"::([\w-]+)(?: ([^:]*))?::(.*)", line):
                if command[1] == "stop-commands":
                    stopped = command[3]
                elif command[1] == name:
                    found.append(re.sub(r"%(25|0A|0D)", lambda code: chr(int(code[1], 16)), command[3]))
        assert stopped is None, "commands stay stopped"
        return found

    @property
    def visible(self) -> str:
        """The log as people see it: what is masked is hidden, commands that mask are not shown."""
        text = "\n".join(line for line in self.log.splitlines() if not line.startswith("::add-mask::"))
        for secret in self.commands("add-mask"):
            text = text.replace(secret, "***")
        return text


def _pairs(path: Path) -> dict[str, str]:
    text, pairs = path.read_text(), {}
    while text:
        line, _, text = text.partition("\n")
        if found := re.fullmatch(r"([\w-]+)<<(.+)", line):
            value, end, text = text.partition(f"\n{found[2]}\n")
            assert end, f"{found[1]} has no end"
            pairs[found[1]] = value
        elif line:
            name, equals, value = line.partition("=")
            assert equals, line
            pairs[name] = value
    return pairs


During = Callable[[subprocess.Popen], None]


class Runner:
    """One machine that runs workflow jobs: its own home, its own temporary directory.

    Args:
        place: Where it may write.
        github: What the ``github`` context says of this run, beside the usual.
    """

    def __init__(self, place: Path, **github: str) -> None:
        self.place = place
        self.workspace = place / "workspace"
        self.temp = place / "temp"
        self.home = place / "home"
        for each in (self.workspace, self.temp, self.home):
            each.mkdir(parents=True)
        self.github = {
            "repository": "alice/tomography",
            "workflow": "From beamline to picture",
            "run_id": "4711",
            "run_attempt": "1",
            "job": "reconstruct",
            "action": "iri",
            **github,
        }
        self._count = 0
        self._install_iri()

    def _install_iri(self) -> None:
        # The action's own environment is there already, as after an earlier step of the same job: its `iri`
        # is the one under test. The install step finds it and needs no network.
        name = subprocess.run(
            ["cksum"], input=str(ROOT), capture_output=True, text=True, check=True
        ).stdout.split()[0]
        command = self.temp / f"iri-{name}" / "bin/iri"
        command.parent.mkdir(parents=True)
        command.write_text(
            f'#!/bin/sh\nexec {sys.executable} -c "from iri_common.cli.entry import main; main()" "$@"\n'
        )
        command.chmod(0o755)

    def bash(self, script: str, env: Mapping[str, str], during: During | None = None) -> Done:
        """Run one step's lines."""
        self._count += 1
        file = self.temp / f"step-{self._count}.sh"
        file.write_text(script)
        files = {name: self.temp / f"{name}-{self._count}" for name in ("output", "env", "step_summary")}
        for each in files.values():
            each.touch()
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)],
            cwd=self.workspace,
            env={
                **self._environment(),
                **{f"GITHUB_{name.upper()}": str(path) for name, path in files.items()},
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        lines: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        try:
            if during:
                during(process)
            code = process.wait(LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            reader.join(LIMIT)
            process.stdout.close()
        return Done(code, "".join(lines), _pairs(files["output"]), files["step_summary"].read_text())

    def _environment(self) -> dict[str, str]:
        # Nothing of the person who runs the tests but what finds programs and keeps to this machine.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"  # as setup-python leaves it
        return {
            **kept,
            "HOME": str(self.home),
            "CI": "true",
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ACTION_PATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
            **{f"GITHUB_{name.upper()}": value for name, value in self.github.items()},
        }

    # ------------------------------------------------------------------------------------ the action

    def action(
        self,
        given: Mapping[str, object],
        *,
        matrix: Mapping[str, object] | None = None,
        during: During | None = None,
        then: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run the steps of ``action.yml``.

        Args:
            given: Below ``with``.
            matrix: The leg of this job.
            during: Called with the process of the step ``run``.
            then: The status of the workflow job after that step, where it is not the step's own: "cancelled",
                or "shut down" for a runner that runs nothing more.
            env: Environment of the workflow.
        """
        contexts: dict[str, Any] = {"github": self.github, "matrix": matrix, "steps": {}, "status": "success"}
        assert set(given) <= set(ACTION["inputs"]), "not an input"
        contexts["inputs"] = {
            name: _text(given[name]) if name in given else evaluated(words.get("default", ""), contexts)
            for name, words in ACTION["inputs"].items()
        }
        logs, summaries, code = [], [], 0
        for step in ACTION["runs"]["steps"]:
            condition = str(step.get("if", "success()")).removeprefix("${{").removesuffix("}}")
            if contexts["status"] == "shut down" or not value_of(condition, contexts):
                continue
            assert step["shell"] == "bash"
            assert "${{" not in step["run"], "an input could end the line it stands in"
            own = {name: evaluated(text, contexts) for name, text in step.get("env", {}).items()}
            here = step.get("id") == "run"
            done = self.bash(step["run"], {**(env or {}), **own}, during if here else None)
            logs.append(done.log)
            summaries.append(done.summary)
            contexts["steps"][step.get("id", "")] = {"outputs": done.outputs}
            code = code or done.code
            if code:
                contexts["status"] = "failure"
            if here and then:
                contexts["status"] = then
        outputs = {name: evaluated(each["value"], contexts) for name, each in ACTION["outputs"].items()}
        return Done(code, "".join(logs), outputs, "".join(summaries))


def after(condition: Callable[[], bool], *signals: int, group: bool = False) -> During:
    """Wait for something, then signal the step's process as the runner does, or kill the whole machine."""

    def during(process: subprocess.Popen) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert process.poll() is None, "the step ended before"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for number in signals:
            if group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    return during


def lost(machine: Runner) -> None:
    """Nothing of it is left."""
    shutil.rmtree(machine.place)
