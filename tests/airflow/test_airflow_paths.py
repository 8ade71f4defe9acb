"""A path through a network around other tasks, at the SENSE face: one is set up, and none is left."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow_versions import ON_KILL, needs_store

from airflow_provider_iri import IriPathOperator, IriPathReleaseOperator, errands, guard
from airflow_provider_iri.record import remember
from iri_local_facility import LocalFacility


@pytest.fixture(scope="module")
def network(nothing_left: None) -> Iterator[LocalFacility]:
    with LocalFacility(sense_step=0.04) as running:
        yield running


@pytest.fixture
def net(network: LocalFacility, connect) -> Iterator[LocalFacility]:
    extra = {"dialect": "sense", "poll_seconds": 0.1}
    words = {"conn_type": "iri", "host": network.sense_url, "password": network.new_token()}
    connect("iri_default", words | {"extra": extra})
    yield network
    network.clear_faults()


@pytest.fixture
def name() -> str:
    return f"p{uuid.uuid4().hex[:8]}"


def setup(net: LocalFacility, name: str, **more: Any) -> IriPathOperator:
    ends = [{"uri": each} for each in net.sense_ports[:2]]
    return IriPathOperator(task_id="task", path={"ends": ends, "mbps": 100, "name": name}, **more)


def release(path: str) -> IriPathReleaseOperator:
    return IriPathReleaseOperator(task_id="task", path=path)


def paths(net: LocalFacility, name: str) -> list[dict[str, Any]]:
    return [each for each in net.paths() if (each["alias"] or "").startswith(f"{name}.")]


def asked(net: LocalFacility, name: str) -> list[tuple[bool, bool]]:
    """Of each path in the order of their asking: whether it was given back, and whether anything is left."""
    return [(each["deleted"], each["left"]) for each in paths(net, name)]


GIVEN_BACK, STANDS = (True, False), (False, False)


def test_a_path_is_set_up_and_given_back(net, task, name: str, monkeypatch, tmp_path) -> None:
    up = task.execute(setup(net, name))
    assert [each["state"] for each in paths(net, name)] == ["CREATE - READY"]
    assert up["ref"].startswith("iri+job://")
    assert task.ti.xcoms["iri_path"] == up["ref"]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # another host, which knows of nothing
    for _ in range(2):  # once is enough, and twice is no error
        task.execute(release(up["ref"]))
        assert asked(net, name) == [GIVEN_BACK]


def test_a_retry_takes_up_the_path_that_stands(net, task, name: str) -> None:
    with pytest.raises(TaskDeferred):
        task.begin(setup(net, name))
    up = task.execute(setup(net, name))
    assert asked(net, name) == [STANDS]
    task.execute(release(up["ref"]))
    assert asked(net, name) == [GIVEN_BACK]


@needs_store
def test_a_retry_asks_anew_where_another_host_has_given_back(
    net, task, name: str, monkeypatch, tmp_path
) -> None:
    net.order("path_slow", "senseProvision", seconds=3.0)
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(setup(net, name, limit=timedelta(seconds=1)))
    with monkeypatch.context() as triggerer:
        triggerer.setenv("XDG_STATE_HOME", str(tmp_path))
        with pytest.raises(AirflowException, match="up"):
            task.resume(setup(net, name), deferred.value)
    assert asked(net, name) == [GIVEN_BACK]
    net.clear_faults()
    up = task.execute(setup(net, name))
    assert asked(net, name) == [GIVEN_BACK, STANDS]
    task.execute(release(up["ref"]))


@needs_store
def test_a_path_is_given_back_if_a_person_ends_its_task_while_it_is_asked_for(
    net, task, name: str, monkeypatch
) -> None:
    """No trigger has it yet."""
    with monkeypatch.context() as patch:
        patch.setattr(guard, "task_state", lambda ti: "failed")
        with pytest.raises(AirflowFailException, match="given back, because the task is failed"):
            task.begin(setup(net, name))
    assert asked(net, name) == [GIVEN_BACK]
    up = task.execute(setup(net, name))
    assert asked(net, name) == [GIVEN_BACK, STANDS]
    task.execute(release(up["ref"]))


@needs_store
def test_a_path_is_given_back_however_often_its_task_is_cleared(
    net, task, name: str, monkeypatch, tmp_path
) -> None:
    task.execute(setup(net, name))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    task.ti.max_tries += 1
    net.order("status", "senseCancel", status=403)
    with pytest.raises(AirflowFailException):
        task.begin(setup(net, name))
    task.ti.max_tries += 1
    second = task.execute(setup(net, name))
    assert asked(net, name) == [GIVEN_BACK, STANDS]
    task.execute(release(second["ref"]))


@needs_store
def test_a_worker_that_dies_before_it_knows_its_path_leaves_none_behind(
    net, task, name: str, monkeypatch
) -> None:
    def dies(store: Any, key: str, value: dict[str, Any]) -> None:
        if value["ref"]:
            raise KeyboardInterrupt
        remember(store, key, value)

    with monkeypatch.context() as worker:
        worker.setattr(errands, "remember", dies)
        with pytest.raises(KeyboardInterrupt):
            task.begin(setup(net, name))
    task.ti.max_tries += 1  # cleared
    up = task.execute(setup(net, name))
    assert asked(net, name) == [STANDS]
    task.execute(release(up["ref"]))


@needs_store
def test_a_clear_gives_back_and_asks_anew(net, task, name: str, monkeypatch, tmp_path) -> None:
    first = task.execute(setup(net, name))
    task.ti.max_tries += 1
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(2):  # and a retry of it takes up the second
        second = task.execute(setup(net, name))
        assert asked(net, name) == [GIVEN_BACK, STANDS]
    assert first["ref"] != second["ref"]
    task.execute(release(second["ref"]))
    assert asked(net, name) == [GIVEN_BACK, GIVEN_BACK]


def test_a_path_that_fails_is_given_back(net, task, name: str) -> None:
    net.order("path_fails", "senseProvision")
    with pytest.raises(AirflowException, match=r"fail|FAILED"):
        task.execute(setup(net, name))
    assert [each["deleted"] for each in paths(net, name)] == [True]


def test_a_path_that_does_not_come_up_in_time_is_given_back(net, task, name: str) -> None:
    net.order("path_slow", "senseProvision", seconds=3.0)
    with pytest.raises(AirflowException, match="up"):
        task.execute(setup(net, name, limit=timedelta(seconds=1)))
    assert asked(net, name) == [GIVEN_BACK]


@pytest.mark.parametrize(
    ("state", "left"),
    [
        ("failed", GIVEN_BACK),
        (None, GIVEN_BACK if ON_KILL else STANDS),  # cleared: on 3.2, the next try takes up the same path
        ("deferred", STANDS),
        ("running", STANDS),  # another triggerer has seen it up: this one slept
        ("success", STANDS),
    ],
)
async def test_a_path_is_given_back_if_a_person_ends_its_task(
    net, task, name: str, monkeypatch, state: str | None, left: tuple[bool, bool]
) -> None:
    from airflow_provider_iri import triggers

    with pytest.raises(TaskDeferred) as deferred:
        task.begin(setup(net, name))
    monkeypatch.setattr(triggers, "task_state", lambda ti: state)
    trigger = deferred.value.trigger
    trigger.task_instance = task.ti
    await trigger.on_kill()
    assert asked(net, name) == [left]
    await trigger.end()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ({"ends": [{"uri": "a"}]}, "two ends"),
        ({"ends": [{"uri": "a"}, {"port": "b"}]}, "'port'"),
        ({"ends": [{"uri": "a"}, {"uri": "b"}], "gbps": 1}, "'gbps'"),
        ({"ends": [{"uri": "a"}, {"uri": "b"}], "mbps": "100"}, "'mbps': '100'"),
        ({"mbps": 100}, "'ends'"),
        (None, "It is None"),
    ],
)
def test_a_path_that_makes_no_sense_fails_for_good(net, task, path: dict[str, Any], says: str) -> None:
    net.reset_requests()
    with pytest.raises(AirflowFailException, match=says):
        task.execute(IriPathOperator(task_id="task", path=path))
    assert net.requests() == []


@pytest.mark.parametrize("path", ["None", None])
def test_no_reference_of_a_path_fails_for_good(net, task, path: str | None) -> None:
    with pytest.raises(AirflowFailException, match="'None' is not a job reference"):
        task.execute(release(path))
