"""What a deferred task leaves to others: a connection's name and a job's reference, and nothing secret."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.sdk.module_loading import import_string
from job_tasks import job, jobs, operator, sent


def elsewhere(deferred: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The trigger as another machine makes it, which has no home that could be written to."""
    path, words = deferred.trigger.serialize()
    (tmp_path / "file").touch()
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file" / "home"))
    return import_string(path)(**json.loads(json.dumps(words)))


def test_a_trigger_takes_no_secret_along(demo, task) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(job("true"), follow=True))
    assert demo.token not in repr(deferred.value.trigger.serialize())


def test_a_trigger_waits_without_anything_that_a_worker_has_written(
    demo, task, monkeypatch, tmp_path: Path
) -> None:
    words = job("echo hello")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words, follow=True))
    trigger = elsewhere(deferred.value, monkeypatch, tmp_path)

    async def fire() -> Any:
        return await anext(trigger.run())

    assert asyncio.run(fire()).payload["state"] == "completed"
    assert [each["state"] for each in jobs(demo, words)] == ["completed"]


def test_a_trigger_ends_a_job_without_anything_that_a_worker_has_written(
    demo, task, monkeypatch, wait_until, tmp_path: Path
) -> None:
    words = job("sleep 60")
    with pytest.raises(TaskDeferred) as deferred:
        task.begin(operator(words))
    demo.reset_requests()
    asyncio.run(elsewhere(deferred.value, monkeypatch, tmp_path).end())
    wait_until(lambda: [each["state"] for each in jobs(demo, words)] == ["canceled"])
    assert sent(demo).count("cancelJob") == 1
    assert "launchJob" not in sent(demo)


@pytest.mark.timeout(180)
def test_airflow_writes_no_secret_down(start, site) -> None:
    """Neither in its database nor in any log: connections that come from elsewhere stay there."""
    run = start("followed", "echo hello; sleep 1")
    assert run.wait() == "success"
    assert "[stdout] hello" in run.log()
    files = [each for each in site.home.rglob("*") if each.is_file()]
    assert [each for each in files if run.facility.token.encode() in each.read_bytes()] == []
    assert {"airflow.db", "triggerer.log", "attempt=1.log"} <= {each.name for each in files}
