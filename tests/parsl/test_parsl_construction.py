"""What a provider is before it has asked for anything."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest
from parsl import Config
from parsl.executors import HighThroughputExecutor
from parsl.launchers import MpiExecLauncher, SimpleLauncher, SrunLauncher
from parsl.launchers.errors import BadLauncher
from parsl.providers.base import ExecutionProvider
from parsl.usage_tracking.api import get_parsl_usage
from parsl.utils import RepresentationMixin

import parsl_iri
from iri_common import Facility, ProfileError, UsageError
from parsl_iri import FacilityProvider

SECRET = "s3cr3t-bearer-0123456789"


@pytest.fixture(autouse=True)
def profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRI_FACILITY_DESK_URL", "http://127.0.0.1:1/api/v2")  # nobody listens there
    monkeypatch.setenv("IRI_FACILITY_DESK_TOKEN", SECRET)


@pytest.fixture
def strict_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RepresentationMixin, "_validate_repr", True)


def test_all_names_can_be_had():
    assert set(parsl_iri.__all__) == {"FacilityProvider", "FacilityJobStatus", "__version__"}
    assert all(getattr(parsl_iri, name) is not None for name in parsl_iri.__all__)
    assert dir(parsl_iri) == sorted(parsl_iri.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        parsl_iri.Nothing  # noqa: B018


def test_import_is_light():
    code = "import parsl_iri, sys; print([m for m in ('parsl', 'httpx', 'pydantic') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_is_a_provider_with_what_strategies_read():
    provider = FacilityProvider("desk", init_blocks=0, min_blocks=1, max_blocks=4, parallelism=0.5)
    assert isinstance(provider, ExecutionProvider)
    assert (provider.init_blocks, provider.min_blocks, provider.max_blocks) == (0, 1, 4)
    assert (provider.parallelism, provider.nodes_per_block) == (0.5, 1)
    assert (provider.cores_per_node, provider.mem_per_node, provider.script_dir) == (None, None, None)
    assert provider.resources == {}
    assert provider.status_polling_interval > 0
    assert provider.label == "iri"


@pytest.mark.usefixtures("strict_repr")
@pytest.mark.parametrize("given", ["name", "object"])
def test_repr_and_usage_tracking_find_every_argument_and_no_secret(given: str):
    facility: Any = "desk" if given == "name" else Facility("http://127.0.0.1:1/api/v2", token=SECRET)
    provider = FacilityProvider(facility, account="m1", queue="debug")
    for name in inspect.signature(FacilityProvider).parameters:
        assert hasattr(provider, name)
    config = Config(executors=[HighThroughputExecutor(provider=provider, address="127.0.0.1")])
    assert "account='m1'" in repr(config)
    assert SECRET not in repr(config)
    assert SECRET not in repr(vars(provider))
    usage = repr(get_parsl_usage(config))
    assert "parsl_iri.provider.FacilityProvider" in usage
    assert SECRET not in usage


def test_htex_counts_workers_by_the_provider():
    provider = FacilityProvider("desk", cores_per_node=8, mem_per_node=16)
    executor = HighThroughputExecutor(
        provider=provider, cores_per_worker=2, mem_per_worker=8, address="127.0.0.1"
    )
    assert executor.workers_per_node == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"walltime": "10"}, "HH:MM:SS"),
        ({"walltime": "00:61:00"}, "HH:MM:SS"),
        ({"walltime": "00:00:00"}, "HH:MM:SS"),
        ({"walltime": 600}, "HH:MM:SS"),
        ({"nodes_per_block": 0}, "nodes_per_block"),
        ({"nodes_per_block": 1.5}, "nodes_per_block"),
        ({"init_blocks": -1}, "init_blocks"),
        ({"min_blocks": -1}, "min_blocks"),
        ({"max_blocks": -1}, "max_blocks"),
        ({"max_blocks": True}, "max_blocks"),
        ({"min_blocks": 3, "max_blocks": 2}, "max_blocks is 2"),
        ({"init_blocks": 3, "max_blocks": 2}, "max_blocks is 2"),
        ({"parallelism": -0.1}, "parallelism"),
        ({"parallelism": "1"}, "parallelism"),
        ({"cores_per_node": 0}, "cores_per_node"),
        ({"mem_per_node": -1}, "mem_per_node"),
        ({"submit_retry_time": -1}, "submit_retry_time"),
        ({"cmd_timeout": -1}, "cmd_timeout"),
        ({"status_polling_interval": 0}, "status_polling_interval"),
        ({"worker_init": None}, "worker_init"),
        ({"queue": ""}, "queue_name"),
        ({"account": 7}, "account"),
        ({"directory": ""}, "directory"),
        ({"custom_attributes": {"constraint": 1}}, "custom_attributes"),
        ({"custom_attributes": {"array": "0-3"}}, "no array.*max_blocks"),
        ({"worker_init": "echo \0"}, "arguments"),
    ],
)
def test_bad_input_is_refused_at_once(words: dict[str, Any], says: str):
    with pytest.raises(UsageError, match=says):
        FacilityProvider("desk", **words)


def test_unknown_profile_names_those_that_exist():
    with pytest.raises(ProfileError, match=r"no profile 'dsk'.*desk"):
        FacilityProvider("dsk")


@pytest.mark.parametrize("facility", [None, 7, object()])
def test_facility_is_a_name_or_a_facility(facility: Any):
    with pytest.raises(UsageError, match="profile or a Facility"):
        FacilityProvider(facility)


@pytest.mark.parametrize("launcher", [None, "srun", SrunLauncher])
def test_launcher_is_one_of_parsls(launcher: Any):
    with pytest.raises(BadLauncher):
        FacilityProvider("desk", launcher=launcher)


def test_job_script_is_what_the_job_runs():
    provider = FacilityProvider(
        "desk",
        worker_init="module load python",
        launcher=SimpleLauncher(),
        cores_per_node=4,
        mem_per_node=2.5,
        directory="/scratch/me",
    )
    script = provider.job_script("work --port 1", 1, "parsl.htex.block-0")
    assert script.splitlines() == [
        "module load python",
        "export PARSL_CORES=4",
        "export PARSL_MEMORY_GB=2.5",
        "export JOBNAME=parsl.htex.block-0",
        "work --port 1",
    ]
    spec = provider.job_spec(script, "parsl.htex.block-0")
    assert (spec.executable, list(spec.arguments)) == ("/bin/bash", ["-c", script])
    assert "process_worker_pool.py" in provider.job_script()


def test_job_spec_asks_in_the_words_of_the_api():
    provider = FacilityProvider(
        "desk",
        account="m1",
        queue="debug",
        walltime="01:02:03",
        nodes_per_block=2,
        cores_per_node=4,
        mem_per_node=0.5,
        directory="/scratch/me",
        custom_attributes={"constraint": "gpu"},
        launcher=SrunLauncher(),
    )
    sent = provider.job_spec(provider.job_script(), "parsl.htex.block-0").sent()
    assert sent["name"] == "parsl.htex.block-0"
    assert sent["directory"] == "/scratch/me"
    assert sent["attributes"] == {
        "duration": 3723,
        "queue_name": "debug",
        "account": "m1",
        "custom_attributes": {"constraint": "gpu"},
    }
    assert sent["resources"] == {
        "node_count": 2,
        "processes_per_node": 1,
        "cpu_cores_per_process": 4,
        "memory": 2**30,
    }


def test_launchers_write_their_files_at_the_facility():
    provider = FacilityProvider("desk", launcher=MpiExecLauncher(), directory="/scratch/me")
    provider.script_dir = "/home/client/runinfo/000/submit_scripts"
    script = provider.job_script("work")
    assert 'SCRIPT_DIR="/scratch/me"' in script
    assert "/home/client" not in script
