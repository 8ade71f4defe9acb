"""``iri://`` assets: one spelling for one file, and the same words open it."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from airflow_provider_iri import iri_asset
from airflow_provider_iri.assets import normalized
from iri_local_facility import LocalFacility


@pytest.mark.parametrize(
    "spelling",
    [
        "iri://nersc/scratch/alice/raw.h5",
        "IRI://nersc/scratch/alice/raw.h5",
        "iri://nersc/scratch/alice/raw.h5/",
        "iri://nersc/scratch//alice/./raw.h5",
        "iri://nersc/scratch/alice/old/../raw.h5",
        "iri://iri_default@nersc/scratch/alice/raw.h5",
    ],
)
def test_one_file_is_one_asset(spelling: str) -> None:
    assert Asset(uri=spelling).uri == "iri://nersc/scratch/alice/raw.h5"
    assert Asset(uri=spelling).normalized_uri == "iri://nersc/scratch/alice/raw.h5"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("iri://nersc/scratch/a", "iri://nersc//scratch/a"),  # a file system, a directory of the own one
        ("iri://nersc/scratch/a", "iri://olcf/scratch/a"),
        ("iri://nersc/scratch/a", "iri://Nersc/scratch/a"),  # names of connections are told by their case
        ("iri://nersc/scratch/a", "iri://nersc/scratch/A"),
    ],
)
def test_two_files_are_two_assets(one: str, other: str) -> None:
    assert Asset(uri=one).uri != Asset(uri=other).uri


@pytest.mark.parametrize("spelling", ["iri://nersc//a/b", "iri://nersc/scratch/a", "iri://n/s/a b/c.h5"])
def test_what_is_spelt_well_stays(spelling: str) -> None:
    once = normalized(urlsplit(spelling))
    assert once.geturl() == spelling
    assert normalized(once) == once


@pytest.mark.parametrize("uri", ["iri://nersc", "iri://nersc/scratch", "iri://nersc//", "iri:///scratch/a"])
def test_what_names_no_file_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="names no file"):
        Asset(uri=uri)


def test_an_asset_is_made_from_its_parts() -> None:
    asset = iri_asset("nersc", "/cfs/m1/raw.h5", name="raw", group="als", extra={"beamline": "8.3.2"})
    assert (asset.uri, asset.name, asset.group) == ("iri://nersc//cfs/m1/raw.h5", "raw", "als")
    assert asset.extra == {"beamline": "8.3.2"}
    assert iri_asset("nersc", "/alice/raw.h5", storage="scratch").uri == "iri://nersc/scratch/alice/raw.h5"
    factory = ProvidersManagerTaskRuntime().asset_factories["iri"]
    assert factory(facility="nersc", path="/raw.h5", extra=None).uri == "iri://nersc//raw.h5"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"path": "raw.h5"}, "absolute"),
        ({"path": "/raw.h5?1"}, "cannot hold"),
        ({"path": "/raw#1.h5"}, "cannot hold"),
        ({"path": "/raw\t1.h5"}, "cannot hold"),
        ({"path": "/raw.h5", "storage": "a/b"}, "no name"),
        ({"path": "/raw.h5", "facility": "conn@nersc"}, "no name"),
        ({"path": "/"}, "names no file"),
    ],
)
def test_parts_that_make_no_address_are_refused(words: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        iri_asset(**{"facility": "nersc", **words})


@pytest.mark.filterwarnings("ignore:UPath 'iri' filesystem not explicitly implemented")
def test_an_asset_is_opened_by_its_own_words(demo: LocalFacility, monkeypatch) -> None:
    there = demo.scratch / uuid.uuid4().hex
    asset = iri_asset("iri_default", str(there))
    by_connection = ObjectStoragePath(asset, conn_id="iri_default")
    by_connection.write_text("run,energy\n")
    assert there.read_text() == "run,energy\n"
    monkeypatch.setenv("IRI_FACILITY_IRI_DEFAULT_URL", demo.base_url)
    monkeypatch.setenv("IRI_FACILITY_IRI_DEFAULT_TOKEN", demo.token)
    by_profile = ObjectStoragePath(asset)
    assert by_profile.read_text() == "run,energy\n"
    assert Asset(uri=by_connection).uri == Asset(uri=by_profile).uri == asset.uri


READ = """
import json, sys
from airflow.sdk import Asset
before = set(sys.modules)
Asset(uri="iri://nersc/scratch/raw")
print(json.dumps(sorted(name for name in set(sys.modules) - before if "iri" in name)))
"""


def test_an_asset_in_a_dag_loads_nothing_of_the_core() -> None:
    done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])[-1:] == ["airflow_provider_iri.assets"]
    assert "iri_common" not in done.stdout
