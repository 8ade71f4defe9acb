"""The pages of docs/airflow: their snippets can be read, and no argument of an author is left out."""

from __future__ import annotations

import inspect
import re

import pytest
from airflow.sdk import BaseNotifier, BaseOperator
from airflow_connections import EXAMPLES

import airflow_provider_iri
from airflow_provider_iri.connection import KNOWN_EXTRAS
from airflow_provider_iri.watchers import IriWatcher

FOLDER = EXAMPLES.parent / "docs" / "airflow"
KINDS = (BaseOperator, BaseNotifier, IriWatcher)
FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)

INDEX = (FOLDER / "README.md").read_text()
PAGES = {page.name: page.read_text() for page in sorted(FOLDER.glob("*.md"))}
SNIPPETS = [(name, code) for name, text in PAGES.items() for code in FENCED.findall(text)]


def classes() -> dict[str, type]:
    """What there is to describe, by its name."""
    found = {name: getattr(airflow_provider_iri, name) for name in airflow_provider_iri.__all__}
    return {name: each for name, each in found.items() if inspect.isclass(each) and issubclass(each, KINDS)}


def page_of(name: str) -> str:
    """The page that the index names for it."""
    row = next(line for line in INDEX.splitlines() if line.startswith("|") and f"`{name}`" in line)
    target = re.search(r"\]\((\w+\.md)\)", row)
    assert target, row
    return PAGES[target[1]]


@pytest.mark.parametrize(("name", "code"), SNIPPETS)
def test_a_snippet_can_be_read(name: str, code: str) -> None:
    compile(code, name, "exec")


@pytest.mark.parametrize("name", classes())
def test_each_has_a_page_that_tells_its_arguments(name: str) -> None:
    text = FENCED.sub("", page_of(name))
    told = {word for span in re.findall(r"`([^`]+)`", text) for word in re.findall(r"\w+", span)}
    taken = inspect.signature(classes()[name].__init__).parameters.values()
    own = {each.name for each in taken if each.kind is not each.VAR_KEYWORD}
    assert own - told <= {"self", "iri_conn_id"}  # the index tells that one of all


def test_the_readme_tells_every_field_of_a_connection() -> None:
    text = FENCED.sub("", (EXAMPLES.parent / "airflow_provider" / "README.md").read_text())
    assert set(KNOWN_EXTRAS) - set(re.findall(r"`(\w+)`", text)) == set()


def test_every_page_is_in_the_index_and_every_picture_on_a_page() -> None:
    assert {name for name in PAGES if f"({name})" not in INDEX} == {"README.md"}
    shown = {target for text in PAGES.values() for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)}
    assert shown == {picture.name for picture in FOLDER.glob("*.png")}
