"""What a sync leaves, moves and takes away; what a wildcard means."""

from __future__ import annotations

import glob
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common.policy.globs import matches, reaches, split
from iri_common.policy.unchanged import CLOSE, Facts, Verdict, extras, judge, judge_in_bulk, told_time

LEAVE, COMPARE, MOVE = Verdict.LEAVE, Verdict.COMPARE, Verdict.MOVE


@pytest.mark.parametrize(
    ("source", "target", "comparable", "verdict"),
    [
        (Facts(5, 100.0), None, True, MOVE),
        (Facts(5, 100.0), Facts(6, 200.0), True, MOVE),
        (Facts(5, 100.0), Facts(5, 200.0), False, LEAVE),
        (Facts(5, 200.0), Facts(5, 100.0), True, MOVE),
        (Facts(5, 100.9), Facts(5, 101.0), True, COMPARE),
        (Facts(5, 100.9), Facts(5, 101.0), False, MOVE),
        (Facts(5), Facts(5, 101.0), True, COMPARE),
        (Facts(5, 100.0), Facts(5), False, MOVE),
        (Facts(0), Facts(0), True, COMPARE),
    ],
)
def test_verdicts(source, target, comparable, verdict) -> None:
    assert judge(source, target, comparable=comparable) is verdict


@pytest.mark.parametrize(
    ("source", "target", "verdict"),
    [(100.9, 100.0, LEAVE), (100.9, 101.0, MOVE), (0.0, 0.0, MOVE), (0.0, 100.0, MOVE), (100.0, 99.9, MOVE)],
)
def test_of_many_the_same_second_counts(source: float, target: float, verdict: Verdict) -> None:
    assert judge_in_bulk(Facts(5, source), Facts(5, target)) is verdict


TIMES = st.one_of(st.just(0.0), st.floats(1, 1e10))


@given(st.integers(0, 9), TIMES, st.integers(0, 9), TIMES, st.booleans())
def test_only_what_is_surely_newer_is_left_without_a_look(size, time, there, then, comparable) -> None:
    verdict = judge(Facts(size, time), Facts(there, then), comparable=comparable)
    if verdict is LEAVE:
        assert size == there
        assert 0 < time <= then - CLOSE
    if size != there:
        assert verdict is MOVE
    assert comparable or verdict is not COMPARE


def test_of_a_directory_that_is_gone_only_its_top_is_taken_away() -> None:
    wanted = ["a/b/c", "d"]
    there = ["a", "a/b", "a/b/c", "a/b/old", "a b", "a b/x", "e", "e/f", "e/f/g", "e.txt", "d"]
    assert sorted(extras(wanted, there)) == ["a b", "a/b/old", "e", "e.txt"]


def test_what_is_behind_a_link_is_no_extra() -> None:
    there = ["a", "a/b", "a/b/c", "l", "l/x", "z", "z/1"]
    assert extras(["a"], there, unknown=["l"]) == ["a/b", "z"]
    assert extras(["a/b/c", "l/y"], there, [("l", "z")]) == []
    assert extras(["a", "l/y"], [*there, "z/q", "z/q/r"], [("l", "z/q")]) == ["a/b", "z/1"]
    assert extras(["a"], there, [("l", "z")]) == ["a/b", "l", "z"]


PATHS = st.lists(st.lists(st.sampled_from(["a", "b", "a b", "a!"]), min_size=1, max_size=3).map("/".join))


@given(PATHS, PATHS)
def test_extras_take_away_all_that_is_too_much_and_nothing_that_is_wanted(
    wanted: list[str], there: list[str]
) -> None:
    gone = extras(wanted, there)

    def covered(name: str) -> bool:
        return any(name == each or name.startswith(f"{each}/") for each in gone)

    assert not any(covered(name) for name in wanted)
    parents = {posixpath.dirname(name) for name in wanted} | {name.split("/")[0] for name in wanted}
    assert all(covered(name) for name in set(there) - set(wanted) - parents)
    assert not any(one != other and one.startswith(f"{other}/") for one in gone for other in gone)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("1970-01-01 00:01:00.500000+00:00", 60.5),
        ("2026-11-22T10:00:00", 0.0),
        ("Nov 22 10:00", 0.0),
        ("", 0.0),
    ],
)
def test_times_as_listings_tell_them(text: str, seconds: float) -> None:
    assert told_time(text) == seconds


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/data/run/x.h5", ("/data/run/x.h5", "")),
        ("/data/*/x.h5", ("/data", "*/x.h5")),
        ("/*.h5", ("/", "*.h5")),
        ("*.h5", (".", "*.h5")),
        ("data/[ab]?", ("data", "[ab]?")),
    ],
)
def test_where_a_pattern_begins(path, parts) -> None:
    assert split(path) == parts


NAMES = ["a", "b.h5", ".h", "d/b.h5", "d/e/b.h5", "d/.i/b.h5", "[x]"]


@pytest.mark.parametrize(
    "pattern", ["*", "*.h5", "?", ".*", "**/*.h5", "d/*", "d/**", "*/b.h5", "[ab]", "d/*/*", "*/.*/*"]
)
def test_wildcards_mean_what_they_mean_to_python(pattern: str, tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    everything = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    meant = {name.rstrip("/") for name in glob.glob(pattern, root_dir=tmp_path, recursive=True)}
    assert {name for name in everything if matches(pattern, name)} == meant & everything
    above = {parent for name in meant & everything if (parent := posixpath.dirname(name))}
    assert all(reaches(pattern, parent) for parent in above)


@pytest.mark.parametrize(
    ("pattern", "reached", "others"),
    [
        ("*.h5", [], ["d", "a.h5"]),
        ("d*/x", ["d", "dd"], ["e", ".d", "d/e"]),
        ("*/*/x", ["d", "d/e"], ["d/e/f", "d/.e"]),
        ("d/**/x", ["d", "d/e", "d/e/f"], ["e", "d/.e", ".d"]),
        ("**", ["d", "d/e"], [".d", "d/.e"]),
        (".*/x", [".d"], ["d"]),
    ],
)
def test_which_directories_a_pattern_leads_through(
    pattern: str, reached: list[str], others: list[str]
) -> None:
    assert [each for each in (*reached, *others) if reaches(pattern, each)] == reached
