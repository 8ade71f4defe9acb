"""What may be told of a facility's words: no secret however it was packed, and no orders to terminals."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from secret_kit import parts_left

from iri_common.policy.telling import LONGEST, MOST, Hiding, bounded, cut, flat, told

# Secrets share no letter with what stands around them, so that a part of one is seen for what it is.
AROUND = st.text("abcdef(){}:,", max_size=20)
SECRETS = st.text("GHIJKLMNOPQRSTUVWXYZ0123456789ÖÄ'\"\\/+%&=$`\n\t ~", min_size=6, max_size=40).filter(
    lambda text: len(text.strip()) >= 6
)


def slashed(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("/", "\\/")


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


QUOTED: list[Callable[[str], str]] = [shlex.quote, lambda text: shlex.quote(f"sh -c {shlex.quote(text)}")]
WIRED = [
    json.dumps,
    slashed,
    quote_plus,
    quote,
    lambda text: str([text]),
    lambda text: json.dumps(slashed(text)),
]
PACKED = [in_base64, lambda text: slashed(in_base64(text)), lambda text: quote_plus(in_base64(text))]


@given(SECRETS, AROUND, AROUND, st.sampled_from([str, *QUOTED]), st.sampled_from([str, *WIRED, *PACKED]))
@example("it's \"G/+\\\nH", "", "", QUOTED[1], WIRED[4])
@example("GGGGGGGG", "a", "", str, in_base64)
def test_a_secret_is_told_in_no_packing_of_our_own(secret, before, after, quoted, wired) -> None:
    text = wired(before + quoted(secret) + after)
    left = Hiding.of([secret])(text)
    assert secret not in left
    assert "[secret]" in left
    assert not parts_left(secret, left)


@given(st.lists(SECRETS, min_size=1, max_size=5), AROUND)
def test_of_many_secrets_none_is_told(secrets: list[str], around: str) -> None:
    script = around + "".join(f"export {around}={shlex.quote(each)}\n" for each in secrets)
    for text in (script, json.dumps({"script": script}), in_base64(script)):
        left = Hiding.of(secrets)(text)
        assert not any(each in left for each in secrets)


@given(SECRETS, st.integers(-60, 60), st.booleans())
def test_no_half_of_a_secret_is_told_where_a_long_text_is_cut(secret: str, shift: int, many: bool) -> None:
    begin = max(0, MOST - len(secret) + shift)
    text = (secret * MOST)[: MOST + shift + len(secret)] if many else "a" * begin + secret + "b" * MOST
    left = told(text, Hiding.of([secret]))
    assert len(left) <= LONGEST
    assert not parts_left(flat(secret), left.replace("[secret]", ""))


def test_a_mark_tells_what_was_there_and_short_values_stay() -> None:
    hide = Hiding({"GHIJKLMN": "[token]", "true": "[secret]", "      ": "[secret]"})
    assert hide("Bearer GHIJKLMN is true  or        not") == "Bearer [token] is true  or        not"
    assert "GHIJ" not in repr(hide)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\n b\tc", "a b c"),
        ("\x1b[31mred\x07", "\N{REPLACEMENT CHARACTER}[31mred\N{REPLACEMENT CHARACTER}"),
        ("right \u202eleft", "right \N{REPLACEMENT CHARACTER}left"),
        ("größe 5 µm", "größe 5 µm"),
    ],
)
def test_a_line_is_no_order_to_a_terminal(text: str, line: str) -> None:
    assert flat(text) == line


def test_a_long_text_is_cut() -> None:
    assert cut("x" * LONGEST) == "x" * LONGEST
    assert cut("x" * 10_000) == "x" * (LONGEST - 1) + "…"
    assert len(bounded("x" * 10**6)) == MOST
