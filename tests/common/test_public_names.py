"""What ``import iri_common`` offers: the same in every list of it."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import iri_common


def names_for_type_checkers() -> dict[str, str]:
    """Name to module, from the block that only type checkers read."""
    tree = ast.parse(Path(iri_common.__file__).read_text())
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname or alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_list_of_the_public_names_says_the_same() -> None:
    public = set(iri_common.__all__) - {"__version__"}
    homes = {name: f"iri_common.{home}" for name, home in iri_common._HOME_OF.items()}
    assert set(homes) == public
    assert names_for_type_checkers() == homes
    assert len(iri_common.__all__) == len(set(iri_common.__all__))
    assert sum(map(len, iri_common._HOMES.values())) == len(homes)


def test_every_name_loads_and_comes_from_where_it_is_said_to() -> None:
    for name, home in iri_common._HOME_OF.items():
        value = getattr(iri_common, name)
        assert value.__module__ == f"iri_common.{home}", name
        assert inspect.getdoc(value), f"{name} says nothing of itself"


def test_dir_and_star_show_them_before_they_are_loaded() -> None:
    script = (
        "import iri_common; before = dir(iri_common)\n"
        "assert sorted(iri_common.__all__) == before, before\n"
        "from iri_common import *\n"
        "print(JobSpec(executable='x').executable, Facility, generation_step)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert dir(iri_common) == sorted(iri_common.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'iri_common' has no attribute 'Facilty'"):
        iri_common.Facilty  # noqa: B018
    assert not hasattr(iri_common, "_internal")
    with pytest.raises(ImportError):
        exec("from iri_common import Facilty")


def test_a_name_is_looked_up_once() -> None:
    loaded = iri_common.JobKey
    assert vars(iri_common)["JobKey"] is loaded


def test_every_error_is_an_iri_error() -> None:
    errors = [
        value
        for value in (getattr(iri_common, name) for name in iri_common.__all__)
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(errors) == len(iri_common._HOMES["model.errors"])
    assert all(issubclass(each, iri_common.IriError) for each in errors)
