"""What the documents say of the code is what the code says."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from iri_common.facility.profiles import load_profile, load_speaker
from iri_common.model.grant import Grant, Verb
from iri_common.policy.grants import HARMLESS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "facilities.md"


def test_the_table_of_grades_is_what_the_dialects_declare() -> None:
    made = runpy.run_path(str(DOCS / "make_facilities.py"))
    assert PAGE.read_text() == made["page"](PAGE.read_text()), "run: make docs"


def test_the_page_of_grants_tells_each_limit_and_each_verb_and_its_profile_can_be_used(
    tmp_path: Path, monkeypatch
) -> None:
    page = (DOCS / "grants.md").read_text()
    told = [
        word
        for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
        for word in re.findall(r"`(\w+)`", row)
    ]
    limits, verbs = list(Grant.limits()), [str(each) for each in Verb]
    assert told[: len(limits)] == limits
    assert told[len(limits) :][: len(verbs)] == verbs
    assert set(re.findall(r"`([a-z-]+)`", page)) >= HARMLESS
    (tmp_path / "facilities.toml").write_text(_profiles(DOCS / "grants.md"))
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    monkeypatch.setenv("GLOBUS_SECRET", "s3cr3t")
    grants = [load_profile(each).grant.words() for each in ("portal", "esnet", "defiant")]
    assert {limit for grant in grants for limit in grant} == set(limits)
    speaker = load_speaker()
    assert speaker is not None
    assert set(speaker.grant.words()) == {"verbs", "resources", "paths"}


def _profiles(page: Path) -> str:
    found = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert found
    return "".join(found)


@pytest.mark.parametrize(
    ("page", "name"),
    [(page, name) for page in (PAGE, DOCS / "credentials.md") for name in tomllib.loads(_profiles(page))],
    ids=lambda each: each.stem if isinstance(each, Path) else each,
)
def test_the_profiles_of_the_pages_can_be_used(page: Path, name: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "facilities.toml").write_text(_profiles(page))
    monkeypatch.setenv("IRI_CONFIG", str(tmp_path / "facilities.toml"))
    settings = load_profile(name)
    guard = settings.kind.grades(settings.url, settings.words).guard
    assert guard == ("lock" if settings.kind.runs_jobs else "none")
