"""Journals and owner files, whole or torn, as they are read."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iri_common.jobside.journal import Attempt, Journal, read_journal, read_owner, read_spec_digest

START = "started 42 0 1000\n"


def one(text: str) -> Attempt:
    (attempt,) = read_journal(text).attempts
    return attempt


@pytest.mark.parametrize(
    ("text", "began", "ended", "code", "certain"),
    [
        ("", False, False, None, False),
        (START, True, False, None, False),
        (START + "ended 42 0 0 1060\n", True, True, 0, True),
        (START + "ended 42 0 137 1060\n", True, True, 137, True),
        (START + "ranks 42 0\n", True, False, None, False),
        (START + "ranks 42 0\nended 42 0 0 1060\n", True, True, 0, False),
        (START + "ended 42 0 0 1060\nrank 42 0 3 7\n", True, True, 7, True),
        (START + "rank 42 0 5 9\nrank 42 0 3 7\n", True, True, 7, True),
        (START + "rank 42 0 3 7\nended 42 0 1 1060\n", True, True, 1, True),
        ("ended 42 0 0 1060\n", True, True, 0, True),
        (START + "ended 42 0 3 1060\n\nstarted 42 1 1100\n", True, False, None, False),
        (START + "ended 42 0 3 1060\n\nstarted 42 1 1100\nended 42 1 0 1200\n", True, True, 0, True),
        # A scheduler that does not count: two attempts with one number.
        (START + "ended 42 0 3 1060\n\nstarted 42 0 1100\n", True, False, None, False),
        (START + "ended 42 0 3 1060\n\nstarted 42 0 1100\nended 42 0 0 1200\n", True, True, 0, True),
        # Torn, strange, from another time.
        (START + "ended 42 0 1", True, False, None, False),
        (START + "ended 42 0 0 1060", True, False, None, False),
        (START + "ended 42 0 x 1060\n", True, False, None, False),
        (START + "ended 42 0 0\n", True, False, None, False),
        (START + "ended 42 0 0 1060 9\n", True, False, None, False),
        (START + "ended  0 0 1060\nfinished 42 0 0 1\n\0\0\0\n", True, False, None, False),
        (START + "ended 42 0 \u0661 1060\n", True, False, None, False),
        ("ended 42 0 1started 42 0 1000\n", False, False, None, False),
        ("ranks 42 0\nstarted 42 0 1000\nended 42 0 0 1060\n", True, True, 0, False),
    ],
)
def test_what_a_journal_says(text: str, began: bool, ended: bool, code: int | None, certain: bool) -> None:
    journal = read_journal(text)
    assert (journal.began, journal.ended, journal.exit_code, journal.certain) == (began, ended, code, certain)


def test_times_and_ranks_are_kept() -> None:
    attempt = one(START + "ranks 42 0\nrank 42 0 3 7\nended 42 0 0 1060\n")
    assert (attempt.job_id, attempt.number, attempt.started, attempt.ended) == ("42", 0, 1000.0, 1060.0)
    assert (attempt.exit_code, attempt.failed_ranks, attempt.succeeded) == (0, {3: 7}, False)
    assert one("ranks 42 0\n" + START).started == 1000.0


def test_a_late_line_goes_to_its_own_attempt() -> None:
    first, second = read_journal(START + "started 42 1 1100\nended 42 0 3 1060\nrank 42 1 2 9\n").attempts
    assert (first.code, second.code) == (3, 9)


def test_only_one_jobs_lines() -> None:
    journal = read_journal(START + "started 43 0 1001\nended 43 0 5 1002\n")
    assert (journal.exit_code, journal.of("42").exit_code, journal.of("42").began) == (5, None, True)
    assert journal.of("44") == Journal()


words = st.sampled_from(
    ["started", "ended", "rank", "ranks", "42", "43", "0", "1", "7", "1000", "", "x", "-1"]
)


@given(st.lists(st.lists(words, max_size=6).map(" ".join) | st.text(), max_size=12).map("\n".join))
@example("started 42 0 " + "9" * 5000 + "\n")
def test_any_text_is_a_journal(text: str) -> None:
    journal = read_journal(text)
    assert journal.ended == (journal.exit_code is not None)
    assert journal.certain <= journal.ended
    for attempt in journal.attempts:
        assert attempt.succeeded == (attempt.code == 0)


@given(st.data())
def test_a_journal_that_grows_never_takes_an_attempt_back(data: st.DataObject) -> None:
    lines = [
        START,
        "ended 42 0 3 1060\n",
        "\n",
        "started 42 1 1100\n",
        "rank 42 1 2 9\n",
        "ended 42 1 0 1200\n",
    ]
    text = "".join(lines)
    cut = data.draw(st.integers(0, len(text)))
    seen = [(attempt.job_id, attempt.number) for attempt in read_journal(text[:cut]).attempts]
    assert seen == [("42", 0), ("42", 1)][: len(seen)]


@pytest.mark.parametrize(
    ("text", "owner", "digest"),
    [
        ("42\n", "42", None),
        ("42[].host\nspec ab12\n", "42[].host", "ab12"),
        ("", None, None),
        ("42", None, None),
        ("\n", None, None),
        (" \n", None, None),
        ("42\nspec ab", "42", None),
        ("42\nother\nspec ab\n", "42", "ab"),
        ("spec ab\n", "spec ab", None),
    ],
)
def test_what_an_owner_file_says(text: str, owner: str | None, digest: str | None) -> None:
    assert (read_owner(text), read_spec_digest(text)) == (owner, digest)
