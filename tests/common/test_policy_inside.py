"""A name from elsewhere leads below the chosen directory, or is refused."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_common import TransferError
from iri_common.policy.inside import inside

PIECES = st.lists(
    st.sampled_from(["..", ".", "", "/", "a", "b c", "\0", "\n", "-rf", "…", "\\", "~"]), max_size=6
)
ROOTS = st.sampled_from(["/", "/data", "/data/run 7", "relative", "."])


@given(ROOTS, st.one_of(PIECES.map("/".join), st.text(max_size=12)))
def test_what_is_let_through_is_below_the_root(root: str, name: str) -> None:
    try:
        path = inside(root, name)
    except TransferError:
        return
    top = posixpath.normpath(root)
    assert posixpath.normpath(path) == posixpath.normpath(posixpath.join(root, f"./{name}")), (
        "the name means what it says"
    )
    assert posixpath.relpath(path, top) == name, "and is told apart from every other name"
    assert "\0" not in path


@given(
    ROOTS,
    st.lists(
        st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
            lambda each: each not in {".", ".."}
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_every_name_that_a_file_can_have_is_let_through(root: str, pieces: list[str]) -> None:
    assert inside(root, "/".join(pieces)) == posixpath.join(root, *pieces)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a//b",
        "a/",
        "./a",
        "a/.",
        "a\0b",
        "//x",
    ],
)
def test_what_leaves_the_root_or_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(TransferError, match="is no name of a file below /data"):
        inside("/data", name)
