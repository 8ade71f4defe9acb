"""After a maintenance, and whenever new volumes are there: check the credential, fetch the results home.

Needs a connection ``iri_default`` of type ``iri`` to the facility.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_provider_iri import (
    IriCredentialOperator,
    IriMaintenanceWatcher,
    IriTransferOperator,
    iri_asset,
)

AREA = "/scratch/beamline"

over = AssetWatcher("over", IriMaintenanceWatcher(every=timedelta(minutes=10)))
back = Asset("back_from_maintenance", watchers=[over])
volumes = iri_asset("iri_default", f"{AREA}/volumes", name="volumes")

with DAG("results", schedule=(back | volumes), tags=["iri"], max_active_runs=1):
    credential = IriCredentialOperator(task_id="credential", lasts=timedelta(days=1))
    fetch = IriTransferOperator(
        task_id="fetch", source=f"{AREA}/volumes", source_conn_id="iri_default", target="/data/volumes"
    )
    credential >> fetch
