from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iri_local_facility.errors import Denied, FacilityError, Rejected
from iri_local_facility.paths import Areas


@pytest.fixture(scope="module")
def areas(tmp_path_factory: pytest.TempPathFactory) -> Areas:
    root = tmp_path_factory.mktemp("facility").resolve()
    for name in ("home/alice/d", "home/alice2", "home/bob", "scratch/alice", "project/demo", ".facility"):
        (root / name).mkdir(parents=True)
    home = root / "home" / "alice"
    (home / "file").write_text("x")
    (home / "out").symlink_to("/etc")
    (home / "bobs").symlink_to(root / "home" / "bob")
    (home / "loop").symlink_to(home / "loop")
    (home / "to-scratch").symlink_to(root / "scratch" / "alice")
    (home / "dangling").symlink_to(home / "nothing")
    return Areas(home=home, scratch=root / "scratch" / "alice", projects={"demo": root / "project" / "demo"})


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("file", "file"),
        ("./d/../file", "file"),
        (".", "."),
        ("d//x", "d/x"),
        ("new/deep/file", "new/deep/file"),
        ("to-scratch/x", "../../scratch/alice/x"),
        ("../../project/demo/x", "../../project/demo/x"),
        ("dangling", "nothing"),
        ("a\nb 'c", "a\nb 'c"),
    ],
)
def test_paths_inside(areas: Areas, path: str, meant: str) -> None:
    expected = Path(os.path.normpath(areas.home / meant))
    assert areas.resolve(path) == expected
    assert areas.resolve(str(areas.home / path)) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/etc/passwd",
        "..",
        "../bob/x",
        "../alice2",
        "out",
        "out/passwd",
        "bobs/x",
        "../../.facility/facility.db",
        "d/../../bob",
        "/proc/self/" + "root/etc",
        "../../project",
        "../../project/other",
    ],
)
@pytest.mark.parametrize("follow", [True, False])
def test_paths_outside(areas: Areas, path: str, follow: bool) -> None:
    if path == "out" and not follow:
        assert areas.resolve(path, follow=False) == areas.home / "out"  # the link itself is the user's
        return
    with pytest.raises(Denied, match="Permission denied"):
        areas.resolve(path, follow=follow)


@pytest.mark.parametrize("path", ["", "a\0b", "\ud800"])
def test_no_paths_at_all(areas: Areas, path: str) -> None:
    with pytest.raises(Rejected):
        areas.resolve(path)


@pytest.mark.parametrize("path", [".", "../alice", "d/..", "to-scratch/.", "../../scratch/alice/"])
def test_tops_of_areas_stay(areas: Areas, path: str) -> None:
    with pytest.raises(Denied):
        areas.resolve_inner(path)


_parts = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "d",
        "file",
        "out",
        "bobs",
        "loop",
        "to-scratch",
        "dangling",
        "etc",
        "home",
        "alice",
        "é",
    ]
) | st.text(max_size=5)


@given(parts=st.lists(_parts, max_size=8), absolute=st.booleans(), follow=st.booleans())
def test_whatever_resolves_is_inside(areas: Areas, parts: list[str], absolute: bool, follow: bool) -> None:
    path = ("/" if absolute else "") + "/".join(parts)
    try:
        real = areas.resolve(path, follow=follow)
    except FacilityError:
        return
    # The judge is the operating system: the directory that holds the thing is really inside.
    holder = os.path.realpath(real.parent)
    tops = [str(top) for top in areas.tops]
    assert any(f"{holder}/".startswith(f"{top}/") for top in tops) or str(real) in tops
    if follow:
        assert os.path.realpath(real) == str(real) or real.is_symlink()  # a loop resolves to itself
