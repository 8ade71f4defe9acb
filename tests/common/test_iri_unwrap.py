"""Whatever a facility wraps around a result, the result comes out as it was."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.apis.iri import unwrap

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
names = st.text().filter(lambda name: name != "output")
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
structures = st.lists(values, max_size=4) | st.dictionaries(names, values, max_size=4)
spellings = st.sampled_from([lambda value: value, json.dumps, repr])


def wrapped(value, how):
    for spell in how:
        value = {"output": spell(value)}
    return value


@given(structures, st.lists(spellings, max_size=2))
def test_a_structure_comes_out_of_any_wrapping(value, how):
    assert unwrap.structure(wrapped(value, how)) == value


@given(structures, spellings)
def test_a_structure_without_a_wrapper(value, spell):
    assert unwrap.structure(spell(value)) == value


@given(st.text(), st.integers(0, 2), st.sampled_from([json.dumps, repr]))
def test_a_text_comes_out_whole(value, depth, spell):
    # The innermost text stands bare, as every site sends it; outer wrappers may be spelt out.
    result = value
    for level in range(depth):
        result = {"output": spell(result) if level else result}
    assert unwrap.text(result) == value


@given(st.binary())
def test_base64_is_never_taken_for_something_else(content):
    text = base64.b64encode(content).decode()
    assert unwrap.text({"output": text}) == text
    assert unwrap.text({"output": repr({"output": text})}) == text


@pytest.mark.parametrize("text", ["1234", "null", "true", "test", '["a"]', "{'a': 1}", '{"a": 1}', "", "{"])
def test_a_text_that_looks_like_a_literal_stays_text(text):
    assert unwrap.text({"output": text}) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 100_000,
        "{'output': " * 5_000,
        "[" + "-" * 10_000 + "1]",
        "'\x00'",
        "{[]: 1}",
        "[1" + "0" * 5000 + "]",
    ],
)
def test_a_hostile_text_is_only_a_text(hostile):
    assert unwrap.structure({"output": hostile}) == hostile
    assert unwrap.text({"output": hostile}) == hostile


def test_wrappers_without_end_are_not_followed():
    endless = {}
    endless["output"] = endless
    assert unwrap.structure(endless) is endless
    assert unwrap.text(endless) is endless
