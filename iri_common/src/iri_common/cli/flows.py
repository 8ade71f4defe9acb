"""What the commands under ``iri flow`` do."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iri_common.cli.asking import key_of
from iri_common.cli.exits import Exit
from iri_common.cli.flow_app import FlowWords
from iri_common.cli.jobspec import amount, pairs
from iri_common.cli.leasing import told
from iri_common.cli.speak import Screen
from iri_common.facility.flows import Flows
from iri_common.jobside.amounts import seconds_of
from iri_common.model.counts import many
from iri_common.model.errors import UsageError
from iri_common.model.flows import FlowRun, RunState
from iri_common.model.key import JobKey
from iri_common.policy.globus_tasks import run_label

DONE = {"resume": "it goes on", "cancel": "cancelled", "release": "forgotten"}
CANCELED = "FlowCanceled"


def start(screen: Screen, flow: str, words: FlowWords, timeout: str | None) -> int:
    """Start a flow, and if that was asked for wait for its end."""
    limit = amount("--timeout", seconds_of, timeout)
    if limit is not None and not words.wait:
        raise UsageError("--timeout goes with --wait: to start a flow is not waited for")
    body, key = _body(words), key_of(words.key) if words.key else JobKey.random()
    if words.dry_run:
        return _previewed(screen, flow, body, key, words)
    flows = Flows()
    run_id = flows.start(flow, body, key=key, label=words.label, tags=words.tag or ())
    if words.wait:
        screen.say(f"run {run_id}: asked for", "dim")
        return _wait(screen, flows, [run_id], limit)
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "run_id": run_id, "flow_id": flow, "key": key.identity})
    else:
        screen.result(run_id)
    return Exit.OK


def wait(screen: Screen, runs: Sequence[str], timeout: str | None) -> int:
    """Wait for runs, one after the other."""
    return _wait(screen, Flows(), runs, amount("--timeout", seconds_of, timeout))


def _wait(screen: Screen, flows: Flows, runs: Sequence[str], limit: float | None) -> int:
    ended: list[FlowRun] = []

    def document() -> dict[str, Any]:
        left = [each for each in runs if each not in {run.run_id for run in ended}]
        return {"runs": [run_words(each) for each in ended], "left": left}

    def tell(run: FlowRun) -> None:
        state = run.state.lower()
        screen.change(state, f"{state}{_why(run)}  (run {run.run_id})")

    def work() -> int:
        for each in runs:
            ended.append(flows.wait(each, timeout=limit, on_change=tell))
        code = next((exit_of(each) for each in ended if exit_of(each)), Exit.OK)
        if screen.as_json:
            screen.document({"ok": code is Exit.OK, "exit": int(code), **document()})
        else:
            screen.result("".join(f"{_text(each.output)}\n" for each in ended if each.output is not None))
        return code

    return told(screen, document, f"iri flow wait {' '.join(runs)}", work)


def exit_of(run: FlowRun) -> Exit:
    """The code of a run's end."""
    if run.state is RunState.SUCCEEDED:
        return Exit.OK
    return Exit.JOB_CANCELED if run.code == CANCELED else Exit.JOB_FAILED


def show(screen: Screen, run_id: str) -> int:
    """How a run stands."""
    run = Flows().status(run_id)
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, **run_words(run)})
        return Exit.OK
    facts = [("run", run.run_id), ("flow", run.flow_id), ("label", run.label)]
    facts += [("state", f"{run.state.lower()}{_why(run)}"), ("to do", run.remedy)]
    screen.facts([each for each in facts if each[1]])
    if run.output is not None:
        screen.heading("Output")
        screen.code(_text(run.output), "json")
    return Exit.OK


