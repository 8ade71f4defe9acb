"""A DAG that begins when files arrive at a facility."""

from __future__ import annotations

import os

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_iri import IriFileWatcher

PLACE = os.environ.get("IRI_TESTS_WATCHED", "/nowhere")
arrived = AssetWatcher("arrived", IriFileWatcher(path=f"{PLACE}/*.raw", iri_conn_id="iri_slow", every=1))
raw = Asset("raw", watchers=[arrived])


@task
def take(triggering_asset_events=None) -> list[str]:
    return [event.extra["payload"]["path"] for event in triggering_asset_events[raw]]


with DAG("watched", schedule=[raw]):
    take()
