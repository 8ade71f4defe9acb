"""What the documents say of the code is what the code says."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from iri_common.facility.profiles import load_profile

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "facilities.md"


def test_the_table_of_grades_is_what_the_dialects_declare() -> None:
    made = runpy.run_path(str(DOCS / "make_facilities.py"))
    assert PAGE.read_text() == made["page"](PAGE.read_text()), "run: make docs"


def _profiles() -> str:
    found = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found
    return "".join(found)


@pytest.mark.parametrize("name", tomllib.loads(_profiles()))
def test_the_profiles_of_the_page_can_be_used(name: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "facilities.toml").write_text(_profiles())
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    settings = load_profile(name)
    guard = settings.kind.grades(settings.url, settings.words).guard
    assert guard == ("lock" if settings.kind.runs_jobs else "none")
