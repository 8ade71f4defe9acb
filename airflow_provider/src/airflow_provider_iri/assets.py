"""Assets at facilities: ``iri://facility/storage/path``, the words by which ObjectStoragePath opens them.

Airflow imports this module wherever it reads a DAG with an asset in it: it must stay light.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from airflow.sdk import Asset
    from openlineage.client.event_v2 import Dataset


def iri_asset(
    facility: str,
    path: str,
    *,
    storage: str | None = None,
    extra: Mapping[str, Any] | None = None,
    **words: Any,
) -> Asset:
    """A file or directory at a facility, as an asset.

    Example:
        >>> raw = iri_asset("nersc", "/global/cfs/cdirs/m1234/raw.h5")
        >>> IriJobOperator(task_id="take", job=job, outlets=[raw])

    Args:
        facility: Its name: that of a profile, or the id of a connection that has none.
        path: There; absolute.
        storage: Name or id of the file system; the facility's own if None.
        extra: Of every asset.
        words: Likewise: ``name``, ``group``, ``watchers`` …

    Raises:
        ValueError: if these do not make an address.
    """
    from airflow.sdk import Asset

    if not path.startswith("/"):
        raise ValueError(f"the path of an asset is absolute, not {path!r}")
    for part in (facility, storage or "", path):
        # Airflow takes what follows for a query, or drops it: two files would be one asset.
        if any(mark in part for mark in "?#\t\r\n"):
            raise ValueError(f"the URI of an asset cannot hold the ?, #, tab or line end of {part!r}")
    for part in (facility, storage or ""):
        if "/" in part or "@" in part:
            raise ValueError(f"{part!r} is no name of a facility or a file system")
    return Asset(uri=f"iri://{facility}/{storage or ''}{path}", extra=dict(extra or {}), **words)


def normalized(uri: SplitResult) -> SplitResult:
    """One spelling for one file; Airflow asks for it with every ``iri`` URI.

    The connection of ``iri://connection@facility/…`` is how one gets there, not what is there.

    Raises:
        ValueError: if no facility or no path is named.
    """
    # Nothing that ObjectStoragePath opens may be refused: Airflow makes an asset of whatever a task reads.
    facility = uri.netloc.rpartition("@")[2]
    storage, _, place = uri.path.removeprefix("/").partition("/")
    place = posixpath.normpath(f"/{place.lstrip('/')}")
    if not facility or place == "/":
        raise ValueError(
            f"iri://{facility}{uri.path} names no file: write iri://facility/storage/path, "
            "or iri://facility//path for the facility's own file system"
        )
    return uri._replace(netloc=facility, path=f"/{storage}{place}")


def to_openlineage(asset: Asset, lineage_context: object) -> Dataset:
    """An ``iri`` asset as a dataset, for Airflow's OpenLineage provider."""
    from airflow_provider_iri.facets import dataset

    return dataset(asset.uri)
