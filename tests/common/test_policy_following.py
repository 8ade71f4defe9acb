"""Pieces of a text that a facility decodes: their bytes, exactly; when to look, and when that is enough."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iri_common.policy.following import (
    BAD,
    GRACE,
    LATEST,
    LOOK_COSTS,
    PER_SECOND,
    Doubt,
    Piece,
    all_there,
    cut_of,
    decoded,
    look_after,
    measured,
    rest_of,
    told_after,
)
from iri_common.policy.pace import Pace

PACE = Pace(quickest=2.0, slowest=30.0)
# What is hard: characters of each length, their parts, and bytes that are in none.
parts = st.sampled_from(
    [b"a", b"\r\n", "é".encode(), "€".encode(), "😀".encode(), BAD.encode(), b"\xef\xbf", b"\xf0\x9f\x98",
     b"\xf0\x9f", b"\xe2\x82", b"\xe2", b"\x80", b"\x82", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\0"]
)  # fmt: skip
contents = st.binary(max_size=40) | st.lists(parts, max_size=16).map(b"".join)


def seen(content: bytes) -> str:
    """As a facility tells it."""
    return content.decode("utf-8", "replace")


def piece_at(content: bytes, start: int, end: int, *, last: bool) -> Piece:
    """As a client reads it that may ask for the last bytes of a window once more."""
    found = measured(seen(content[start:end]), end - start, last=last)
    if not isinstance(found, Doubt):
        return found
    assert found is Doubt.CUT
    cut = cut_of(seen(content[end - 3 : end]))
    if cut is None:
        cut = cut_of(seen(content[end - 3 : end]), seen(content[end - 2 : end]))
    assert cut is not None
    return Piece(seen(content[start:end])[:-1], end - start - cut, cut)


@given(contents, st.lists(st.integers(1, 9), min_size=1))
@example(b"\x80\xe2\x82\xac", [3, 1])
@example(b"\xff\xe2\x82\xc3\xa9", [4, 5])
@example(b"\xff" + BAD.encode() * 2, [4, 3])
@example(b"\xff\xf0\x9f\x98\x80", [4, 4])
def test_pieces_of_any_windows_are_the_whole(content: bytes, windows: list[int]) -> None:
    told, start = "", 0
    for number in range(len(content) * 4):
        end = min(len(content), start + windows[number % len(windows)] + 3)
        piece = piece_at(content, start, end, last=end == len(content))
        assert piece.size > 0 or start == len(content), "a window of four bytes always leads on"
        told, start = told + piece.text, start + piece.size
        if start == len(content):
            break
    assert (told, start) == (seen(content), len(content))


@given(contents)
def test_what_is_held_back_may_be_the_beginning_of_a_character(content: bytes) -> None:
    piece = piece_at(content, 0, len(content), last=False)
    assert piece.size + piece.held == len(content)
    assert 0 <= piece.held <= 3
    assert piece.text + seen(content[piece.size :]) == seen(content)
    assert decoded(content, last=False).size >= piece.size, "nothing is told before it is sure"


@pytest.mark.parametrize(
    ("text", "size", "last", "found"),
    [
        ("", 0, False, Piece("", 0)),
        ("", 9, False, Piece("", 0)),  # the file is shorter now
        ("abc", 3, False, Piece("abc", 3)),
        ("abc", 9, True, Piece("abc", 3)),
        ("né", 3, False, Piece("né", 3)),
        (f"n{BAD}", 2, False, Piece("n", 1, 1)),
        (f"n{BAD}", 3, False, Piece("n", 1, 2)),
        (f"n{BAD}", 4, True, Piece(f"n{BAD}", 4)),
        (f"{BAD}n", 3, False, Piece(f"{BAD}n", 3)),
        (f"{BAD}n{BAD}", 3, False, Piece(f"{BAD}n", 2, 1)),
        (f"{BAD}n{BAD}", 5, False, Doubt.CUT),
        (f"n{BAD}", 9, True, Doubt.SHORT),
        (f"abc{BAD}", 3, False, Doubt.LONG),
        ("abcd", 3, False, Doubt.LONG),
        ("né", 2, True, Doubt.LONG),
        (f"{BAD}{BAD}", 1, True, Doubt.LONG),
    ],
)
def test_the_bytes_of_a_text(text: str, size: int, last: bool, found: Piece | Doubt) -> None:
    assert measured(text, size, last=last) == found


@given(st.text(), st.integers(0, 50))
def test_the_rest_of_a_text_by_bytes(text: str, skipped: int) -> None:
    content = text.encode()
    rest = rest_of(text, len(content), skipped)
    assert rest == (None if BAD in text else seen(content[skipped:]))
    assert rest_of(text, len(content) + 1, skipped) is None


@pytest.mark.parametrize(
    ("text", "size", "offset", "told"),
    [
        ("abc\n", 10, 8, "c\n"),
        ("abc\n", 10, 10, ""),
        ("abc\n", 10, 6, "abc\n"),
        ("abc\n", 10, 2, "abc\n"),
        ("abc\n", 10, 11, "abc\n"),
        ("né\n", 4, 3, "\n"),
        (f"n{BAD}\n", 9, 8, f"n{BAD}\n"),
    ],
)
def test_what_last_words_tell_after_an_offset(text: str, size: int, offset: int, told: str) -> None:
    assert told_after(text, size, offset) == told


def test_looks_are_quick_while_it_grows_and_slow_when_it_does_not() -> None:
    assert look_after(PACE, 0.0, 2) == 2.0
    assert look_after(PACE, 40.0, 2) == 10.0
    assert look_after(PACE, 4000.0, 2) == 30.0


@given(st.floats(0, 1e6), st.integers(1, 5000))
def test_many_streams_share_what_one_door_bears(quiet: float, streams: int) -> None:
    assert streams * LOOK_COSTS / look_after(PACE, quiet, streams) <= PER_SECOND + 1e-6 or streams < 3
    assert look_after(PACE, quiet, streams) >= PACE.quickest


def test_the_last_look_waits_for_late_writes_but_not_for_ever() -> None:
    assert all_there(100.0, 50.0, GRACE) == 100.0 + GRACE
    assert all_there(100.0, 101.5, GRACE) == 101.5 + GRACE
    assert all_there(100.0, 1e6, GRACE) == 100.0 + LATEST
    assert all_there(100.0, 50.0, 0.0) == 100.0
