"""Where output goes, given a pattern and what its letters stand for."""

from __future__ import annotations

import pytest

from iri_common.policy.outputs import filled


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/d/o", "/d/o"),
        ("/d/%A_%a.out", "/d/42_7.out"),
        ("%4a", "0007"),
        ("%04A", "0042"),
        ("100%%", "100%"),
        ("%%a", "%a"),
        ("%1a%%A", "7%A"),
        ("/d/%a.%j", None),
        ("/d/%N", None),
        ("/d/%", None),
        ("\\%A_%a", "%A_%a"),
    ],
)
def test_letters_are_filled_in_as_slurm_does(pattern: str, path: str | None) -> None:
    assert filled(pattern, {"A": "42", "a": "7", "j": ""}) == path
