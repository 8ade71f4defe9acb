"""What a step of GitHub Actions tells of its job: outputs, marks in the log, a summary on the run's page."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from iri_common.cli import github_runner as runner
from iri_common.cli.speak import Screen, elapsed

LINES_IN_SUMMARY = 64 * 1024  # characters; a step's summary may have 1 MiB


class RunnerScreen(Screen):
    """Words go to the log of the step; the document is kept, for outputs and summary."""

    def __init__(self) -> None:
        super().__init__(as_json=True)
        self.kept: dict[str, Any] = {}
        self.seen: dict[str, float] = {}

    def change(self, state: str, detail: str) -> None:
        """A job's new state, and when it was seen."""
        self.seen.setdefault(state, time.monotonic())
        super().change(state, detail)

    def document(self, content: Mapping[str, Any] | Sequence[Any]) -> None:
        """Keep it."""
        self.kept = dict(content) if isinstance(content, Mapping) else {}


@dataclass(slots=True)
class Report:
    """What a step tells of its job.

    Attributes:
        told: The document of ``iri run``.
        key: Who asked.
        seen: When each state was first seen.
        door: The options that lead ``iri`` to the facility.
    """

    told: Mapping[str, Any]
    key: str
    seen: Mapping[str, float] = field(default_factory=dict[str, float])
    door: str = ""

    @property
    def job(self) -> str:
        """The job for a title."""
        return f"job {self.told['job_id']}" if self.told.get("job_id") else "the job"

    def outputs(self) -> dict[str, str]:
        """The outputs of the step."""
        named = {"job": "ref", "job-id": "job_id", "state": "state", "exit-code": "exit_code"}
        values = {name: self.told.get(word) for name, word in named.items()}
        return {"key": self.key, **{name: "" if each is None else str(each) for name, each in values.items()}}

    def outcome(self) -> str:
        """How it went, in one line."""
        state = self.told.get("state")
        if error := self.told.get("error"):
            return str(error["message"])
        if self.told.get("interrupted"):
            return "the step was stopped; it does not touch the job"
        code = self.told.get("exit_code")
        words = [str(state or "nothing is known"), f"exit code {code}" if code is not None else ""]
        message = self.told.get("message") or ""
        if str(message).casefold() not in ", ".join(words):
            words.append(str(message))
        return ", ".join(word for word in words if word)

    def advice(self) -> str:
        """What to do about it."""
        error: Mapping[str, Any] = self.told.get("error") or {}
        if error.get("kind") == "SubmitUncertain":
            return "Re-run this job: one that has arrived is found, not repeated."
        if self.told.get("state") in {"failed", "canceled"}:
            again = "Re-run the failed jobs to run it once more."
            sense = self.told.get("retry_sensible")
            if sense is None:
                return again
            return f"{again} The reason {'passes by itself' if sense else 'stays until it is mended'}."
        return "Re-run this job: it goes on with the job that is there." if self.told.get("ref") else ""

    def show(self, code: int) -> None:
        """In the log: the job's last lines, folded, and a mark on the run's page where a person must look."""
        for stream in ("stdout", "stderr"):
            if text := str(self.told.get(stream) or ""):
                with runner.group(f"Last lines of {stream}"):
                    print(runner.plain(text).rstrip("\n"))
        if self.told.get("step") == "attach":
            runner.say("notice", f"{self.job} was asked for before; this run went on with it", title="iri")
        if code:
            mark = "warning" if self.told.get("interrupted") else "error"
            where = f": {self.job} at {self.told['facility']}" if self.told.get("facility") else ""
            runner.say(mark, f"{self.outcome()}. {self.advice()}".strip(), title=f"iri{where}")

    def markdown(self) -> str:
        """The step's summary."""
        told = self.told
        sign = "✅" if told.get("ok") else "❌"
        rows = {
            "Facility": _code(told.get("facility")),
            "Resource": _code(told.get("resource") or told.get("resource_id")),
            "State": runner.code(self.outcome()),
            "Asked": {"attach": "before; this run goes on with that job"}.get(str(told.get("step")), ""),
            "Generation": _code(told.get("generation")),
            **self._times(),
            "Key": runner.code(self.key),
        }
        parts = [f"### {sign} {self.job.capitalize()}", runner.table(rows)]
        if told.get("ref"):
            line = f"iri wait {self.door} {shlex.quote(str(told['ref']))}"
            parts.append(f"Come back to it from anywhere:\n\n{runner.fenced(line)}")
        for stream in ("stdout", "stderr"):
            if text := str(told.get(stream) or "").strip():
                cut = runner.fenced(text[-LINES_IN_SUMMARY:])
                parts.append(f"<details><summary>Last lines of {stream}</summary>\n\n{cut}\n\n</details>")
        return "\n\n".join(parts)

    def _times(self) -> dict[str, str]:
        """How long it waited and ran, as far as this step saw it."""
        if not self.seen:
            return {}
        first, last, active = min(self.seen.values()), max(self.seen.values()), self.seen.get("active")
        if active is None or self.told.get("step") == "attach":
            return {"Took": elapsed(last - first)}
        return {"Waited": elapsed(active - first), "Ran": elapsed(last - active)}


def _code(value: object) -> str:
    return runner.code(str(value)) if value is not None else ""
