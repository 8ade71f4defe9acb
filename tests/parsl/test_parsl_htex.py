"""Parsl itself, with its own executor, its own workers in real jobs, and its own scaling."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parsl
import pytest
from parsl import Config, bash_app, python_app
from parsl.app.errors import BashExitFailure
from parsl.errors import ParslError
from parsl.executors import HighThroughputExecutor
from parsl.executors.errors import BadStateException
from parsl.jobs.states import JobState
from parsl_apps import fail, shell, square, where
from parsl_waiting import lead_to, until

from iri_local_facility import LocalFacility
from parsl_iri import FacilityProvider

HERE = Path(__file__).parent
WORKERS = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={HERE}"
Make = Callable[..., FacilityProvider]
Load = Callable[..., parsl.DataFlowKernel]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Loads Parsl with executors named after their providers, and cleans up after the test."""
    loaded: list[parsl.DataFlowKernel] = []

    def load(words: dict[str, Any] | None = None, **providers: FacilityProvider) -> parsl.DataFlowKernel:
        executors = [
            HighThroughputExecutor(
                label=label,
                provider=provider,
                address="127.0.0.1",
                max_workers_per_node=1,
                worker_logdir_root=str(tmp_path),
            )
            for label, provider in providers.items()
        ]
        config = Config(
            executors=executors,
            run_dir=str(tmp_path / "runinfo"),
            **{"strategy_period": 0.3, "max_idletime": 1.0, "usage_tracking": 0, **(words or {})},
        )
        loaded.append(parsl.load(config))
        return loaded[-1]

    yield load
    for kernel in loaded:
        if not kernel.cleanup_called:
            kernel.cleanup()
    parsl.clear()


@pytest.fixture
def provider(providers: Make) -> Make:
    """Providers that Parsl looks at often and whose jobs find this Python."""
    return lambda facility="demo", **words: providers(
        facility, **{"worker_init": WORKERS, "status_polling_interval": 0.3, **words}
    )


def test_results_failures_and_nothing_left(demo: LocalFacility, provider: Make, load: Load, tmp_path: Path):
    kernel = load(here=provider())

    squares = [python_app(square)(number) for number in range(8)]
    results = [each.result(60) for each in squares]
    assert [value for value, _ in results] == [number * number for number in range(8)]
    (job,) = demo.jobs()[-1:]
    assert {number for _, number in results} == {job["id"]}  # in the job, not on this side
    assert job["name"].startswith("parsl.here.block-0.")
    with pytest.raises(ValueError, match="as told"):
        python_app(fail)().result(60)
    with pytest.raises(BashExitFailure, match="exit code 3"):
        bash_app(shell)("exit 3").result(60)
    told = demo.scratch / "told.txt"
    assert bash_app(shell)("echo $IRI_JOB_NAME", stdout=str(told)).result(60) == 0
    assert told.read_text().strip() == job["name"]

    kernel.cleanup()
    until(lambda: demo.jobs()[-1]["state"] == "canceled")
    log = Path(kernel.run_dir, "parsl.log").read_text()
    assert "Setting bad state" not in log
    assert f"{job['name']} is iri+job://" in log
    everything = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(everything) > 3
    assert not [text for text in everything if demo.token in text]


def test_a_block_that_cannot_start_workers_is_explained(demo: LocalFacility, provider: Make, load: Load):
    words = {"worker_init": "echo 'conda: no such environment' >&2; exit 9"}
    kernel = load(here=provider(**words))
    future = python_app(where)()
    with pytest.raises(ParslError) as error:
        future.result(30)
    assert isinstance(error.value, BadStateException)
    for text in (str(error.value), Path(kernel.run_dir, "parsl.log").read_text()):
        assert "EXIT CODE: 9" in text
        assert "STDERR: conda: no such environment" in text
    assert (
        len([job for job in demo.jobs() if job["name"] in kernel.executors["here"].provider.resources]) == 1
    )


def test_workers_that_never_connect_are_missing_with_their_stderr(
    demo: LocalFacility, provider: Make, load: Load
):
    load(here=provider(worker_init="echo 'wrong module' >&2; exit 0"))
    with pytest.raises(BadStateException, match="STDERR: wrong module"):
        python_app(where)().result(30)


def test_scales_out_under_load_and_in_when_idle(demo: LocalFacility, provider: Make, load: Load):
    blocks = provider(init_blocks=0, min_blocks=0, max_blocks=3)
    load(here=blocks)

    assert blocks.resources == {}
    jobs = {future.result(60) for future in [python_app(where)(1.5) for _ in range(12)]}
    assert 2 <= len(jobs) <= 3
    assert len(blocks.resources) == 3
    until(lambda: all(each.terminal for each in blocks.status(list(blocks.resources))))
    assert {each.state for each in blocks.status(list(blocks.resources))} == {JobState.CANCELLED}
    assert python_app(where)().result(60) is not None  # and out again
    assert len(blocks.resources) == 4


def test_never_more_than_max_blocks_while_they_are_held(demo: LocalFacility, provider: Make, load: Load):
    blocks = provider(init_blocks=0, max_blocks=2, custom_attributes={"hold": "true"})
    kernel = load(here=blocks)
    for _ in range(8):
        python_app(where)()
    until(lambda: len(blocks.resources) == 2)
    time.sleep(4)
    assert len(blocks.resources) == 2
    held = [job for job in demo.jobs() if job["name"] in blocks.resources]
    assert [job["state"] for job in held] == ["held", "held"]
    assert demo.summary()["launchJob"] == {"200": 2}
    kernel.executors["here"].set_bad_state_and_fail_all(RuntimeError("the test is over"))


def test_an_outage_starves_nobody(
    demo: LocalFacility,
    fragile: LocalFacility,
    provider: Make,
    load: Load,
    monkeypatch: pytest.MonkeyPatch,
):
    lead_to(monkeypatch, "away", fragile)
    fragile.kill()
    away, here = provider("away", max_blocks=1), provider(init_blocks=0, max_blocks=2)
    load(away=away, here=here)
    slow = python_app(where, executors=["away"])()
    quick = [python_app(where, executors=["here"])() for _ in range(4)]
    assert all(each.result(20) for each in quick)
    assert not slow.done()
    fragile.restart()
    assert slow.result(60) == "1"
    assert len(fragile.jobs()) == len(away.resources) == 1
