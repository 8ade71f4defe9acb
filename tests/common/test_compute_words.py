"""Globus Compute: what travels to an endpoint, what comes back, and what becomes of answers that are none."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iri_common import FunctionCall, ShellCall, ShellResult
from iri_common.apis.globus import GlobusClient, GlobusCompute, formats
from iri_common.apis.globus.compute import task_of
from iri_common.apis.globus.credentials import given_token
from iri_common.apis.globus.formats import NotPlain
from iri_common.facility.compute import EndpointSettings
from iri_common.jobside.calls import Told, told
from iri_common.model.compute import ComputeState, ComputeTask, TaskRequest
from iri_common.model.errors import IriError, ReplyError, UsageError
from iri_common.policy.retry import Limits

ENDPOINT = "5d10b2ef-6a5c-4a5b-9d2c-0f3c6a3b1a11"
PLAIN = {"iri": 1, "value": [1, 2.5, None, True, "é", {"a": [10**20, -3, b"x", (1,)]}]}

# Written by globus-compute-sdk 4.19.0 with dill 0.3.9.
DILL = (
    "00\ngASVTgAAAAAAAAB9lCiMA2lyaZRLAYwFdmFsdWWUXZQoSwFHQAQAAAAAAABOiIwCw6mUfZSMAWGU\n"
    "XZQoigkAABBjLV7HawVK/f///0MBeJRLAYWUZXNldS4=\n"
)
COMPLEX = (
    "00\ngASVQQAAAAAAAACMCmRpbGwuX2RpbGyUjApfbG9hZF90eXBllJOUjAdjb21wbGV4lIWUUpRHAAAA\n"
    "AAAAAABHP/AAAAAAAACGlFKULg==\n"
)
SEVERAL = '13\n13\n11\n{"a": [1]}36\n00\ngASVDQAAAAAAAAB9lIwBYZRdlEsBYXMu\n'
ONE_OF_SEVERAL = "13\n48\n00\ngASVFQAAAAAAAAB9lCiMAWGUSwGFlIwBYpRDAXiUdS4=\n"
ARGUMENTS = '16\n11\n[1, "\\u00e4"]13\n11\n{"k": [2]}'
FUNCTION = "24\nst\nf:def f(x): return x\n"


def test_functions_and_arguments_are_written_as_the_sdk_does() -> None:
    assert formats.function("f", "def f(x): return x\n") == FUNCTION
    assert formats.arguments((1, "ä"), {"k": [2]}) == ARGUMENTS


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('11\n{"a": [1]}', {"a": [1]}),
        (DILL, PLAIN),
        (SEVERAL, {"a": [1]}),
        (ONE_OF_SEVERAL, {"a": (1,), "b": b"x"}),
    ],
)
def test_plain_results_of_the_sdk_are_read(text: str, value: Any) -> None:
    assert formats.result(text) == value


class Evil:
    """Unpickled, it would say so."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a result has run code",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_result_runs_code(protocol: int) -> None:
    for value in (Evil(), [Evil()], {"iri": 1, "value": Evil()}, print, 1j, ValueError("x")):
        packed = formats.PICKLED + base64.encodebytes(pickle.dumps(value, protocol)).decode()
        with pytest.raises(NotPlain):
            formats.result(packed)
        with pytest.raises(NotPlain):
            formats.result(formats.SEVERAL + formats.packed([packed]))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "11\n{",
        "99\n1",
        "10000",
        COMPLEX,
        "00\n!",
        "00\n" + base64.b64encode(b"\x80\x04\x96\xff\xff\xff\xff\xff\x00\x00\x00.").decode(),
        "00\n" + base64.b64encode(b"0.").decode(),
        "13\nx",
        "13\n-5\nabc",
        "13\n0\n0\n",
        "11\n" + "[" * 100_000,
    ],
)
def test_what_is_no_plain_result_is_said(wrong: str) -> None:
    with pytest.raises(NotPlain):
        formats.result(wrong)


def test_no_result_makes_room_for_what_it_does_not_bring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle, "loads", lambda _: pytest.fail("it was read"))
    for note in (b"r\xff\xff\xff\x7f", b"p2147483647\n"):  # a memo of two thousand million places
        with pytest.raises(NotPlain):
            formats.result("00\n" + base64.b64encode(b"N" + note + b".").decode())


