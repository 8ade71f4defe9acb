"""Numbers with what they count."""

from __future__ import annotations

import pytest

from iri_common.model.counts import agreed, many


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "1 file"),
        (0, "0 files"),
        (12, "12 files"),
        ("No", "No files"),
        ("1.5", "1.5 files"),
        ("1", "1 file"),
    ],
)
def test_one_is_told_otherwise_than_several(count: object, told: str) -> None:
    assert many(count, "file") == told
    assert agreed(count, "is", "are") == ("is" if told == "1 file" else "are")
