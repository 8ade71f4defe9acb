"""An object store that a facility names for one of its resources (``s3`` among the access endpoints)."""

from __future__ import annotations

from iri_common.apis.s3.parts import S3Parts, s3_parts

__all__ = ["s3_parts", "S3Parts"]