@given(
    st.text(max_size=60), st.binary(max_size=60), st.sampled_from(["", "11\n", "00\n", "13\n", "13\n9\n00\n"])
)
def test_every_result_is_read_or_is_none(text: str, data: bytes, header: str) -> None:
    for body in (text, base64.b64encode(data).decode()):
        with contextlib.suppress(NotPlain):
            formats.result(header + body)


# ---------------------------------------------------------------------------------------- calls


def adds(a: int, b: int = 1, *, c: list[Any] | None = None) -> int:
    import math

    def inner(x: int) -> int:
        return x + math.floor(b) + len(c or [])

    return inner(a)


FACTOR = 2


def uses() -> int:
    return FACTOR * 2


def test_a_function_travels_as_its_source() -> None:
    call = FunctionCall.of(adds, 3, c=[1])
    assert (call.name, call.args, call.kwargs) == ("adds", (3,), {"c": [1]})
    assert call.source.startswith("def adds(a: int")

    def nested() -> int:
        return 7

    assert FunctionCall.of(nested).source == "def nested() -> int:\n    return 7\n"


async def waits() -> None: ...


def closing(word: str) -> Any:
    def closed() -> str:
        return word

    return closed


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (uses, "uses FACTOR"),
        (closing("x"), "uses word"),
        (waits, "coroutine"),
        (lambda: 1, "no function with a name"),
        (print, "no function with a name"),
        (contextlib.contextmanager(closing), "decorated|cannot be read|around it|its source"),
    ],
)
def test_what_would_not_run_elsewhere_is_refused(wrong: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FunctionCall.of(wrong)


def test_calls_that_make_no_sense_are_refused() -> None:
    for made, words in (
        (lambda: ShellCall(" "), "needs a command"),
        (lambda: ShellCall("x\0"), "NUL"),
        (lambda: ShellCall("x", seconds=0), "some seconds"),
        (lambda: ShellCall("x", seconds=float("nan")), "some seconds"),
        (lambda: ShellCall("x", environment={"A=B": "c"}), "no name of a variable"),
        (FunctionCall, "a source, or"),
        (lambda: FunctionCall("f", "def f(): 1", registered="id"), "a source, or"),
        (lambda: FunctionCall("1f", "def f(): 1"), "no name of a function"),
        (lambda: EndpointSettings("polaris"), "UUID"),
        (lambda: EndpointSettings(ENDPOINT, root="here"), "absolute"),
        (lambda: EndpointSettings(ENDPOINT, {"x": object()}), "plain JSON"),
    ):
        with pytest.raises(UsageError, match=words):
            made()
    assert ShellCall(["echo", "a b"]).line == "echo 'a b'"


# ---------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("received", ComputeState.WAITING),
        ("waiting-for-nodes", ComputeState.WAITING),
        ("running", ComputeState.RUNNING),
        ("Execution-End", ComputeState.RUNNING),
        ("on fire", ComputeState.UNKNOWN),
    ],
)
def test_a_task_under_way_is_told_in_our_words(word: str, state: ComputeState) -> None:
    assert task_of("t", {"task_id": "t", "status": word}) == ComputeTask("t", state, word)
    assert not state.over


def test_a_task_that_is_over_is_told_in_our_words() -> None:
    done = {"task_id": "t", "status": "success"}
    assert task_of("t", {**done, "result": '11\n{"iri": 1, "value": [1]}'}).value == [1]
    assert task_of("t", {**done, "result": "11\n[2]"}).value == [2]
    left = task_of("t", {**done, "result": '11\n{"iri": 1, "double": "o"}'})
    assert (left.double_of, left.ok) == ("o", False)
    packed = task_of("t", {**done, "result": COMPLEX})
    assert (packed.packed, packed.ok) == (COMPLEX, True)
    with pytest.raises(ReplyError, match="more than plain data"):
        _ = packed.value
    failed = task_of("t", {**done, "status": "failed", "exception": "Traceback"})
    assert (failed.state, failed.trouble, failed.ok) == (ComputeState.FAILED, "Traceback", False)
    assert task_of("t", {**done, "status": "failed", "result": "words"}).trouble == "words"
    odd = task_of("t", {**done, "result": '11\n{"iri": 1}'})  # whoever waits for others hears nothing of it
    assert (odd.state, odd.trouble) == (
        ComputeState.FAILED,
        "a task returned something in our name that is not ours",
    )
    gone = task_of("t", {**done, "reason": "too late"})
    assert (gone.state, gone.trouble, gone.ok) == (ComputeState.DROPPED, "too late", False)


