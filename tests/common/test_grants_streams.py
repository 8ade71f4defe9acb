"""What a grant allows of a cluster of message brokers: its settings are its size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import Grant, UsageError
from iri_common.policy.grants import Ask, refusal
from iri_common.policy.operations import ask_of


@pytest.mark.parametrize("words", ["cpus=2, ram-gbs = 4", {"cpus": 2, "ram-gbs": 4}, ["ram-gbs=4", "cpus=2"]])
def test_the_limits_are_read_from_whatever_words_a_form_has(words) -> None:
    read = Grant.of({"stream_settings": words})
    assert read is not None
    assert read.words() == {"stream_settings": ["cpus=2", "ram-gbs=4"]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("cpus", "stream_settings of a grant are whole numbers such as cpus=2, not 'cpus'"),
        ({"cpus": 0.5}, "not 'cpus=0.5'"),
        (["cpus=-1"], "not 'cpus=-1'"),
        (["cpus=1", "cpus=2"], "name each setting once"),
        (2, "a list of texts"),
    ],
)
def test_what_makes_no_sense_is_named(words, told) -> None:
    with pytest.raises(UsageError, match=told):
        Grant.of({"stream_settings": words})


def streaming(settings: dict[str, int]) -> Ask:
    words = {"engine": "redis", "kind": "general", "name": "x", "settings": settings}
    return ask_of("streaming", "provision", words)


@pytest.mark.parametrize(
    ("limits", "chosen", "told"),
    [
        (None, {}, None),
        (["cpus=2"], {"cpus": 2, "ram-gbs": 64}, None),  # what is not limited is not asked about
        (["cpus=2"], {"cpus": 3}, "a stream with cpus=3; allowed: cpus up to 2"),
        (
            ["cpus=2", "nodes=1"],
            {"cpus": 1, "nodes": 9},
            "a stream with nodes=9; allowed: cpus up to 2, nodes",
        ),
        (["cpus=2"], {}, "a stream that names no cpus, and would get some by default; allowed: cpus up to 2"),
        ([], {}, "a stream; allowed: nothing"),
    ],
)
def test_what_is_chosen_of_a_stream_is_limited(limits, chosen, told) -> None:
    refused = refusal(Grant(stream_settings=limits), streaming(chosen))
    assert (refused is None) if told is None else str(refused).startswith(told)
    assert refusal(Grant(stream_settings=limits), ask_of("streaming", "release", {"name": "x"})) is None


some_settings = st.none() | st.dictionaries(st.sampled_from(["cpus", "nodes"]), st.integers(0, 2))


@given(
    wide=some_settings,
    other=some_settings,
    chosen=st.dictionaries(st.sampled_from(["cpus", "nodes"]), st.integers(0, 3)),
)
def test_streams_are_narrowed_to_what_both_allow(wide, other, chosen) -> None:
    one, two = Grant(stream_settings=wide), Grant(stream_settings=other)
    allowed = [refusal(each, streaming(chosen)) is None for each in (one, two)]
    assert (refusal(one.narrowed(two), streaming(chosen)) is None) is all(allowed)
