"""Globus Auth, Transfer, Flows and Compute, and the files of a collection, behind the ports.

Nothing here loads the SDK before a thread of a :class:`~iri_common.apis.globus.client.GlobusClient` needs it.
"""

from __future__ import annotations

from iri_common.apis.globus.client import GlobusClient
from iri_common.apis.globus.compute import GlobusCompute
from iri_common.apis.globus.credentials import GlobusCredential
from iri_common.apis.globus.dialect import GlobusDialect
from iri_common.apis.globus.flows import GlobusFlows
from iri_common.apis.globus.rules import LOGIN

__all__ = ["LOGIN", "GlobusClient", "GlobusCompute", "GlobusCredential", "GlobusDialect", "GlobusFlows"]
