"""HPC jobs as Airflow tasks: the ``iri`` connection and its hook, operators, sensors and a trigger.

Names are loaded when they are first used: a DAG file pays only for what it imports, and the discovery of
providers imports nothing but :mod:`airflow_provider_iri.get_provider_info`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_iri.arrays import IriArrayOperator
    from airflow_provider_iri.assets import iri_asset
    from airflow_provider_iri.files import IriFileOperator
    from airflow_provider_iri.flows import IriFlowOperator
    from airflow_provider_iri.hooks import IriHook
    from airflow_provider_iri.notifier import IriNotifier
    from airflow_provider_iri.operators import IriJobOperator
    from airflow_provider_iri.outlook import IriOutlookOperator
    from airflow_provider_iri.paths import IriPathOperator, IriPathReleaseOperator
    from airflow_provider_iri.retries import RetryByCause
    from airflow_provider_iri.sensors import IriFileSensor, IriJobSensor, IriResourceSensor
    from airflow_provider_iri.tending import IriCancelOperator, IriCredentialOperator
    from airflow_provider_iri.transfers import IriTransferOperator
    from airflow_provider_iri.triggers import IriJobTrigger
    from airflow_provider_iri.watchers import (
        IriFileWatcher,
        IriJobWatcher,
        IriMaintenanceWatcher,
        IriResourceWatcher,
    )

__version__ = "0.1.0"

_HOME_OF = {
    "IriHook": "hooks",
    "IriJobOperator": "operators",
    "IriArrayOperator": "arrays",
    "IriCancelOperator": "tending",
    "IriCredentialOperator": "tending",
    "IriOutlookOperator": "outlook",
    "IriNotifier": "notifier",
    "IriPathOperator": "paths",
    "IriPathReleaseOperator": "paths",
    "IriTransferOperator": "transfers",
    "IriFileOperator": "files",
    "IriFlowOperator": "flows",
    "IriJobSensor": "sensors",
    "IriFileSensor": "sensors",
    "IriResourceSensor": "sensors",
    "IriJobTrigger": "triggers",
    "iri_asset": "assets",
    "IriFileWatcher": "watchers",
    "IriResourceWatcher": "watchers",
    "IriMaintenanceWatcher": "watchers",
    "IriJobWatcher": "watchers",
    "RetryByCause": "retries",
}

__all__ = [
    "__version__",
    "IriHook",
    "IriJobOperator",
    "IriArrayOperator",
    "IriCancelOperator",
    "IriCredentialOperator",
    "IriOutlookOperator",
    "IriNotifier",
    "IriPathOperator",
    "IriPathReleaseOperator",
    "IriTransferOperator",
    "IriFileOperator",
    "IriFlowOperator",
    "IriJobSensor",
    "IriFileSensor",
    "IriResourceSensor",
    "IriJobTrigger",
    "iri_asset",
    "IriFileWatcher",
    "IriResourceWatcher",
    "IriMaintenanceWatcher",
    "IriJobWatcher",
    "RetryByCause",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
