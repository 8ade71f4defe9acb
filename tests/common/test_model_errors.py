"""The exception tree as its docstring draws it, and what an error keeps on its way between processes."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from iri_common.model import errors
from iri_common.model.compute import ComputeState, ComputeTask
from iri_common.model.errors import (
    ComputeFailed,
    FlowFailed,
    GrantExceeded,
    IriError,
    JobFailed,
    JobLost,
    PathFailed,
    ReservationLost,
    StreamLost,
    SubmitUncertain,
    WaitTimeout,
)
from iri_common.model.facility import AllocationEntry, Availability, Resource
from iri_common.model.flows import FlowRun, RunState
from iri_common.model.job import JobStatus
from iri_common.model.key import JobKey
from iri_common.model.network import LeaseState, LeaseStatus, NetworkPath
from iri_common.model.ports import Token, WireRequest
from iri_common.model.ref import JobRef
from iri_common.model.state import JobState

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, IriError)
}
REF = JobRef("host", "iri", "r", JobKey.of("a"), "42", profile="here")
EXTRAS = {
    SubmitUncertain: {"key": JobKey.of("a", generation=3)},
    JobFailed: {
        "ref": REF,
        "job_status": JobStatus(JobState.FAILED, 7, meta={"node": "n1"}),
        "stderr_tail": "oops",
    },
    GrantExceeded: {"profile": "portal", "asked": "3 nodes", "allowed": "2 nodes at once"},
    JobLost: {"ref": REF},
    WaitTimeout: {"ref": REF},
    StreamLost: {"ref": REF},
    ReservationLost: {"ref": REF},
    PathFailed: {"path": NetworkPath(REF, LeaseStatus("42", LeaseState.FAILED))},
    ComputeFailed: {"task": ComputeTask("t", ComputeState.FAILED, trouble="Traceback")},
    FlowFailed: {"run": FlowRun("r", "f", RunState.FAILED, code="FlowCanceled")},
}


def drawn() -> dict[str, str | None]:
    """Class name to parent name, read from the drawing in the module's docstring."""
    parents: dict[str, str | None] = {"IriError": None}
    stack = ["IriError"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"((?:│   |    )*)[├└]── (\w+)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            parents[found[2]] = stack[depth - 1]
            stack[depth:] = [found[2]]
    return parents


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    assert {
        name: value.__bases__[0].__name__ for name, value in CLASSES.items() if value is not IriError
    } == {name: parent for name, parent in drawn().items() if parent}


def test_what_passes_by_itself_says_so() -> None:
    transient = {name for name, value in CLASSES.items() if value.transient}
    assert transient == {"TransientError", "RateLimited", "ResourceDown", "Unreachable", "WaitTimeout"}


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("again", [lambda each: pickle.loads(pickle.dumps(each)), copy.copy, copy.deepcopy])
def test_an_error_keeps_everything_when_it_is_pickled_or_copied(kind: type[IriError], again) -> None:
    context = {"facility": "here"}
    if "ref" not in EXTRAS.get(kind, {}):
        context |= {"operation": "launchJob", "request_id": "r-1", "status": 500, "outcome": "broken"}
    error = kind("it broke", **context, **EXTRAS.get(kind, {}))
    error.add_note("seen by the worker")
    twin = again(error)
    assert type(twin) is kind
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert str(twin) == str(error)


def test_an_error_says_where_it_happened() -> None:
    error = IriError("it broke", facility="nersc", operation="launchJob", request_id="r-1")
    assert str(error) == "it broke (operation launchJob at nersc request r-1)"
    assert str(IriError("it broke")) == "it broke"
    assert str(IriError("it broke", facility="nersc")) == "it broke (at nersc)"


def test_an_uncertain_submit_can_be_caught_as_an_ambiguous_reply() -> None:
    with pytest.raises(errors.AmbiguousReply) as caught:
        raise SubmitUncertain("?", key=JobKey("k"), operation="launchJob", status=503)
    assert (caught.value.operation, caught.value.status, caught.value.transient) == ("launchJob", 503, False)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_token_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Token("hunter2"), protocol)


def test_a_token_does_not_show_itself() -> None:
    token = Token("hunter2", 5.0)
    request = WireRequest(
        "POST", "https://h", {"authorization": "Bearer hunter2"}, form={"secret": "hunter2"}
    )
    for thing in (token, [token], {"t": token}, request):
        assert "hunter2" not in repr(thing) + str(thing) + f"{thing}"


@pytest.mark.parametrize("state", JobState)
def test_three_states_end_a_job_and_none_of_ours_does(state: JobState) -> None:
    assert state.terminal == (state.value in {"completed", "failed", "canceled"})


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("exit_code", [None, 0, 1, -9, 137])
def test_success_is_completed_and_exit_code_zero_where_one_is_known(
    state: JobState, exit_code: int | None
) -> None:
    status = JobStatus(state, exit_code)
    assert status.succeeded == (state.value == "completed" and exit_code in (None, 0))
    belied = state is JobState.COMPLETED and not status.succeeded
    assert status.reported is (JobState.FAILED if belied else state)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (JobStatus(JobState.ACTIVE), "active"),
        (JobStatus(JobState.FAILED, 1, "out of memory"), "failed, exit code 1: out of memory"),
        (JobStatus(JobState.UNKNOWN, raw_state="ZOMBIE"), "unknown state 'ZOMBIE'"),
    ],
)
def test_a_status_in_one_line(status: JobStatus, line: str) -> None:
    assert status.describe() == line


@pytest.mark.parametrize(
    ("resource", "compute", "filesystem"),
    [
        (Resource("1", type="compute"), True, False),
        (Resource("1", type="storage"), False, True),
        (Resource("1", type="urn:doe-iri:resource:compute:system"), True, False),
        (Resource("1", type="urn:doe-iri:resource:storage:mount"), False, True),
        (Resource("1", type="compute", endpoints=frozenset({"filesystem"})), False, True),
        (Resource("1"), False, False),
        (Resource("1", type="urn:doe-iri:resource:storage:object"), False, False),
    ],
)
def test_what_a_resource_offers(resource: Resource, compute: bool, filesystem: bool) -> None:
    assert (resource.offers("compute"), resource.offers("filesystem")) == (compute, filesystem)
    assert not resource.offers("network")


def test_a_resource_answers_to_its_id_and_to_its_name_in_any_case() -> None:
    named = Resource("55c1", name="Polaris")
    assert named.answers_to("55c1")
    assert named.answers_to("pOLARIS")
    assert not named.answers_to("55C1")
    assert not Resource("x").answers_to("")
    assert Resource("x").status is Availability.UNKNOWN


def test_what_is_left_of_an_allocation() -> None:
    assert AllocationEntry(10.0, 2.5, "u").left == 7.5
