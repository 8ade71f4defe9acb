"""Watchers in a real Airflow: a file arrives, and a DAG begins with it."""

from __future__ import annotations

import pytest
from airflow_versions import needs_shared_looks

pytestmark = pytest.mark.timeout(180)


@needs_shared_looks
def test_files_begin_runs_whether_a_triggerer_runs_or_not(site, slow_facility, wait_until) -> None:
    place = slow_facility.scratch / "watched"

    def taken() -> list[str]:
        runs = site.call("GET", "/dags/watched/dagRuns", order_by="id")["dag_runs"]
        ended = [each["dag_run_id"] for each in runs if each["state"] == "success"]
        return [path for run in ended for path in site.xcom("watched", run, "take")]

    def told() -> list[str]:
        events = site.call("GET", "/assets/events", order_by="timestamp")["asset_events"]
        return [each["extra"]["payload"]["path"] for each in events]

    site.await_dag("watched")
    place.mkdir()
    (place / "first").write_text("1")
    (place / "first").rename(place / "first.raw")
    wait_until(lambda: taken() == [f"{place}/first.raw"], 90, "a run with the file")
    site.stop_component("triggerer")
    (place / "second").write_text("2")
    (place / "second").rename(place / "second.raw")
    slow_facility.reset_requests()
    site.start_component("triggerer")
    wait_until(lambda: len(taken()) == 2, 90, "a run with the file that came meanwhile")
    wait_until(lambda: len(slow_facility.requests()) >= 3, 60, "more looks")
    assert taken() == told() == [f"{place}/first.raw", f"{place}/second.raw"]