def listed(screen: Screen) -> int:
    """The runs on record here."""
    flows = Flows()
    refs = flows.mine()
    found = flows.statuses([each.job_id or "" for each in refs])
    rows = [(each.key.identity, run) for each in refs if (run := found.get(each.job_id or ""))]
    if screen.as_json:
        documents = [{"key": key, **run_words(run)} for key, run in rows]
        screen.document({"ok": True, "exit": 0, "runs": documents})
        return Exit.OK
    if rows:
        cells = [(run.state.lower(), run.run_id, key) for key, run in rows]
        screen.table(("STATE", "RUN", "KEY"), cells, states=("STATE",), whole=("RUN",))
    hidden = len(refs) - len(rows)
    if hidden or not rows:
        rest = f" ({hidden} more that Globus has forgotten)" if hidden else ""
        screen.say(f"{many(len(rows) or 'No', 'run')} of flows on record here{rest}.", "dim")
    return Exit.OK


def log(screen: Screen, run_id: str, lines: int) -> int:
    """The newest lines of a run's log."""
    events = Flows().log(run_id, limit=lines)
    if screen.as_json:
        rows = [
            {"time": each.time, "code": each.code, "words": each.words, "details": dict(each.details)}
            for each in events
        ]
        screen.document({"ok": True, "exit": 0, "log": rows})
        return Exit.OK
    for each in events:
        screen.result(f"{each.time}  {each.code:<18} {each.words}".rstrip())
    return Exit.OK


def act(screen: Screen, what: str, runs: Sequence[str]) -> int:
    """Cancel, resume or release runs."""
    flows = Flows()
    acts = {"resume": flows.resume, "cancel": flows.cancel, "release": flows.release}
    for each in runs:
        seen = flows.status(each) if what == "cancel" else None
        if seen is not None and seen.state.over:  # Globus takes it all the same, and nothing comes of it
            screen.say(f"run {each}: it had {seen.state.lower()} before.")
            continue
        acts[what](each)
        screen.say(f"run {each}: {DONE[what]}.")
    if screen.as_json:
        screen.document({"ok": True, "exit": 0, "runs": list(runs)})
    return Exit.OK


def _body(words: FlowWords) -> Mapping[str, Any]:
    """The input of the flow: the file, and single words over it.

    Raises:
        UsageError: if it is no JSON object.
    """
    said = {name: _value(value) for name, value in (pairs("--set", words.setting or ()) or {}).items()}
    if words.body is None:
        return said
    try:
        text = sys.stdin.read() if words.body == "-" else Path(words.body).read_text()
        content: object = json.loads(text)
    except OSError as error:
        raise UsageError(f"{words.body} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{words.body} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{words.body} holds no input of a flow: its outermost value must be an object")
    return {**content, **said}  # pyright: ignore[reportUnknownVariableType]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _previewed(screen: Screen, flow: str, body: Mapping[str, Any], key: JobKey, words: FlowWords) -> int:
    # Globus' own SDK makes the request: where its service is and who asks is its affair.
    sent = {"body": dict(body), "tags": list(words.tag or ()), "label": run_label(key, words.label)}
    request = {"method": "POST", "path": f"/flows/{flow}/run", "body": sent}
    if screen.as_json:
        asked = {"flow_id": flow, "input": dict(body), "label": words.label, "tags": list(words.tag or ())}
        run = {**asked, "key": key.identity}
        screen.document({"ok": True, "exit": 0, "dry_run": True, "run": run, "request": request})
        return Exit.OK
    screen.heading("Run")
    facts = [("flow", flow), ("label", words.label), ("tags", ", ".join(words.tag or ()))]
    named = key.identity if words.key else "a new one for every run, as no --key was given"
    screen.facts([each for each in [*facts, ("key", named)] if each[1]])
    screen.heading("Request")
    screen.code(f"{request['method']} {request['path']}  (Globus Flows)\n")
    screen.code(_text(sent), "json")
    screen.say("Nothing was sent.", "dim")
    return Exit.OK


def _why(run: FlowRun) -> str:
    words = ": ".join(each for each in (run.code, run.words) if each)
    return f", {words}" if words else ""


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def run_words(run: FlowRun) -> dict[str, Any]:
    """A run, for a program."""
    return {
        "run_id": run.run_id,
        "flow_id": run.flow_id,
        "label": run.label,
        "state": run.state.lower(),
        "succeeded": run.state is RunState.SUCCEEDED if run.state.over else None,
        "code": run.code,
        "words": run.words,
        "wants": list(run.wants),
        "remedy": run.remedy,
        "output": run.output,
    }
