"""The members move together: one version, sibling pins, the same Pythons, typed."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
MEMBERS = {name: tomllib.loads((ROOT / name / "pyproject.toml").read_text()) for name in WORKSPACE}
DISTRIBUTIONS = {member["project"]["name"] for member in MEMBERS.values()}


@pytest.mark.parametrize("name", WORKSPACE)
def test_a_member_is_complete(name):
    package = Path(MEMBERS[name]["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"][0])
    assert package.parts[0] == "src"
    assert (ROOT / name / package / "py.typed").exists()
    assert (ROOT / name / "README.md").read_text().startswith("# ")
    assert MEMBERS[name]["project"]["requires-python"] == ">=3.11,<3.14"


def test_one_version_and_siblings_pinned_to_it():
    versions = {member["project"]["version"] for member in MEMBERS.values()}
    assert len(versions) == 1
    for member in MEMBERS.values():
        for requirement in member["project"]["dependencies"]:
            name, _, version = requirement.partition("==")
            if name in DISTRIBUTIONS:
                assert {version} == versions
            else:
                assert requirement.partition(">")[0].strip() not in DISTRIBUTIONS


@pytest.mark.parametrize("name", ["iri_common", "prefect_iri", "parsl_iri", "airflow_provider_iri"])
def test_the_version_is_told(name):
    path = next(ROOT.glob(f"*/src/{name}/__init__.py"))
    version = MEMBERS["iri_common"]["project"]["version"]
    assert f'__version__ = "{version}"' in path.read_text()


def test_no_lock_file_and_no_index_address_in_the_pins():
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
    assert "://" not in (ROOT / "constraints.txt").read_text()


def test_the_core_is_installed_from_here():
    assert Path(importlib.import_module("iri_common").__file__).is_relative_to(ROOT)
