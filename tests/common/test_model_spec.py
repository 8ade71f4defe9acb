"""JobSpec: what is refused, what is sent, what is the same ask."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.spec import Container, JobAttributes, JobSpec, ResourceSpec, VolumeMount
from iri_common.model.submission import Submission

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
texts = words.filter(bool)
names = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z")
maybe = st.none
specs = st.builds(
    JobSpec,
    executable=texts,
    arguments=st.lists(words, max_size=4),
    directory=maybe() | texts,
    stdout_path=maybe() | texts,
    inherit_environment=maybe() | st.booleans(),
    environment=st.dictionaries(names, words, max_size=4),
    container=maybe() | st.builds(Container, image=texts),
    resources=maybe() | st.builds(ResourceSpec, node_count=maybe() | st.integers(1, 10**9)),
    attributes=maybe()
    | st.builds(
        JobAttributes,
        duration=maybe() | st.integers(1, 10**9),
        custom_attributes=st.dictionaries(texts, words, max_size=3),
    ),
)

TEXTS = [
    "executable",
    "directory",
    "stdin_path",
    "stdout_path",
    "stderr_path",
    "pre_launch",
    "post_launch",
    "launcher",
    "name",
]
COUNTS = [
    "node_count",
    "process_count",
    "processes_per_node",
    "cpu_cores_per_process",
    "gpu_cores_per_process",
    "memory",
]


def refusal(**fields: object) -> str:
    with pytest.raises(UsageError) as caught:
        JobSpec(**{"executable": "/bin/true", **fields})
    return str(caught.value)


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", ["", "a\0b", 5, True, b"bytes", ["x"], 1.5, "\ud800"])
def test_a_text_is_a_text_that_is_not_empty(field: str, value: object) -> None:
    assert field in refusal(**{field: value})


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("value", [0, -1, True, False, "1", 1.0, 1.5, [1]])
def test_a_count_is_a_positive_int(field: str, value: object) -> None:
    assert field in refusal(resources={field: value})


@pytest.mark.parametrize("value", [0, -60, True, "60", 60.0, "1:00:00"])
def test_a_duration_is_a_positive_number_of_seconds(value: object) -> None:
    assert "duration" in refusal(attributes={"duration": value})


@pytest.mark.parametrize("value", [0, 1, "true", "no", "", []])
def test_a_switch_is_a_bool(value: object) -> None:
    assert "inherit_environment" in refusal(inherit_environment=value)
    assert "exclusive_node_use" in refusal(resources={"exclusive_node_use": value})
    mount = {"source": "/a", "target": "/b", "read_only": value}
    assert "read_only" in refusal(container={"image": "x", "volume_mounts": [mount]})


@pytest.mark.parametrize("value", ["-l", {"a", "b"}, {"a": 1}, (x for x in "ab"), 5, [1], [None], ["a\0"]])
def test_arguments_are_texts_in_an_order(value: object) -> None:
    assert "arguments" in refusal(arguments=value)


@pytest.mark.parametrize(
    "value",
    [
        {"A": 1},
        {"A": True},
        {"A": None},
        {"A": "x\0"},
        {"A=B": "x"},
        {"": "x"},
        {"1A": "x"},
        {"A\n": "x"},
        {"É": "x"},
        "A=B",
    ],
)
def test_an_environment_is_names_and_texts(value: object) -> None:
    assert "environment" in refusal(environment=value)


@pytest.mark.parametrize("value", ["a/b", "a\nb", "\x7f", "\t"])
def test_a_job_name_is_one_that_schedulers_take(value: str) -> None:
    assert "name" in refusal(name=value)


@pytest.mark.parametrize(
    ("fields", "stray", "known"),
    [
        ({"arguement": []}, "arguement", "arguments"),
        ({"attributes": {"durration": 5}}, "durration", "duration"),
        ({"resources": {"nodes": 5}}, "nodes", "node_count"),
        ({"container": {"image": "x", "mounts": []}}, "mounts", "volume_mounts"),
        (
            {"container": {"image": "x", "volume_mounts": [{"source": "a", "target": "b", "ro": True}]}},
            "ro",
            "read_only",
        ),
    ],
)
def test_an_unknown_field_is_refused_and_the_known_ones_are_named(fields, stray, known) -> None:
    message = refusal(**fields)
    assert f"{stray}: no such field" in message
    assert known in message


def test_a_refusal_names_every_wrong_field_at_once() -> None:
    message = refusal(directory="", name="a/b", stdout_path=3)
    assert all(word in message for word in ("directory", "name", "stdout_path"))


def test_a_refusal_does_not_repeat_values() -> None:
    assert "hunter2" not in refusal(environment={"TOKEN": b"hunter2"}, directory=["hunter2"])


@pytest.mark.parametrize(
    "value", [{1: "x"}, {"executable": "a", None: 1}, {"executable": "a", "attributes": {1: 2}}]
)
def test_fields_without_names_are_refused_in_words(value: dict) -> None:
    with pytest.raises(UsageError):
        JobSpec.of(value)


@pytest.mark.parametrize("value", [None, "/bin/true", ["/bin/true"], 5])
def test_only_a_spec_or_a_mapping_describes_a_job(value: object) -> None:
    with pytest.raises(UsageError, match="JobSpec or a mapping"):
        JobSpec.of(value)  # type: ignore[arg-type]


def test_a_spec_is_taken_as_it_is() -> None:
    spec = JobSpec(executable="/bin/true")
    assert JobSpec.of(spec) is spec
    assert JobSpec.of({"executable": "/bin/true"}) == spec


@given(specs)
def test_what_is_sent_builds_the_same_spec_again(spec: JobSpec) -> None:
    wire = json.loads(json.dumps(spec.sent()))
    assert JobSpec.of(wire).sent() == spec.sent()
    assert JobSpec.of(wire).digest() == spec.digest()
    assert pickle.loads(pickle.dumps(spec)) == spec


@given(specs)
def test_nothing_empty_is_sent_except_texts_that_a_user_gave(spec: JobSpec) -> None:
    sent = spec.sent()
    assert sent.get("environment", {}) == spec.environment
    assert sent.get("arguments", []) == list(spec.arguments)
    custom = spec.attributes.custom_attributes if spec.attributes else {}
    assert sent.get("attributes", {}).get("custom_attributes", {}) == custom
    free = {"environment", "arguments"}
    fields = [(name, value) for name, value in sent.items() if name not in free]
    while fields:
        name, value = fields.pop()
        assert value not in (None, "", [], {})
        if isinstance(value, dict) and name != "custom_attributes":
            fields += value.items()


def test_an_empty_variable_and_a_false_are_sent() -> None:
    spec = JobSpec(
        executable="x",
        arguments=["", "a"],
        environment={"EMPTY": ""},
        inherit_environment=False,
        resources=ResourceSpec(exclusive_node_use=False),
        attributes=JobAttributes(),
        container=Container(image="i"),
    )
    assert spec.sent() == {
        "executable": "x",
        "arguments": ["", "a"],
        "environment": {"EMPTY": ""},
        "inherit_environment": False,
        "resources": {"exclusive_node_use": False},
        "container": {"image": "i"},
    }


@given(st.dictionaries(names, words, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_digest_does_not_depend_on_the_order_of_keys(environment: dict[str, str], random) -> None:
    shuffled = list(environment.items())
    random.shuffle(shuffled)
    one = JobSpec(executable="x", environment=environment)
    other = JobSpec(environment=dict(shuffled), executable="x")
    assert one.digest() == other.digest()


@given(specs, specs)
def test_different_asks_have_different_digests(one: JobSpec, other: JobSpec) -> None:
    assert (one.sent() == other.sent()) == (one.digest() == other.digest())


def test_the_order_of_arguments_is_part_of_the_ask() -> None:
    assert JobSpec(executable="x", arguments=["a", "b"]) != JobSpec(executable="x", arguments=["b", "a"])


def test_a_digest_is_fixed_for_ever() -> None:
    spec = JobSpec(executable="/bin/echo", arguments=["é"], environment={"B": "", "A": "1"})
    assert spec.digest() == "2db3b587842de7b353c3c686e1658c678a350c72c6a90867e68643fcfa1df78e"


def test_a_spec_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        JobSpec(executable="x").executable = "y"  # type: ignore[misc]


def test_account_and_queue_are_filled_in_where_the_user_set_none() -> None:
    spec = JobSpec(
        executable="x", attributes=JobAttributes(account="mine", duration=5, custom_attributes={"a": "b"})
    )
    filled = spec.with_attributes(account="theirs", queue_name="debug")
    assert filled.attributes == JobAttributes(
        account="mine", duration=5, queue_name="debug", custom_attributes={"a": "b"}
    )
    assert spec.with_attributes() is spec
    assert JobSpec(executable="x").with_attributes(account="", queue_name="").sent() == {"executable": "x"}


def test_defaults_are_held_to_the_same_rules() -> None:
    with pytest.raises(UsageError, match="account"):
        JobSpec(executable="x").with_attributes(account="a\0b")


@pytest.mark.parametrize(
    ("directory", "path", "lands"),
    [("/w", "out", "/w/out"), ("/w", "/abs/out", "/abs/out"), (None, "out", "out"), ("/w", None, None)],
)
def test_where_output_lands(directory: str | None, path: str | None, lands: str | None) -> None:
    spec = JobSpec(executable="x", directory=directory, stdout_path=path, stderr_path=path)
    assert spec.output_path("stdout") == spec.output_path("stderr") == lands


def test_what_no_job_can_be_is_named_in_words() -> None:
    with pytest.raises(UsageError, match=r"ok\.0: 'ok:7' is neither the id of a job nor a reference"):
        JobAttributes(after={"ok": ["ok:7"]})
    for job in ("7", "42[].pbs01", "iri+job://host/iri/m/a.1"):
        assert JobAttributes(after={"any": [job]}).after is not None
    with pytest.raises(UsageError, match="valid string"):
        JobAttributes(after={"ok": [7]})


def test_mounts_keep_their_order() -> None:
    mounts = [{"source": "/a", "target": "/b"}, VolumeMount(source="/c", target="/d", read_only=False)]
    spec = JobSpec.of({"executable": "x", "container": {"image": "i", "volume_mounts": mounts}})
    assert [mount["source"] for mount in spec.sent()["container"]["volume_mounts"]] == ["/a", "/c"]


def test_a_submission_needs_a_resource() -> None:
    with pytest.raises(UsageError, match="resource"):
        Submission(JobSpec(executable="x"), "")


def test_the_wire_carries_the_name_by_which_the_job_is_found_again() -> None:
    key = JobKey.of("test", 1)
    named = Submission(JobSpec(executable="x", name="fit", stderr_path="mine"), "r", key)
    name = f"fit.{key.tag}"
    wire = {"executable": "x", "name": name, "stdout_path": f"{name}.out", "stderr_path": "mine"}
    assert named.wire_spec() == wire
    assert Submission(JobSpec(executable="x"), "r", key).wire_spec()["name"] == f"iri.{key.tag}"
    assert Submission(JobSpec(executable="x"), "r").key != Submission(JobSpec(executable="x"), "r").key
