"""Slurm's REST API: slurmrestd from v0.0.38 on, and OLCF's S3M before it."""

from __future__ import annotations

from iri_common.apis.slurm.dialect import API, GRADES, SlurmDialect
from iri_common.apis.slurm.rules import RULES
from iri_common.apis.slurm.tokens import ProjectToken
from iri_common.apis.slurm.versions import KNOWN, S3M, SLURMRESTD, Site, Version, version_of

__all__ = [
    "API",
    "GRADES",
    "KNOWN",
    "ProjectToken",
    "RULES",
    "S3M",
    "Site",
    "SLURMRESTD",
    "SlurmDialect",
    "Version",
    "version_of",
]
