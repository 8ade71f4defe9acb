"""``iri://`` paths of Airflow's ObjectStoragePath: at the facility of a profile, or of an ``iri`` connection.

```python
ObjectStoragePath("iri://nersc//global/cfs/cdirs/m1234/runs.csv")  # a profile of the workers
ObjectStoragePath("iri://iri_default@iri_default/scratch/a/alice/runs.csv")  # a connection, named twice
```
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from fsspec import get_filesystem_class

from airflow_provider_iri.hooks import IriHook

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from iri_common import Facility

schemes = ["iri"]


def get_fs(conn_id: str | None, storage_options: dict[str, Any] | None = None) -> AbstractFileSystem:
    """The file system that Airflow asks for."""
    kind: Any = get_filesystem_class("iri")
    if conn_id is None:
        return kind(**(storage_options or {}))
    if storage_options:
        raise ValueError(f"settings of the facility belong into the connection {conn_id!r}")
    # Opened when it is used: Airflow passes over an error here, and would go on with a profile of that name.
    return kind.over(partial(_facility, conn_id))


def _facility(conn_id: str) -> Facility:
    return IriHook(conn_id).facility
