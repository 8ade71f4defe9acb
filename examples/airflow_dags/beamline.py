"""Files of an instrument arrive at a facility: each begins a run that reconstructs it there.

Needs a connection ``iri_default`` of type ``iri`` to the facility. Whoever writes the files does so aside and
renames them at the end.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_iri import IriFileWatcher, IriJobOperator, IriResourceSensor, iri_asset

AREA = "/scratch/beamline"

arrived = AssetWatcher("arrived", IriFileWatcher(path=f"{AREA}/raw/*.h5", every=timedelta(minutes=1)))
raw = Asset("raw", watchers=[arrived])
volumes = iri_asset("iri_default", f"{AREA}/volumes", name="volumes")


@task
def plan(triggering_asset_events=None) -> list[dict]:
    """A job for each file that has arrived."""
    paths = [event.extra["payload"]["path"] for event in triggering_asset_events[raw]]
    return [
        {
            "executable": "python3",
            "arguments": ["reconstruct.py", path, f"{AREA}/volumes"],
            "directory": AREA,
            "attributes": {"duration": 1800},
        }
        for path in paths
    ]


with DAG("beamline", schedule=[raw], tags=["iri"]):
    usable = IriResourceSensor(task_id="usable", ahead=timedelta(hours=1))
    jobs = plan()
    usable >> jobs
    IriJobOperator.partial(task_id="reconstruct", retries=2, outlets=[volumes]).expand(job=jobs)
