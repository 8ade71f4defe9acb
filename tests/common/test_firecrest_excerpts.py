"""Exact bytes out of ``view``, as the server's ``dd`` and its decoding make them."""

from __future__ import annotations

import pytest
from firecrest_world import Wire, dialect, error, ok, raw
from hypothesis import example, given
from hypothesis import strategies as st

from iri_common.apis.firecrest.excerpts import block_around, cut_out
from iri_common.model.errors import UsageError

letters = st.sampled_from(["a", "b", "\n", "é", "ß", "€", "😀"])
texts = st.lists(letters, max_size=200).map("".join)
sizes = st.integers(min_value=1, max_value=300)
offsets = st.integers(min_value=0, max_value=900)


def served(content: bytes, size: int, offset: int) -> str:
    """What the server makes of it: two blocks, decoded, of which a slice of characters is cut."""
    begin = offset // size * size
    text = content[begin : begin + 2 * size].decode("utf-8", "replace")
    return text[offset % size : offset % size + size]


def piece_of(content: bytes, size: int, offset: int, *, guess: bool = False) -> str | None:
    block, begin = block_around(offset, size)
    return cut_out(served(content, block, begin), begin, offset, size, guess=guess)


@given(texts, sizes, offsets)
@example("é" * 100, 1, 1)
@example("€" * 100, 2, 4)
def test_any_piece_of_any_text_is_its_bytes(text, size, offset):
    content = text.encode()
    assert piece_of(content, size, offset) == content[offset : offset + size].decode("utf-8", "replace")


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=1, max_value=2**21))
def test_a_block_holds_the_piece_and_little_more(offset, size):
    block, begin = block_around(offset, size)
    assert begin % block == 0
    assert begin <= offset
    assert offset - begin + size <= block
    assert block <= 2 * size + 2 * int(offset**0.5) + 2


def test_no_block_in_the_middle_of_a_large_log_is_over_the_limit_of_an_output():
    for offset in (0, 2 * 2**20 - 1, 10**8, 10**9, 10**10):
        assert 2 * block_around(offset, 2**21)[0] < 5 * 2**20 or offset < 2**21


@given(st.binary(max_size=120), sizes, offsets)
def test_what_is_no_text_is_not_counted_by_guessing(content, size, offset):
    piece = piece_of(content, size, offset)
    strays = content.decode("utf-8", "replace").count("\ufffd")
    if piece is None:
        assert strays
    elif not strays:
        assert piece == content[offset : offset + size].decode("utf-8", "replace")


def test_what_begins_a_file_is_no_half_of_a_character():
    content = "\ufffdabc\ufffddef".encode()
    assert piece_of(content, 4, 0) is None
    assert piece_of("\ufffd".encode() * 2 + b"abc", 3, 0) is None


def test_latin_1_beyond_the_limit_is_counted_as_such():
    content = ("abc\xe9def" * 50).encode("latin-1")
    assert piece_of(content, 20, 70) is None
    assert piece_of(content, 20, 70, guess=True) == content[70:90].decode("utf-8", "replace")


LATIN = ("\xe9t\xe9 " * 10).encode("latin-1")


async def test_a_view_of_what_is_no_text_is_cut_out_of_the_file():
    wire = Wire({"/ops/view": ok({"output": served(LATIN, 8, 0)}), "/ops/download": raw(LATIN)})
    found = (await dialect(wire).files.view("alps", "/l", size=6, offset=2)).value
    assert found.content == LATIN[2:8].decode("utf-8", "replace")


async def test_a_file_too_large_for_that_is_counted_as_latin_1():
    too_large = error(413, "Command output exceeded buffer limit.")
    wire = Wire({"/ops/view": ok({"output": served(LATIN, 8, 0)}), "/ops/download": too_large})
    found = (await dialect(wire).files.view("alps", "/l", size=6, offset=2)).value
    assert found.content == LATIN[2:8].decode("utf-8", "replace")


async def test_a_view_of_a_text_is_one_request_for_a_whole_block():
    content = "äöü\n" * 1000
    block, begin = block_around(100, 60)
    wire = Wire({"/ops/view": ok({"output": served(content.encode(), block, begin)})})
    found = (await dialect(wire).files.view("alps", "/l", size=60, offset=100)).value
    assert found.content == content.encode()[100:160].decode("utf-8", "replace")
    (request,) = wire.requests
    assert request.params == (("path", "/l"), ("size", str(block)), ("offset", str(begin)))


@pytest.mark.parametrize(("size", "offset"), [(0, 0), (1, -1)])
async def test_a_view_of_nothing_is_not_asked_for(size, offset):
    wire = Wire()
    with pytest.raises(UsageError):
        await dialect(wire).files.view("alps", "/l", size=size, offset=offset)
    assert not wire.requests
