"""JobKey and JobRef: identities that never meet, references that survive any text."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from iri_common.model.errors import UsageError
from iri_common.model.key import JobKey
from iri_common.model.ref import JobRef, origin_of

segments = st.lists(
    st.text(min_size=1) | st.sampled_from(["/", "%", ".", "%2F", "a/b", " ", "é.1", ".1", "..", "\n"]),
    min_size=1,
    max_size=5,
)
generations = st.integers(1, 10**6)
keys = st.builds(lambda words, generation: JobKey.of(*words, generation=generation), segments, generations)
texts = st.text(min_size=1)
origins = st.sampled_from(["host", "host:8443", "[::1]:80", "[2001:db8::1]", "a.b.c", "127.0.0.1:5000"])


@given(segments, generations)
@example(["a.1", "2"], 3)
@example([".", "..", "/"], 1)
@example(["%41", "A"], 1)
def test_a_key_comes_back_from_its_text(words: list[str], generation: int) -> None:
    key = JobKey.of(*words, generation=generation)
    assert JobKey.parse(str(key)) == key
    assert key.segments == tuple(words)


@given(segments, segments)
@example(["a", "b"], ["a/b"])
@example(["%2F"], ["/"])
def test_different_segments_never_make_the_same_identity(one: list[str], other: list[str]) -> None:
    assume(one != other)
    assert JobKey.of(*one).identity != JobKey.of(*other).identity


@given(keys, keys)
def test_different_keys_have_different_texts_tags_and_names(one: JobKey, other: JobKey) -> None:
    assume(one != other)
    assert str(one) != str(other)
    assert one.tag != other.tag
    assert one.job_name("x") != other.job_name("x")


@given(keys)
def test_a_tag_is_in_letters_that_every_scheduler_takes(key: JobKey) -> None:
    assert re.fullmatch(r"[0-9a-f]{16}-[1-9][0-9]*", key.tag)
    assert key.next().digest == key.digest
    assert key.next().generation == key.generation + 1


@given(keys, st.text(), st.text())
def test_an_idempotency_key_is_bound_to_resource_and_generation(key: JobKey, here: str, there: str) -> None:
    one = key.idempotency_key(here)
    assert uuid.UUID(one)
    assert one == JobKey.parse(str(key)).idempotency_key(here)
    assert one != key.next().idempotency_key(here)
    assert (one == key.idempotency_key(there)) == (here == there)


def test_keys_are_fixed_for_ever() -> None:
    key = JobKey.of("airflow", "dag", "run/1", "task", -1)
    assert str(key) == "airflow/dag/run%2F1/task/-1.1"
    assert key.tag == "6f8d769a21033645-1"
    assert key.idempotency_key("polaris") == "115f16d7-25ff-5263-b87e-2d97df877144"


def test_random_keys_differ() -> None:
    assert JobKey.random() != JobKey.random()


@pytest.mark.parametrize("words", [(), ("",), ("a", ""), ("\ud800",)])
def test_segments_that_could_be_mistaken_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="segments"):
        JobKey.of(*words)


@pytest.mark.parametrize("generation", [0, -1])
def test_generations_start_at_one(generation: int) -> None:
    with pytest.raises(UsageError, match="starts at 1"):
        JobKey.of("a", generation=generation)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ".1",
        "a.",
        "a.0",
        "a.-1",
        "a.x",
        "a.1.5x",
        "a.01",
        "a.+1",
        "a. 1",
        "a.\u0661",
        "a.1\n",
        "a." + "9" * 5000,
    ],
)
def test_what_is_not_a_key_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="key"):
        JobKey.parse(text)


@given(st.text())
def test_any_text_is_a_key_or_a_usage_error(text: str) -> None:
    try:
        key = JobKey.parse(text)
    except UsageError:
        return
    assert str(key) == text


@given(
    st.builds(
        JobRef,
        origin=origins,
        dialect=texts,
        resource_id=texts,
        key=keys,
        job_id=st.none() | texts,
        directory=st.none() | texts,
        profile=st.none() | texts,
        once=st.none() | texts,
    )
)
def test_a_reference_comes_back_from_its_text(ref: JobRef) -> None:
    assert JobRef.parse(str(ref)) == ref
    assert JobRef.parse(str(ref)).once == ref.once
    assert re.fullmatch(r"[!-~]+", str(ref)), "printable ASCII without blanks: it travels in any log"


def test_a_reference_reads_as_documented() -> None:
    ref = JobRef(
        "api.nersc.gov", "iri", "perl mutter", JobKey.of("a", "b/c", generation=2), "42", "/d", "nersc"
    )
    assert str(ref) == (
        "iri+job://api.nersc.gov/iri/perl%20mutter/a%2Fb%252Fc.2?job=42&dir=%2Fd&profile=nersc"
    )
    assert ref.describe() == "job 42 at nersc"
    assert JobRef("h", "iri", "r", JobKey("k")).describe() == "the job of key k.1 at h"
    assert ref.with_job("43").job_id == "43"
    told = JobRef("h", "iri", "r", JobKey("k"), "42", once="lock-native")
    assert str(told) == "iri+job://h/iri/r/k.1?job=42&once=lock-native"
    assert told == JobRef("h", "iri", "r", JobKey("k"), "42"), "how it is kept is not which job it is"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "https://h/iri/r/k.1",
        "iri://h/iri/r/k.1",
        "iri+job:///iri/r/k.1",
        "iri+job://h/iri/r",
        "iri+job://h/iri/r/k.1/more",
        "iri+job://h//r/k.1",
        "iri+job://h/iri/r/k",
        "iri+job://h/iri/r/k.0",
        "iri+job://[::1/iri/r/k.1",
        "iri+job://h\u2100/iri/r/k.1",
    ],
)
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        JobRef.parse(text)


@given(st.text() | st.text().map(lambda text: "iri+job://h/iri/r/k.1" + text))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        ref = JobRef.parse(text)
    except UsageError:
        return
    assert JobRef.parse(str(ref)) == ref


def test_a_reference_carries_no_password() -> None:
    with pytest.raises(UsageError) as caught:
        JobRef.parse("iri+job://me:hunter2@host/iri/r/k.1")
    assert "hunter2" not in str(caught.value)


def test_a_reference_has_its_origin_in_lower_case() -> None:
    assert JobRef.parse("iri+job://HOST:81/iri/R/k.1").origin == "host:81"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Api.NERSC.gov/api/v2", "api.nersc.gov"),
        ("https://host:443/x", "host"),
        ("http://host:80", "host"),
        ("HTTP://host:8080", "host:8080"),
        ("https://host:80", "host:80"),
        ("http://host:443", "host:443"),
        ("http://[::1]:5000/api", "[::1]:5000"),
        ("https://[2001:DB8::1]/", "[2001:db8::1]"),
        ("https://me:secret@host/", "host"),
    ],
)
def test_the_origin_of_a_url(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    ref = JobRef(origin, "iri", "r", JobKey("k"))
    assert JobRef.parse(str(ref)).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "host:80/x",
        "ftp://host",
        "https://",
        "https:///x",
        "https://h:99999",
        "https://h:x",
        "https://[::1",
    ],
)
def test_what_has_no_origin_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="URL"):
        origin_of(url)
