"""What Airflow learns of the package, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

import airflow_provider_iri
from airflow_provider_iri import IriTransferOperator
from airflow_provider_iri.connection import _CREDENTIALS, KNOWN_EXTRAS
from airflow_provider_iri.get_provider_info import get_provider_info
from iri_common.facility.dialects import DIALECTS
from iri_common.model.grant import Audit


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_provider_info_satisfies_airflows_schemas(schema: str) -> None:
    content = json.loads(files("airflow").joinpath(schema).read_text())
    info = get_provider_info()
    if schema.startswith("provider.yaml"):  # written for Airflow's own files, but the only one with forms
        form = content["properties"]["connection-types"]
        jsonschema.validate(info["connection-types"], {**form, "definitions": content.get("definitions", {})})
    else:
        jsonschema.validate(info, content)


def test_every_module_named_to_airflow_exists() -> None:
    from importlib import import_module

    info = get_provider_info()
    for group in ("hooks", "operators", "sensors", "triggers"):
        for entry in info[group]:
            for module in entry["python-modules"]:
                import_module(module)
    (transfers,) = info["transfers"]
    assert import_module(transfers["python-module"]).IriTransferOperator is IriTransferOperator
    module, _, name = info["connection-types"][0]["hook-class-name"].rpartition(".")
    assert getattr(import_module(module), name).conn_type == "iri"


def test_the_form_has_a_field_for_every_word_that_is_understood() -> None:
    assert set(form()) == set(KNOWN_EXTRAS)


def form() -> dict[str, Any]:
    return get_provider_info()["connection-types"][0]["conn-fields"]


def test_what_can_be_chosen_in_the_form_is_all_that_is_understood() -> None:
    choices = {name: field["schema"]["enum"] for name, field in form().items() if "enum" in field["schema"]}
    assert {name: sorted(each) for name, each in choices.items()} == {
        "credential": sorted(["token", *_CREDENTIALS]),
        "dialect": sorted(DIALECTS),
        "audit": sorted(Audit),
    }


def test_public_names_are_loaded_on_first_use() -> None:
    assert set(airflow_provider_iri.__all__) == {
        "__version__",
        "IriArrayOperator",
        "IriCancelOperator",
        "IriCredentialOperator",
        "IriFileOperator",
        "IriFileSensor",
        "IriFlowOperator",
        "IriFileWatcher",
        "IriHook",
        "IriJobOperator",
        "IriJobSensor",
        "IriJobTrigger",
        "IriJobWatcher",
        "IriMaintenanceWatcher",
        "IriNotifier",
        "IriOutlookOperator",
        "IriPathOperator",
        "IriPathReleaseOperator",
        "IriResourceSensor",
        "IriTransferOperator",
        "IriResourceWatcher",
        "RetryByCause",
        "iri_asset",
    }
    for name in airflow_provider_iri.__all__:
        assert getattr(airflow_provider_iri, name)
    with pytest.raises(AttributeError, match="IriSensor"):
        airflow_provider_iri.IriSensor  # noqa: B018


IMPORT = """
import json, sys
from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator
before = set(sys.modules)
from airflow_provider_iri import IriFileSensor, IriJobOperator
IriFileSensor(task_id="raw", path="/raw")
imported = set(sys.modules) - before
IriJobOperator(task_id="job", job={"executable": "x"})
print(json.dumps([sorted(imported), sorted(set(sys.modules) - before - imported)]))
"""


def test_the_operators_add_little_to_the_parsing_of_a_dag() -> None:
    """A few modules of ours, whose import takes milliseconds; nothing of the wire."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    imported, made = json.loads(done.stdout.splitlines()[-1])
    own = ("arguments", "ends", "job_files", "lineage", "links", "operators", "patterns", "sensors")
    # Of itself, each version of Airflow loads something else.
    others = [name for name in imported if not name.startswith("airflow.sdk.")]
    assert others == [f"airflow_provider_iri.{each}" for each in own]
    # The first job is checked when it is made.
    ours = ("airflow_provider_iri.", "iri_common.model.")
    others = {name for name in made if not name.startswith(ours)}
    assert others <= {"airflow.sdk.definitions.retry_policy", "iri_common", "iri_common.model"}
    assert len(made) < 15