def test_what_a_command_did_is_told() -> None:
    words = {"exit_code": 0, "stdout": "a", "stderr": "b", "stdout_path": "/o", "stderr_path": "/e"}
    assert told({"iri": 1, "shell": words}) == Told(shell=ShellResult(0, "a", "b", "/o", "/e"))
    for ok, more in ((True, {}), (False, {"exit_code": 1}), (False, {"timed_out": True})):
        task = ComputeTask(
            "t", ComputeState.SUCCEEDED, shell=told({"iri": 1, "shell": {**words, **more}}).shell
        )
        assert task.ok is ok
    for wrong in ({}, {**words, "exit_code": None}, {**words, "stdout": 1}):
        with pytest.raises(ReplyError):
            told({"iri": 1, "shell": wrong})
    with pytest.raises(ReplyError):
        told({"iri": 1})


class Reply:
    """A reply of the SDK, whatever it holds."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]


class Sdk:
    """Both clients of the SDK: every call is answered alike."""

    base_url = "https://compute.api.globus.org/"

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    @property
    def v2(self) -> Sdk:
        return self

    v3 = v2

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **words: Reply(self._answer)


class Always(dict[str, Any]):
    """Every service has this client, and a token that nobody looks at."""

    def __init__(self, sdk: Sdk) -> None:
        super().__init__()
        self._sdk = sdk

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> tuple[Sdk, Any]:
        return self._sdk, type("Bearer", (), {"used": ""})()


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["success", "failed"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RESULT = st.sampled_from([DILL, COMPLEX, '11\n{"iri": 1}', '11\n{"iri": 1, "shell": {}}', "11\n1"])
TASK = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("task_id", "status", "result", "exception", "reason"), JUNK | RESULT)
)
ANSWER = JUNK | st.fixed_dictionaries(
    {},
    optional={
        "results": JUNK | st.dictionaries(st.sampled_from(["r", "s"]), JUNK | TASK),
        "tasks": JUNK | st.dictionaries(st.just("f"), JUNK | st.lists(st.text(max_size=3), max_size=2)),
        "function_uuid": JUNK,
        "uuid": JUNK,
        "status": JUNK,
        "details": JUNK,
        "high_assurance": JUNK,
    },
)


def answering(answer: Any) -> GlobusCompute:
    """The service, which answers everything alike."""
    client = GlobusClient(given_token("x"), limits=Limits(attempts=1))
    client._clients = Always(Sdk(answer))  # type: ignore[assignment]
    return GlobusCompute(client)


@given(ANSWER | st.lists(ANSWER, max_size=2))
@settings(max_examples=150)
def test_every_answer_ends_in_words_or_an_error_of_ours(answer: Any) -> None:
    async def ask() -> None:
        compute = answering(answer)
        for call in (
            lambda: compute.endpoints(all_visible=True),
            lambda: compute.endpoint(ENDPOINT),
            lambda: compute.submit(TaskRequest(ENDPOINT, "f")),
            lambda: compute.submit(TaskRequest(ENDPOINT, None)),
            lambda: compute.tasks(["r", "s"]),
            compute.origin,
        ):
            with contextlib.suppress(IriError):
                await call()

    asyncio.run(ask())


@given(JUNK | TASK)
def test_a_task_that_is_told_oddly_hides_no_other(odd: Any) -> None:
    answer = {"results": {"r": odd, "s": {"task_id": "s", "status": "success", "result": "11\n[2]"}}}
    told = asyncio.run(answering(answer).tasks(["r", "s"])).value
    assert told["s"].value == [2]
    assert "r" not in told or told["r"].task_id == "r"


@pytest.mark.parametrize("odd", [{"task_id": "t"}, {"status": None, "result": "11\n[2]"}, "success", [1]])
def test_a_task_of_no_status_is_unknown_and_no_end(odd: Any) -> None:
    task = task_of("t", odd)
    assert (task.state, task.trouble) == (ComputeState.UNKNOWN, "the service tells no status of it")
    assert not task.ok
