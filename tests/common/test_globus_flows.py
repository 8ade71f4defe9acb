"""Globus Flows: what its documents mean, and what becomes of answers that are none."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iri_common.apis.globus import GlobusClient, GlobusFlows, answers
from iri_common.apis.globus.credentials import given_token
from iri_common.apis.globus.flows import run_of
from iri_common.apis.globus.rules import Needs, flow_scope, transfer_scope, wanted_scope
from iri_common.model.errors import IriError, ReplyError
from iri_common.model.flows import FlowRun, RunRequest, RunState
from iri_common.model.key import JobKey
from iri_common.policy.globus_tasks import LONGEST_RUN_LABEL, run_label
from iri_common.policy.retry import Limits

FLOW = "24bc4997-b483-4c25-a19c-64b0afc00743"
COLLECTION = "7e1b8ec7-a606-4c23-96c7-a2d930a3a55f"
DOCUMENT = {"run_id": "r", "flow_id": FLOW, "status": "ACTIVE", "details": None, "label": None}


@pytest.mark.parametrize("state", RunState)
def test_a_run_is_told_in_our_words(state: RunState) -> None:
    details = {"code": "C", "description": "D", "output": {"x": 1}}
    words = {**DOCUMENT, "status": str(state), "details": details, "label": "L"}
    assert run_of(words) == FlowRun("r", FLOW, state, "L", "C", "D", {"x": 1})
    assert state.over is (state not in {RunState.ACTIVE, RunState.INACTIVE, RunState.UNKNOWN})


@pytest.mark.parametrize("status", ["RESTING", [], None])
def test_a_status_that_is_not_known_ends_no_run_and_is_logged_once(
    status: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_strange", set())
    states = {run_of({**DOCUMENT, "status": status}).state for _ in range(3)}
    assert states == {RunState.UNKNOWN}
    assert [repr(str(status)) in each.getMessage() for each in caplog.records] == [True]


@pytest.mark.parametrize("wrong", [{"run_id": 7}, {"flow_id": ""}, {"run_id": None}])
def test_what_is_no_run_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(ReplyError, match="without an id"):
        run_of({**DOCUMENT, **wrong})


@given(st.text(max_size=200), st.integers(1, 10**9))
def test_labels_fit_and_carry_the_key(name: str, generation: int) -> None:
    key = JobKey.of("x", generation=generation)
    label = run_label(key, name)
    assert len(label) <= LONGEST_RUN_LABEL
    assert key.names(label)
    assert " ".join(label.split()) == label  # else the service would have another one


def test_the_command_keeps_a_scope_whole() -> None:
    below = f"{flow_scope(FLOW)}[{transfer_scope([COLLECTION])}]"
    assert Needs([below]).command() == f"iri globus login --scope '{below}'"
    assert Needs([transfer_scope([COLLECTION])]).command() == f"iri globus login --collection {COLLECTION}"
    assert wanted_scope(f"This action requires the following scope: {below}") == below
    assert wanted_scope("no scope is named") is None


class Reply:
    """A reply of the SDK, whatever it holds."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


class Sdk:
    """Both clients of the SDK: every call is answered alike."""

    base_url = "https://flows.automate.globus.org/"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **words: Reply(self._answer)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*RunState]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("run_id", "flow_id", "status", "details", "label", "code", "description", "required_scope", "time")
ROW = st.dictionaries(st.sampled_from(NAMES), JUNK)
RUN = st.tuples(ROW, st.sampled_from([*RunState]), ROW).map(
    lambda each: {**each[0], "run_id": "r", "status": str(each[1]), "details": each[2]}
)
ANSWER = (
    JUNK
    | ROW
    | RUN
    | st.fixed_dictionaries({}, optional={"runs": JUNK, "entries": JUNK})
    | st.builds(lambda rows: {"runs": rows, "entries": rows}, st.lists(ROW | RUN, max_size=3))
)


@given(ANSWER)
@settings(max_examples=150)
def test_every_answer_ends_in_words_or_an_error_of_ours(answer: Any) -> None:
    async def ask() -> None:
        client = GlobusClient(given_token("x"), limits=Limits(attempts=1))
        flows = GlobusFlows(client)
        sdk = Sdk(answer)
        client._clients = _Always(sdk)  # type: ignore[assignment]
        run = FlowRun("r", FLOW, RunState.INACTIVE)
        for call in (
            lambda: flows.start(RunRequest(FLOW, {}, "l")),
            lambda: flows.find(FLOW, "l"),
            lambda: flows.runs(["r", "s"]),
            lambda: flows.log("r", 10),
            lambda: flows.resume(run),
            lambda: flows.cancel("r"),
            lambda: flows.release("r"),
            flows.origin,
        ):
            with contextlib.suppress(IriError):
                await call()

    asyncio.run(ask())


class _Always(dict[str, Any]):
    """Every service has this client, and a token that nobody looks at."""

    def __init__(self, sdk: Sdk) -> None:
        super().__init__()
        self._sdk = sdk

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> tuple[Sdk, Any]:
        return self._sdk, type("Bearer", (), {"used": ""})()
